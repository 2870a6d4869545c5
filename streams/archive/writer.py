"""Backup: the log into an archive, whether once or, by the archiver, for as long as iv3 runs."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from processors.archive import format as segments
from processors.archive.chain import ObjectName
from processors.archive.format import ArchivedRecord, SegmentDamaged
from schemas.model import Partition
from streams.archive.inventory import blaming, looking_again, objects_of
from streams.clock import running_s
from streams.errors import ArchiveChanged, ArchiveDamaged
from streams.ports.archive import Archive
from streams.ports.clock import Clock
from streams.ports.log import Log, Progress, Record, read_archived, unwatched
from streams.topics import ARCHIVED, JOURNAL

logger = logging.getLogger("iv3.backup")

MOST_RECORDS = 10_000  # per segment: some megabytes, read and checked at once
# what is known of the archive's end is asked for again after that; merges leave alone what is younger than ten minutes
_FRESH_S = 60.0


@dataclass(slots=True)
class _End:
    """How far a partition is archived, and the digest of its last manifest."""

    following: int = 0
    digest: str = ""


class ArchiveWriter:
    """Brings the archive of a log up to date. Of two at work at once the first to put a segment wins, and the other
    goes on behind it.
    """

    def __init__(self, log: Log, archive: Archive, clock: Clock) -> None:
        self._log, self._archive, self._clock = log, archive, clock
        self._ends: dict[Partition, _End] | None = None
        self._head: bytes | None = None  # as it was read or written last
        self._looked_s = 0.0  # when it was, by the running clock

    async def open(self) -> None:
        """Learn from the archive's own manifests how far it is. Raises ArchiveUnavailable, ArchiveDamaged."""
        self._head, self._looked_s = await self._archive.get(segments.head_key(self._log.log_id)), running_s()
        there = await objects_of(self._archive, self._log.log_id)
        self._ends = {place: await self._end_of(names) for place, names in there.items()}

    async def _end_of(self, names: Sequence[ObjectName]) -> _End:
        """Where a partition ends: its last day, or the last small segment. One that begins inside a day does not count,
        however far it reaches.
        """
        end = _End()
        for is_day in (True, False):
            name = next((name for name in reversed(names) if name.is_manifest and name.is_day is is_day), None)
            if name is None or name.first < end.following:
                continue
            data = await self._archive.get(name.key)
            if data is None:  # merged away since it was listed
                raise ArchiveChanged(f"{name.key} was merged while the archive was looked at; it is tried again")
            with blaming(name.key):
                manifest = segments.read_manifest(data)
            end = _End(manifest.last + 1, segments.end_of(manifest, data))
        return end

    def waiting(self) -> int:
        """Records that are not archived yet."""
        ends = self._ends or {}
        heads = dict(self._log.heads).items()
        return sum(max(0, head - ends.get(at, _End()).following) for at, head in heads if at[0] in ARCHIVED)

    async def catch_up(self, progress: Progress = unwatched, *, say: bool = True) -> int:
        """Archive everything that is in the log now. Returns how many records. Raises ArchiveUnavailable,
        ArchiveDamaged.

        Without `say` the head is left to the next call: until it is there, nobody takes this log for the newest.
        """
        try:
            return await self._catch_up(progress, say=say)
        except (ArchiveChanged, ArchiveDamaged):
            self._ends = None  # it may not be as it was known
            raise

    async def _catch_up(self, progress: Progress, *, say: bool) -> int:
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
        await looking_again(self.open)

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
        said = segments.write_head(self._log.log_id, rows, demo=self._log.demo, written_ms=written, partitions=split)
        await self._archive.replace(segments.head_key(self._log.log_id), said)
        self._head = said

    async def _one(self, place: Partition, end: _End, records: list[Record]) -> int:
        """Put one segment and its manifest; an object that is there already wins, if it agrees with the log."""
        kept = [record.archived for record in records]
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
        with blaming(key):
            raw, kept = await asyncio.to_thread(segments.unpack, packed)
        if not kept:
            raise ArchiveDamaged(f"{key} is empty")
        if await read_archived(self._log, place, kept[0].offset, len(kept)) != kept:
            raise ArchiveDamaged(f"{key} holds other records than the log; it belongs to another log or was changed")
        return kept, raw, packed
