"""Backup, verification, restore: the log into an archive, the archive read back, and a log made of it. `archiver` uses the same writer."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from processors import segments
from processors.segments import ArchivedRecord, Manifest, SegmentDamaged
from streams.errors import ArchiveDamaged
from streams.ports import Archive, Clock, Log, Partition, Record
from streams.topics import ALERTS, DEAD_LETTERS, FORECASTS, JOURNAL

logger = logging.getLogger("iv3.backup")

ARCHIVED = (JOURNAL, FORECASTS, ALERTS, DEAD_LETTERS)  # snapshots and heartbeats are made again
MOST_RECORDS = 10_000  # per segment: some megabytes, read and checked at once

Progress = Callable[[int, int], None]


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

    async def open(self) -> None:
        """Learn from the archive's own manifests how far it is. Raises ArchiveUnavailable, ArchiveDamaged."""
        last: dict[Partition, str] = {}
        for key in await self._archive.list(segments.folder_of(self._log.log_id)):
            if key.endswith(".manifest.json"):
                _, _, topic, partition, _ = key.split("/")
                last[topic, int(partition)] = key  # the list is sorted, so the last one stays
        ends = {}
        for place, key in last.items():
            data = await self._archive.get(key) or b""
            ends[place] = _End(_manifest(key, data).last + 1, segments.sha256(data))
        self._ends = ends
        self._head = await self._archive.get(segments.head_key(self._log.log_id))

    def waiting(self) -> int:
        """Records that are not archived yet."""
        ends = self._ends or {}
        heads = dict(self._log.heads).items()
        return sum(max(0, head - ends.get(at, _End()).following) for at, head in heads if at[0] in ARCHIVED)

    async def catch_up(self, progress: Progress | None = None) -> int:
        """Archive everything that is in the log now. Returns how many records. Raises ArchiveUnavailable, ArchiveDamaged."""
        head_key = segments.head_key(self._log.log_id)
        if self._ends is not None and await self._archive.get(head_key) != self._head:
            self._ends = None  # another writer was here, or this is another disk than a while ago: look again
        if self._ends is None:
            await self.open()
        ends = self._ends if self._ends is not None else {}
        total, done = self.waiting(), 0
        for place, head in dict(self._log.heads).items():
            if place[0] not in ARCHIVED:
                continue
            end = ends.setdefault(place, _End())
            while end.following < head:
                records = await self._log.read(*place, end.following, head, MOST_RECORDS)
                done += await self._one(place, end, records)
                if progress is not None:
                    progress(done, total)
        if done or self._head is None:
            heads = [
                (topic, partition, end.following, end.digest)
                for (topic, partition), end in ends.items()
                if end.following
            ]
            written = self._clock.now_ms()
            said = segments.write_head(self._log.log_id, heads, demo=self._demo, written_ms=written)
            await self._archive.replace(head_key, said)
            self._head = said
        return done

    async def _one(self, place: Partition, end: _End, records: list[Record]) -> int:
        """Put one segment and its manifest; an object that is there already wins, if it agrees with the log."""
        kept = [ArchivedRecord(r.offset, r.timestamp_ms, r.key, r.value, r.headers) for r in records]
        key = segments.segment_key(self._log.log_id, *place, end.following)
        raw, packed = segments.pack(kept)
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
            raw, kept = segments.unpack(packed)
        except SegmentDamaged as error:
            raise ArchiveDamaged(f"{key} {error}") from error
        if not kept:
            raise ArchiveDamaged(f"{key} is empty")
        logged = await self._log.read(*place, kept[0].offset, kept[-1].offset + 1, len(kept))
        if [ArchivedRecord(r.offset, r.timestamp_ms, r.key, r.value, r.headers) for r in logged] != kept:
            raise ArchiveDamaged(f"{key} holds other records than the log; it belongs to another log or was changed")
        return kept, raw, packed


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


async def log_ids(archive: Archive) -> list[str]:
    """The logs an archive holds."""
    return sorted({key.split("/")[1] for key in await archive.list(f"{segments.ROOT}/") if key.count("/") >= 2})


async def the_log_id(archive: Archive, log_id: str | None) -> str:
    """The log that is meant; where none is named, the one whose head was written last. Raises ArchiveDamaged if there is none."""
    found = await log_ids(archive)
    if log_id is not None:
        if log_id not in found:
            raise ArchiveDamaged(f"the archive holds no log {log_id}; it holds {', '.join(found) or 'none'}")
        return log_id
    if not found:
        raise ArchiveDamaged("the archive is empty")
    written = []
    for name in found:
        data = await archive.get(segments.head_key(name))
        try:
            written.append((segments.read_head(data).written_ms if data else 0, name))
        except SegmentDamaged:
            written.append((0, name))
    return max(written)[1]


Take = Callable[[str, int, list[ArchivedRecord]], Awaitable[None]]


async def read_back(
    archive: Archive, log_id: str, progress: Progress | None = None, take: Take | None = None
) -> VerifyReport:
    """Read every object of a log and check it; `take` gets the records of each good segment, in order."""
    report = VerifyReport(log_id)
    keys = await archive.list(segments.folder_of(log_id))
    known = {segments.head_key(log_id)}
    ends: dict[Partition, _End] = {}
    digests: dict[Partition, set[str]] = {}
    manifests = [key for key in keys if key.endswith(".manifest.json")]
    for number, name in enumerate(manifests):
        segment = name.removesuffix(".manifest.json") + ".jsonl.zst"
        known |= {name, segment}
        await _check_one(archive, report, name, segment, ends, digests, take)
        if progress is not None:
            progress(number + 1, len(manifests))
    report.problems += [
        f"{key} is not part of this archive" for key in keys if key not in known and not _is_orphan(key, ends)
    ]
    await _check_head(archive, report, ends, digests)
    return report


def _is_orphan(key: str, ends: dict[Partition, _End]) -> bool:
    """A segment right behind the last manifest: a writer was stopped before it could describe it. It is harmless."""
    parts = key.split("/")
    if len(parts) != 5 or not key.endswith(".jsonl.zst"):
        return False
    end = ends.get((parts[2], int(parts[3])), _End())
    return parts[4] == f"{end.following:020d}.jsonl.zst"


async def _check_one(
    archive: Archive, report: VerifyReport, name: str, segment: str, ends: dict[Partition, _End],
    digests: dict[Partition, set[str]], take: Take | None,
) -> None:  # fmt: skip
    described = await archive.get(name) or b""
    try:
        manifest = segments.read_manifest(described)
    except SegmentDamaged as error:
        report.problems.append(f"{name} {error}")
        return
    place = (manifest.topic, manifest.partition)
    if segments.segment_key(manifest.log_id, *place, manifest.first) != segment:
        report.problems.append(
            f"{name} describes {manifest.topic}/{manifest.partition} from {manifest.first}: it lies in the wrong place"
        )
        return
    end = ends.setdefault(place, _End())
    if manifest.first != end.following:
        report.problems.append(f"{segment}: records {end.following} to {manifest.first - 1} before it are missing")
    elif manifest.previous != end.digest:
        report.problems.append(f"{name} does not follow the manifest before it: one of the two was changed")
    end.following, end.digest = manifest.last + 1, segments.sha256(described)
    digests.setdefault(place, set()).add(end.digest)
    packed = await archive.get(segment)
    if packed is None:
        report.problems.append(f"{segment} is missing")
        return
    try:
        records = segments.check(manifest, packed)
    except SegmentDamaged as error:
        report.problems.append(f"{segment} {error}")
        return
    report.segments += 1
    report.records += manifest.records
    report.bytes += manifest.size
    if take is not None:
        await take(manifest.topic, manifest.partition, records)


async def _check_head(
    archive: Archive, report: VerifyReport, ends: dict[Partition, _End], digests: dict[Partition, set[str]]
) -> None:
    name = segments.head_key(report.log_id)
    data = await archive.get(name)
    if data is None:
        report.problems.append(f"{name} is missing")
        return
    try:
        head = segments.read_head(data)
    except SegmentDamaged as error:
        report.problems.append(f"{name} {error}")
        return
    report.demo, report.written_ms = head.demo, head.written_ms
    for place, (following, digest) in head.heads.items():
        if ends.get(place, _End()).following < following:
            report.problems.append(
                f"{place[0]}/{place[1]}: the archive ends at {ends.get(place, _End()).following}, its head says {following}"
            )
        elif digest not in digests.get(place, set()):
            report.problems.append(f"{place[0]}/{place[1]}: the manifest that the head names is not there")
