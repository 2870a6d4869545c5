"""Backup and verification: the log into an archive, and the archive read back. `archiver` uses the same writer, `restore` the same reader."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from processors.archive import format as segments
from processors.archive.chain import Link, Named, Place, named, place_of
from processors.archive.format import ArchivedRecord, Manifest, SegmentDamaged
from streams.archive.inventory import Progress, Survey, ahead, look
from streams.clock import running_s
from streams.errors import ArchiveChanged, ArchiveDamaged
from streams.ports.archive import Archive
from streams.ports.clock import Clock
from streams.ports.log import Log, Partition, Record
from streams.topics import ALERTS, DEAD_LETTERS, FORECASTS, JOURNAL

logger = logging.getLogger("iv3.backup")

ARCHIVED = (JOURNAL, FORECASTS, ALERTS, DEAD_LETTERS)  # snapshots and heartbeats are made again
MOST_RECORDS = 10_000  # per segment: some megabytes, read and checked at once
_FRESH_S = 60.0  # what is known of the archive's end is asked for again after that; merges leave alone what is younger than ten minutes
_LOOKS = 3


@dataclass(slots=True)
class _End:
    """How far a partition is archived, and the digest of its last manifest."""

    following: int = 0
    digest: str = ""


class ArchiveWriter:
    """Brings the archive of a log up to date. Of two at work at once the first to put a segment wins, and the other goes on behind it."""

    def __init__(self, log: Log, archive: Archive, clock: Clock, *, demo: bool = False) -> None:
        self._log, self._archive, self._clock, self._demo = log, archive, clock, demo
        self._ends: dict[Partition, _End] | None = None
        self._head: bytes | None = None  # as it was read or written last
        self._looked_s = 0.0  # when it was, by the running clock

    async def open(self) -> None:
        """Learn from the archive's own manifests how far it is. Raises ArchiveUnavailable, ArchiveDamaged."""
        self._head, self._looked_s = await self._archive.get(segments.head_key(self._log.log_id)), running_s()
        self._ends = {
            place: await self._end_of(day, small)
            for place, (day, small) in (await _last_manifests(self._archive, self._log.log_id)).items()
        }

    async def _end_of(self, day: Named | None, small: Named | None) -> _End:
        """Where a partition ends. A small segment that begins inside a day does not count, however far it reaches."""
        end = _End()
        for name in (day, small):
            if name is None or name.first < end.following:
                continue
            data = await self._archive.get(name.key)
            if data is None:  # merged away since it was listed
                raise ArchiveChanged(f"{name.key} was merged while the archive was looked at; it is tried again")
            manifest = _manifest(name.key, data)
            end = _End(manifest.last + 1, segments.end_of(manifest, data))
        return end

    def waiting(self) -> int:
        """Records that are not archived yet."""
        ends = self._ends or {}
        heads = dict(self._log.heads).items()
        return sum(max(0, head - ends.get(at, _End()).following) for at, head in heads if at[0] in ARCHIVED)

    async def catch_up(self, progress: Progress | None = None, *, say: bool = True) -> int:
        """Archive everything that is in the log now. Returns how many records. Raises ArchiveUnavailable, ArchiveDamaged.

        Without `say` the head is left to the next call: until it is there, nobody takes this log for the newest.
        """
        try:
            return await self._catch_up(progress, say=say)
        except (ArchiveChanged, ArchiveDamaged):
            self._ends = None  # it may not be as it was known
            raise

    async def _catch_up(self, progress: Progress | None, *, say: bool) -> int:
        await self._look_again()
        total, done = self.waiting(), 0
        for place, head in dict(self._log.heads).items():
            if place[0] not in ARCHIVED:
                continue
            while self._end(place).following < head:
                if running_s() - self._looked_s > _FRESH_S:
                    await self._look_again()  # this process may have slept for a night, and others not
                    continue
                records = await self._log.read(*place, self._end(place).following, head, MOST_RECORDS)
                done += await self._one(place, self._end(place), records)
                if progress is not None:
                    progress(done, total)
        if say:
            await self._say_how_far()
        return done

    def _end(self, place: Partition) -> _End:
        if self._ends is None:
            raise RuntimeError("the archive is looked at before its ends are asked for")
        return self._ends.setdefault(place, _End())

    async def _look_again(self) -> None:
        """Open the archive anew if another writer was here, or if this is another disk than a while ago."""
        if self._ends is not None:
            head, self._looked_s = await self._archive.get(segments.head_key(self._log.log_id)), running_s()
            if head == self._head:
                return
        self._ends = None
        for _ in range(_LOOKS - 1):
            try:
                await self.open()
            except ArchiveChanged:
                continue
            return
        await self.open()

    async def _say_how_far(self) -> None:
        """Replace the head, unless it says so already."""
        ends = self._ends or {}
        heads = {at: (end.following, end.digest) for at, end in ends.items() if end.following}
        split = self._log.partitions[JOURNAL]
        try:
            known = segments.read_head(self._head) if self._head is not None else None
            if known is not None and (known.heads, known.partitions) == (heads, split):
                return
        except SegmentDamaged as error:
            logger.warning("the head of the archive %s; it is written anew", error)
        written = self._clock.now_ms()
        rows = [(*at, *end) for at, end in heads.items()]
        said = segments.write_head(self._log.log_id, rows, demo=self._demo, written_ms=written, partitions=split)
        await self._archive.replace(segments.head_key(self._log.log_id), said)
        self._head = said

    async def _one(self, place: Partition, end: _End, records: list[Record]) -> int:
        """Put one segment and its manifest; an object that is there already wins, if it agrees with the log."""
        kept = [ArchivedRecord(r.offset, r.timestamp_ms, r.key, r.value, r.headers) for r in records]
        key = segments.segment_key(self._log.log_id, *place, end.following)
        raw, packed = await asyncio.to_thread(segments.pack, kept)
        if not await self._archive.put_if_absent(key, packed):
            kept, raw, packed = await self._existing(place, key)
        manifest = segments.manifest_of(self._log.log_id, *place, kept, raw, packed, end.digest)
        data = segments.write_manifest(manifest)
        name = segments.manifest_key(key)
        if not await self._archive.put_if_absent(name, data):
            found = await self._archive.get(name) or b""
            if found != data:
                raise ArchiveDamaged(f"{name} does not describe the segment beside it; `iv3 verify` says more")
        end.following, end.digest = manifest.last + 1, segments.sha256(data)
        return manifest.records

    async def _existing(self, place: Partition, key: str) -> tuple[list[ArchivedRecord], bytes, bytes]:
        """What a crash, or another writer, put there first: read it and hold it against the log."""
        packed = await self._archive.get(key) or b""
        try:
            raw, kept = await asyncio.to_thread(segments.unpack, packed)
        except SegmentDamaged as error:
            raise ArchiveDamaged(f"{key} {error}") from error
        if not kept:
            raise ArchiveDamaged(f"{key} is empty")
        logged = await self._log.read(*place, kept[0].offset, kept[-1].offset + 1, len(kept))
        if [ArchivedRecord(r.offset, r.timestamp_ms, r.key, r.value, r.headers) for r in logged] != kept:
            raise ArchiveDamaged(f"{key} holds other records than the log; it belongs to another log or was changed")
        return kept, raw, packed


async def _last_manifests(archive: Archive, log_id: str) -> dict[Place, tuple[Named | None, Named | None]]:
    """For each partition the manifest of its last day, and the last one of a small segment."""
    last: dict[Place, tuple[Named | None, Named | None]] = {}
    for key in await archive.list(segments.folder_of(log_id)):
        place, name = place_of(key), named(key)
        if place is not None and name is not None and name.is_manifest:
            day, small = last.get(place, (None, None))
            last[place] = (name, small) if name.is_day else (day, name)  # the list is sorted, so the last one stays
    return last


def _manifest(key: str, data: bytes) -> Manifest:
    try:
        return segments.read_manifest(data)
    except SegmentDamaged as error:
        raise ArchiveDamaged(f"{key} {error}") from error


# -- verification ----------------------------------------------------------------------------------


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
    keys = [key.split("/") for key in await archive.list(f"{segments.ROOT}/") if key.count("/") >= 2]
    going = {parts[1] for parts in keys if parts[2:] == [segments.REMOVAL]}
    return sorted({parts[1] for parts in keys} - going)


async def the_log_id(archive: Archive, log_id: str | None) -> str:
    """The log that is meant; where none is named, the one whose head was written last. Raises ArchiveDamaged if there is none."""
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
    progress: Progress | None = None,
    take: Take | None = None,
    survey: Survey | None = None,
) -> VerifyReport:
    """Read every object of a log and check it; `take` gets the records of each good segment, in order.

    Raises ArchiveUnavailable; ArchiveChanged where a merge took away what a `survey` of a while ago named, or what `take` waits for.
    """
    for _ in range(_LOOKS - 1):
        try:
            return await _read_once(archive, survey or await look(archive, log_id), progress, take)
        except ArchiveChanged:
            if take is not None or survey is not None:
                raise
    return await _read_once(archive, survey or await look(archive, log_id), progress, take)


async def _read_once(archive: Archive, survey: Survey, progress: Progress | None, take: Take | None) -> VerifyReport:
    report = VerifyReport(survey.log_id, problems=list(survey.problems), leftovers=len(survey.leftovers))
    if survey.head is not None:
        report.demo, report.written_ms = survey.head.demo, survey.head.written_ms
    total, links, listed = survey.records, survey.links, set(survey.keys)
    reading = ahead(archive, [link.segment for link in links])
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
            if progress is not None:
                progress(report.records, total)
    finally:
        await reading.aclose()
    return report


async def _checked(report: VerifyReport, link: Link, packed: bytes | None) -> list[ArchivedRecord] | None:
    """The records, if the segment is what its manifest says."""
    if packed is None:
        return None  # the survey said so
    try:
        records = await asyncio.to_thread(segments.check, link.manifest, packed)
    except SegmentDamaged as error:
        report.problems.append(f"{link.segment} {error}")
        return None
    report.segments += 1
    report.records += link.manifest.records
    report.bytes += link.manifest.size
    return records
