"""Merging: the small segments of a day that is over become one, so that years stay quick to list and to restore.

The order makes every stop harmless: the day's segment is put and read back; then its manifest, from which moment on the
small ones no longer count; then these are deleted. Whoever comes next, this process or another, finishes what was
begun. Of two mergers at once the first manifest wins.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass, field

from processors.archive import format as segments
from processors.archive.chain import Chain, Link, ObjectName, chain
from processors.archive.compaction import delay_ms, groups
from processors.archive.format import Manifest, SegmentDamaged
from schemas.model import Partition
from streams.archive.inventory import AHEAD, blaming, checked, objects_of, prefetch, records_of
from streams.errors import ArchiveChanged, ArchiveDamaged
from streams.ports.archive import Archive
from streams.ports.log import Progress, unwatched

logger = logging.getLogger("iv3.merge")


@dataclass
class MergeReport:
    """What a merge did. `problems` names what kept it from a partition; that partition is left as it is."""

    log_id: str
    days: int = 0
    merged: int = 0
    deleted: int = 0
    problems: list[str] = field(default_factory=list)


async def merge(archive: Archive, log_id: str, now_ms: int, progress: Progress = unwatched) -> MergeReport:
    """Merge every day of a log that is over at `now_ms` (by the clock that stamps records). Raises
    ArchiveUnavailable.
    """
    report = MergeReport(log_id)
    by_place = await objects_of(archive, log_id)
    for number, (place, names) in enumerate(sorted(by_place.items())):
        try:
            await _Partition(archive, log_id, place, names, report).merge(now_ms)
        except (ArchiveChanged, ArchiveDamaged) as error:
            if isinstance(error, ArchiveChanged) or await _is_merged_meanwhile(archive, log_id, place, names):
                logger.info("another merge is at work in %s/%s; it is left to it", *place)
            else:
                report.problems.append(str(error))
        progress(number + 1, len(by_place))
    return report


async def _is_merged_meanwhile(archive: Archive, log_id: str, place: Partition, listed: list[ObjectName]) -> bool:
    """Whether a day has come since the partition was listed: then what is missing was merged into it and deleted by
    somebody else.
    """
    known = {name.key for name in listed}
    now = (await objects_of(archive, log_id)).get(place, [])
    return any(name.is_day and name.is_manifest and name.key not in known for name in now)


class _Partition:
    """One partition of the archive, as it was listed."""

    def __init__(
        self, archive: Archive, log_id: str, place: Partition, names: list[ObjectName], report: MergeReport
    ) -> None:
        self._archive, self._log_id, self._place, self._report = archive, log_id, place, report
        self._days = {name.first: name.key for name in names if name.is_day and name.is_manifest}
        self._days_segments = [name for name in names if name.is_day and not name.is_manifest]
        self._small = [name for name in names if not name.is_day]
        self._whole: dict[int, Manifest] = {}  # days whose segment was read back and is right

    async def merge(self, now_ms: int) -> None:
        """Delete what is left over, then merge what is over."""
        last = await self._day(max(self._days)) if self._days else None
        end = last.last + 1 if last is not None else 0
        await self._delete_leftovers([name for name in self._small if name.first < end], end)
        small = [name.key for name in self._small if name.first >= end]
        found = await self._chain(small, (end, last.ends if last is not None else ""))
        for run in groups(found.links, now_ms, delay_ms(self._log_id)):
            await self._one(run)

    async def _chain(self, keys: Sequence[str], since: tuple[int, str]) -> Chain:
        described = {}
        async for key, data in prefetch(self._archive, [key for key in keys if key.endswith(segments.MANIFEST)]):
            if data is None:
                raise ArchiveChanged(f"{key} was merged while it was looked at")
            described[key] = data
        found = chain(self._log_id, self._place, keys, described, since)
        if found.problems:
            raise ArchiveDamaged(found.problems[0])
        return found

    async def _one(self, run: Sequence[Link]) -> None:
        """Put a day in the place of these segments, and delete them."""
        first = run[0].manifest
        records = [record async for record in records_of(self._archive, run)]
        raw, packed = await asyncio.to_thread(segments.pack, records, day=True)
        manifest = first._replace(
            last=run[-1].manifest.last,
            last_ms=run[-1].manifest.last_ms,
            records=sum(link.manifest.records for link in run),
            size=len(packed),
            raw_sha256=segments.sha256(raw),
            sha256=segments.sha256(packed),
            ends=run[-1].end,
        )
        name, segment = segments.described_by(manifest)
        await self._archive.put_if_absent(segment, packed)
        await checked(manifest, segment, await self._archive.get(segment))
        said = segments.write_manifest(manifest)
        if not await self._archive.put_if_absent(name, said) and await self._archive.get(name) != said:
            raise ArchiveChanged(f"{name} was put by another merge, over another range")
        if await self._archive.get(name) != said:
            raise ArchiveDamaged(f"{name} was not stored as it was sent; the small segments stay")
        self._report.days += 1
        self._report.merged += len(run)
        self._whole[manifest.first] = manifest
        self._days[manifest.first] = name
        strays = [name.key for name in self._days_segments if name.first == manifest.first and name.key != segment]
        await self._delete([key for link in run for key in (link.segment, link.name)] + strays)

    # -- what an earlier merge could not finish ----------------------------------------------------

    async def _delete_leftovers(self, small: Sequence[ObjectName], end: int) -> None:
        """Small objects inside a merged day, and days' segments that lost to another. A day is read back before
        anything of it goes.
        """
        firsts = sorted(self._days)
        gone, far = [], {first async for first in self._reaching_beyond(small, end)}
        for name in small:
            day = await self._day(max((first for first in firsts if first <= name.first), default=-1))
            if day is not None and name.first <= day.last and name.first not in far:
                gone.append(name.key)
        for name in self._days_segments:
            day = await self._day(name.first) if name.first in self._days else None
            if day is not None and segments.described_by(day)[1] != name.key:
                gone.append(name.key)
        await self._delete(gone)

    async def _reaching_beyond(self, small: Sequence[ObjectName], end: int) -> AsyncGenerator[int, None]:
        """Where segments begin that hold more than the days: one who slept for long put them. They wait until the days
        have it all.
        """
        wanted = {name.key: name.first for name in small if name.is_manifest}
        async for key, data in prefetch(self._archive, wanted):
            try:
                if data is not None and segments.read_manifest(data).last >= end:
                    yield wanted[key]
            except SegmentDamaged:
                yield wanted[key]  # nobody can say what it holds

    async def _day(self, first: int) -> Manifest | None:
        """The manifest of the day that begins here, once its segment was read back. Raises ArchiveDamaged,
        ArchiveChanged.
        """
        if first not in self._days or first in self._whole:
            return self._whole.get(first)
        key = self._days[first]
        data = await self._archive.get(key)
        if data is None:
            raise ArchiveChanged(f"{key} is gone")
        with blaming(key):
            manifest = segments.read_manifest(data)
        name, segment = segments.described_by(manifest)
        if name != key:
            raise ArchiveDamaged(f"{key} describes another place")
        await checked(manifest, segment, await self._archive.get(segment))
        self._whole[first] = manifest
        return manifest

    async def _delete(self, keys: Iterable[str]) -> None:
        """A few at a time; a segment before its manifest does not matter: a day stands for both."""
        keys = list(keys)
        for start in range(0, len(keys), AHEAD):
            await asyncio.gather(*(self._archive.delete(key) for key in keys[start : start + AHEAD]))
        self._report.deleted += len(keys)
