"""Restore: a new log from an archive, byte for byte, under a new log id; complete, or not there at all."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from processors.segments import ArchivedRecord
from streams.backup import Progress, read_back, the_log_id
from streams.errors import ArchiveDamaged, Misconfigured
from streams.logs.disk import sync_folder, write_durably
from streams.logs.sqlite import SqliteLog
from streams.ports import Archive

_WORKSHOP = ".restoring"


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What was restored."""

    from_log: str
    log_id: str
    records: int
    segments: int


async def restore(
    archive: Archive,
    target: Path,
    progress: Progress | None = None,
    log_id: str | None = None,
    *,
    checked: Progress | None = None,
) -> RestoreReport:
    """Make the log of `target` from the archive, which is read twice: `checked` hears of the first time, `progress` of the second.

    Everything is built and counted in a folder of its own, which a crash leaves behind and the next try clears away; the last step is a
    rename. Raises Misconfigured if the target has a log, ArchiveDamaged (naming the first object) if anything is not as it should be.
    """
    if (target / "log.db").exists():
        raise Misconfigured(f"{target} has a log already. Restore into an empty folder: name it with --data.")
    name = await the_log_id(archive, log_id)
    workshop = _cleared(target)
    first = await read_back(archive, name, checked)
    if first.problems:
        raise ArchiveDamaged(f"nothing was restored: {first.problems[0]}" + _more(first.problems))
    log = SqliteLog(workshop / "log.db", demo=first.demo)
    new_id = log.log_id

    async def take(topic: str, partition: int, records: list[ArchivedRecord]) -> None:
        await log.append_as_was(topic, partition, records)

    try:
        report = await read_back(archive, name, progress, take)
        restored = sum(dict(log.heads).values())
    finally:
        await log.close()
    if report.problems or restored != report.records or restored != first.records:
        shutil.rmtree(workshop, ignore_errors=True)
        raise ArchiveDamaged("nothing was restored: the archive changed while it was read. Try again.")
    note = {"from_log": name, "log_id": new_id, "records": restored}
    write_durably(target / "restored.json", json.dumps(note).encode())
    (workshop / "log.db").replace(target / "log.db")
    sync_folder(target)
    shutil.rmtree(workshop, ignore_errors=True)
    return RestoreReport(name, new_id, restored, report.segments)


def _cleared(target: Path) -> Path:
    """The folder in which the log is built, without what an interrupted try left there."""
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    workshop = target / _WORKSHOP
    shutil.rmtree(workshop, ignore_errors=True)
    return workshop


def _more(problems: list[str]) -> str:
    return f" (and {len(problems) - 1} more; `iv3 verify` names them)" if len(problems) > 1 else ""
