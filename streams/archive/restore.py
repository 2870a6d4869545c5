"""Restore: a new log from an archive, byte for byte, under a new log id; complete, or not there at all."""

import json
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from streams.archive.inventory import looking_again, take_inventory
from streams.archive.verify import read_back, the_log_id
from streams.errors import AlreadyExists, ArchiveDamaged
from streams.ports.archive import Archive
from streams.ports.log import NewLog, Progress, unwatched
from streams.storage.files import sync_folder, write_durably
from streams.topics import PARTITIONS

_WORKSHOP = ".restoring"


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What was restored."""

    from_log: str
    log_id: str
    records: int
    segments: int
    demo: bool = False


async def restore(
    archive: Archive, new_log: NewLog, target: Path, progress: Progress = unwatched, log_id: str | None = None
) -> RestoreReport:
    """Make the log of `target` from the archive; `progress` hears of the records.

    Everything is built, checked and counted in a folder of its own, which a crash leaves behind and the next try clears
    away; the last step is a rename. Raises AlreadyExists if the target has a log, ArchiveDamaged (naming the first
    object) if anything is not as it should be.
    """
    if (target / "log.db").exists():
        raise AlreadyExists(f"{target} has a log already. Restore into an empty folder: name it with --data.")
    name = await the_log_id(archive, log_id)
    return await looking_again(partial(_restore_once, archive, name, new_log, target, progress))


async def _restore_once(
    archive: Archive, name: str, new_log: NewLog, target: Path, progress: Progress
) -> RestoreReport:
    workshop = _cleared(target)
    inventory = await take_inventory(archive, name)
    _refuse(inventory.problems)
    demo = inventory.head is not None and inventory.head.demo
    split = inventory.head.partitions if inventory.head is not None else PARTITIONS
    log = new_log(workshop / "log.db", demo=demo, partitions=split)
    try:
        report = await read_back(archive, name, progress, log.append_as_was, inventory)
        restored = sum(dict(log.heads).values())
    finally:
        await log.close()
    if report.problems or restored != report.records or restored != inventory.records:
        shutil.rmtree(workshop, ignore_errors=True)
        _refuse(report.problems or [f"{restored} records were made of {inventory.records}"])
    note = {"from_log": name, "log_id": log.log_id, "records": restored}
    write_durably(target / "restored.json", json.dumps(note).encode())
    (workshop / "log.db").replace(target / "log.db")
    sync_folder(target)
    shutil.rmtree(workshop, ignore_errors=True)
    return RestoreReport(name, log.log_id, restored, report.segments, demo)


def _refuse(problems: list[str]) -> None:
    more = f" (and {len(problems) - 1} more; `iv3 verify` names them)" if len(problems) > 1 else ""
    if problems:
        raise ArchiveDamaged(f"nothing was restored: {problems[0]}{more}")


def _cleared(target: Path) -> Path:
    """The folder in which the log is built, without what an interrupted try left there."""
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    workshop = target / _WORKSHOP
    shutil.rmtree(workshop, ignore_errors=True)
    return workshop
