"""The drill: restore from the archive into a scratch folder, hold every record against the log, and take it away again.

An archive that was never restored is a hope. The outcome is kept in the data folder, so that the page, the alarms and
the doctor know it.
"""

import asyncio
import json
import shutil
import time
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path

from streams.archive.inventory import take_inventory
from streams.archive.restore import restore
from streams.errors import ArchiveDamaged, LogRefused, Transient
from streams.ports.archive import Archive
from streams.ports.log import Log, NewLog, Progress, unwatched
from streams.storage.files import RESERVE_BYTES, FileLock, free_bytes, write_durably
from streams.topics import ARCHIVED

SCRATCH = ".drill"  # in the data folder
_OUTCOME = "drill.json"
_GROWS = 20  # a log takes up to this much more room than its compressed segments
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class DrillOutcome:
    """What the last drill found. `problem` is empty where every record came back as the log has it."""

    at_ms: int
    problem: str
    records: int = 0
    segments: int = 0
    seconds: float = 0.0
    not_archived: int = 0  # records of the log that were younger than the archive

    @property
    def ok(self) -> bool:
        """Whether the archive gave everything back."""
        return not self.problem


def read_outcome(data: Path) -> DrillOutcome | None:
    """The outcome that was kept; None where there is none that can be read."""
    try:
        return DrillOutcome(**json.loads((data / _OUTCOME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def keep_outcome(data: Path, outcome: DrillOutcome) -> None:
    """Keep it for the page and for the next start."""
    write_durably(data / _OUTCOME, json.dumps(asdict(outcome)).encode())


def clear(scratch: Path) -> None:
    """Take away what a drill that was killed left behind, unless one is at work there."""
    lock = _lock(scratch)
    if lock.try_acquire():
        shutil.rmtree(scratch, ignore_errors=True)
        lock.release()


def _lock(scratch: Path) -> FileLock:
    return FileLock(scratch.with_name(f"{scratch.name}.lock"))


async def drill(
    log: Log, archive: Archive, new_log: NewLog, scratch: Path, now_ms: int, progress: Progress = unwatched
) -> DrillOutcome:
    """Restore, compare, take away. Raises ArchiveUnavailable, which is no outcome: it is tried again; so does another
    drill at work.
    """
    lock, began = _lock(scratch), time.monotonic()
    if not lock.try_acquire():
        raise Transient(f"A drill is at work in {scratch} already; try again when it is done.")
    heads = {place: head for place, head in dict(log.heads).items() if place[0] in ARCHIVED and head}
    try:
        await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)
        lacking = await _room(archive, log.log_id, scratch)
        if lacking:
            return DrillOutcome(now_ms, lacking)
        report = await restore(archive, new_log, scratch, progress, log.log_id)
        restored = new_log(scratch / "log.db", demo=report.demo)
        try:
            problem, missing = await _compare(log, restored, heads)
        finally:
            await restored.close()
        took = round(time.monotonic() - began, 1)
        return DrillOutcome(now_ms, problem, report.records, report.segments, took, missing)
    except (ArchiveDamaged, LogRefused) as error:
        return DrillOutcome(now_ms, f"{error}", seconds=round(time.monotonic() - began, 1))
    finally:
        await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)
        lock.release()


async def _room(archive: Archive, log_id: str, scratch: Path) -> str:
    """A sentence if the disk has no room for a second log."""
    inventory = await take_inventory(archive, log_id)
    needed = _GROWS * sum(link.manifest.size for link in inventory.links)
    free = free_bytes(scratch.parent) - RESERVE_BYTES
    if needed <= free:
        return ""
    return (
        f"there is no room for a drill in {scratch.parent}: it may take {needed >> 20} MiB and {max(0, free) >> 20} "
        "are left beside the reserve. Free some space, or name another disk: iv3 archive drill --scratch DIR"
    )


async def _compare(log: Log, restored: Log, heads: dict[tuple[str, int], int]) -> tuple[str, int]:
    """(the first difference in a sentence, how many records are not archived yet)."""
    missing = 0
    for (topic, partition), head in sorted(heads.items()):
        has = restored.heads.get((topic, partition), 0)
        missing += max(0, head - has)
        for start in range(0, has, _AT_ONCE):
            ours = await log.read(topic, partition, start, min(has, start + _AT_ONCE), _AT_ONCE)
            theirs = await restored.read(topic, partition, start, min(has, start + _AT_ONCE), _AT_ONCE)
            for number, (one, other) in enumerate(zip_longest(ours, theirs), start):
                if one != other:
                    return f"{topic}/{partition} differs from the log, from offset {number}", missing
    unknown = [place for place, has in restored.heads.items() if has and place not in heads]
    if unknown:
        return f"{unknown[0][0]}/{unknown[0][1]} is in the archive and not in the log", missing
    return "", missing
