"""The archive when a person is erased: the copy without them is archived and held against the log before it takes the
old one's place; then the old log goes, and every earlier one that has anything of them.

An earlier log goes only if every other record of it is in the log in use: what would be lost with it is found before
anything is changed.
"""

import asyncio
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from processors.archive import format as segments
from processors.archive.format import ArchivedRecord, SegmentDamaged
from processors.copies.erasing import Ownership, Traces, is_placeholder
from schemas.model import Partition
from streams.archive.inventory import Inventory, log_folders, records_of, removal_key, take_inventory
from streams.archive.retention import RetentionPlan, Unplaced, anywhere, described, lost_in_words, remove
from streams.archive.verify import read_back
from streams.archive.writer import ArchiveWriter
from streams.clock import SystemClock
from streams.copies.whole_partition import AT_ONCE, heads_of
from streams.errors import ArchiveDamaged
from streams.ports.archive import Archive
from streams.ports.log import Log, Progress, Record, read_archived, unwatched
from streams.topics import ARCHIVED, JOURNAL


@dataclass
class ArchiveTraces:
    """What the archive has of a person. `stays` says of each log that cannot go why, in a sentence; then nothing may be
    begun.
    """

    segments: int = 0  # of the log in use
    earlier: list[str] = field(default_factory=list)  # ids of earlier logs that go
    stays: list[str] = field(default_factory=list)


async def find(archive: Archive, log: Log, person: str, give_up: Collection[str] = ()) -> ArchiveTraces:
    """Look through the archive. `give_up` names earlier logs that may go whatever is lost with them.

    Raises ArchiveUnavailable; ArchiveDamaged where it has more than the log.
    """
    inventory = await take_inventory(archive, log.log_id)
    for place, chain in inventory.chains.items():
        if chain.following > dict(log.heads).get(place, 0):
            raise ArchiveDamaged(
                f"the archive has records of {place[0]}/{place[1]} that the log has not: something was lost there. "
                "Nothing was changed; iv3 restore comes first."
            )
    found = ArchiveTraces(len(inventory.links))
    for name in sorted((await log_folders(archive)).keys() - {log.log_id}):
        try:
            theirs, lost = await _look_through(archive, name, log, person)
        except ArchiveDamaged as error:
            theirs, lost = 1, [f"it cannot be read ({error})"]
        if not theirs:
            continue
        if lost and name not in give_up:
            found.stays.append(
                f"The archive of the earlier log {name} has records of {person}, and others that are nowhere else: "
                f"{'; '.join(lost)}. If nobody needs them, let it go: --lose {name}"
            )
        else:
            found.earlier.append(name)
    return found


async def _look_through(archive: Archive, name: str, log: Log, person: str) -> tuple[int, list[str]]:
    """(records of theirs, in sentences what else would be lost with this log)."""
    inventory = await take_inventory(archive, name)
    traces, theirs = Traces(person), 0
    left: Counter[Unplaced] = Counter()
    for place, chain in sorted(inventory.chains.items(), key=lambda item: (item[0][0] != JOURNAL, item[0])):
        at, known = 0, list[ArchivedRecord]()
        async for record in records_of(archive, chain.links):
            traces.note_token(record.value)
            if traces.ownership(record.key, record.value) is Ownership.THEIRS:
                theirs += 1
                continue
            if is_placeholder(record.value):
                continue
            if not at <= record.offset < at + len(known):
                at, known = record.offset, await _read(log, place, record.offset)
            if record.offset - at >= len(known) or known[record.offset - at] != record:
                left[anywhere(place[0], record)] += 1
    if not theirs:
        return sum(len(chain.undescribed) for chain in inventory.chains.values()), []
    if left:
        await _meet(log, left)
    return theirs, lost_in_words(left)


async def _read(log: Log, place: Partition, start: int) -> list[ArchivedRecord]:
    if start >= dict(log.heads).get(place, 0):
        return []
    return await read_archived(log, place, start, AT_ONCE)


async def _meet(log: Log, left: Counter[Unplaced]) -> None:
    """Take out of `left` what the log has anywhere."""

    def step(record: Record) -> None:
        left.pop(anywhere(record.topic, record.archived), None)

    for place, head in dict(log.heads).items():
        if place[0] in ARCHIVED and left:
            await log.fold(*place, 0, head, step)


async def archive_anew(log: Log, archive: Archive, progress: Progress = unwatched, *, say: bool) -> None:
    """Archive a log, whole, then read every object back and hold every record against the log.

    Raises ArchiveUnavailable, ArchiveDamaged. Without `say` nobody takes it for the newest yet (see
    `ArchiveWriter.catch_up`).
    """
    heads = await heads_of(log)
    await ArchiveWriter(log, archive, SystemClock()).catch_up(progress, say=say)
    counts: Counter[Partition] = Counter()

    async def compare(topic: str, partition: int, records: list[ArchivedRecord]) -> None:
        first = records[0].offset
        if await read_archived(log, (topic, partition), first, len(records)) != records:
            raise ArchiveDamaged(f"{topic}/{partition}, from offset {first}: the new archive differs from the log")
        counts[topic, partition] += len(records)

    report = await read_back(archive, log.log_id, progress, compare)
    missing_head = f"{segments.head_key(log.log_id)} is missing"
    problems = [problem for problem in report.problems if say or problem != missing_head]
    if problems or any(counts[place] < head for place, head in heads.items()):
        raise ArchiveDamaged(problems[0] if problems else "the new archive does not hold the whole log")


async def forget(archive: Archive, names: Collection[str], in_use: str) -> int:
    """Remove logs from the archive; how many objects. Stopped anywhere, the same call finishes it. Raises
    ArchiveUnavailable.
    """
    earlier = []
    for name in names:
        inventory = await take_inventory(archive, name)
        if not inventory.keys:
            continue
        log = described(inventory, 0)
        log.keys += await _without_manifest(archive, inventory)
        log.keys += [key for key in (removal_key(name),) if key in inventory.keys]
        log.foreign = len(set(inventory.keys) - set(log.keys))
        earlier.append(log)
    return await remove(archive, RetentionPlan(in_use, earlier))


async def foreign(archive: Archive, names: Collection[str]) -> list[str]:
    """What is left where the logs lay, named by no manifest."""
    return [key for name in names for key in await archive.list(segments.folder_of(name))]


async def _without_manifest(archive: Archive, inventory: Inventory) -> list[str]:
    """Segments whose writer was stopped before it described them: ours if they can be read as ours."""
    return [key for chain in inventory.chains.values() for key in chain.undescribed if await _is_segment(archive, key)]


async def _is_segment(archive: Archive, key: str) -> bool:
    try:
        await asyncio.to_thread(segments.unpack, await archive.get(key) or b"")
    except SegmentDamaged:
        return False
    return True
