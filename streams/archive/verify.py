"""Verification: the archive read back object by object. The drill and a restore read it the same way."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from processors.archive import format as segments
from processors.archive.chain import Link
from processors.archive.format import ArchivedRecord, SegmentDamaged
from streams.archive.inventory import Inventory, checked, log_folders, looking_again, prefetch, take_inventory
from streams.errors import ArchiveChanged, ArchiveDamaged
from streams.ports.archive import Archive
from streams.ports.log import Progress, unwatched


@dataclass
class VerifyReport:
    """What reading the archive back found. `problems` names every object that is not as it should be."""

    log_id: str
    demo: bool = False
    written_ms: int = 0
    segments: int = 0
    records: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list)
    leftovers: int = 0  # objects that a merge replaced and could not delete yet: they do no harm


async def log_ids(archive: Archive) -> list[str]:
    """The logs an archive holds, but for those whose removal was begun."""
    return sorted(name for name, going in (await log_folders(archive)).items() if not going)


async def the_log_id(archive: Archive, log_id: str | None) -> str:
    """The log that is meant; where none is named, the one whose head was written last. Raises ArchiveDamaged if there
    is none.
    """
    found = await log_ids(archive)
    if log_id is not None:
        if log_id not in found:
            raise ArchiveDamaged(f"the archive holds no log {log_id}; it holds {', '.join(found) or 'none'}")
        return log_id
    if not found:
        raise ArchiveDamaged("the archive is empty")
    return max([(await written_ms(archive, name), name) for name in found])[1]


async def written_ms(archive: Archive, log_id: str) -> int:
    """When a log's head was written; 0 where it has none that can be read."""
    data = await archive.get(segments.head_key(log_id))
    try:
        return segments.read_head(data).written_ms if data else 0
    except SegmentDamaged:
        return 0


Take = Callable[[str, int, list[ArchivedRecord]], Awaitable[None]]


async def read_back(
    archive: Archive,
    log_id: str,
    progress: Progress = unwatched,
    take: Take | None = None,
    inventory: Inventory | None = None,
) -> VerifyReport:
    """Read every object of a log and check it; `take` gets the records of each good segment, in order.

    Raises ArchiveUnavailable; ArchiveChanged where a merge took away what a `inventory` of a while ago named, or what
    `take` waits for.
    """

    async def once() -> VerifyReport:
        return await _read_once(archive, inventory or await take_inventory(archive, log_id), progress, take)

    return await (once() if take is not None or inventory is not None else looking_again(once))


async def _read_once(archive: Archive, inventory: Inventory, progress: Progress, take: Take | None) -> VerifyReport:
    report = VerifyReport(inventory.log_id, problems=list(inventory.problems), leftovers=len(inventory.leftovers))
    if inventory.head is not None:
        report.demo, report.written_ms = inventory.head.demo, inventory.head.written_ms
    total, links, listed = inventory.records, inventory.links, set(inventory.keys)
    reading = prefetch(archive, [link.segment for link in links])
    try:
        for link in links:
            key, packed = await anext(reading)
            if packed is None and key in listed:
                raise ArchiveChanged(
                    f"{key} was merged into a day's, or deleted, while the archive was read; try again"
                )
            records = await _checked(report, link, packed)
            if take is not None and records is not None:
                await take(link.manifest.topic, link.manifest.partition, records)
            progress(report.records, total)
    finally:
        await reading.aclose()
    return report


async def _checked(report: VerifyReport, link: Link, packed: bytes | None) -> list[ArchivedRecord] | None:
    """The records, if the segment is what its manifest says."""
    if packed is None:
        return None  # the inventory said so
    try:
        records = await checked(link.manifest, link.segment, packed)
    except ArchiveDamaged as error:
        report.problems.append(str(error))
        return None
    report.segments += 1
    report.records += link.manifest.records
    report.bytes += link.manifest.size
    return records
