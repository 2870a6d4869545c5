"""Segments: how the archive is laid out. docs/reference/archive.md is the format's document; everything here is bytes
in, bytes out.

A segment holds consecutive records of one partition, one JSON line each, compressed with zstd; beside it lies a
manifest with its digests, chained to the manifest before it. Small segments are merged into one of a day, whose
manifest holds both ends of the chain that it replaces. `head.json` names the heads and the last manifest of every
partition, so that a missing tail is noticed too.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from backports import zstd

FORMAT = 1
DAY_FORMAT = 2  # of the manifest of a merged segment: a release that cannot read it says so instead of finding damage
ROOT = "v1"
USUAL_PARTITIONS = 12  # of a log whose head does not say how many it has
# beside a log's head once its removal was begun: it is no choice any more, and the next one finishes it
REMOVAL = "removal.json"
_LEVEL = 3
SEGMENT, MANIFEST = ".jsonl.zst", ".manifest.json"
_DAY_LEVEL = 19  # once a day and kept for ever: a seventh of a second for an eighth of the size
MOST_RAW_BYTES = 512 * 1024 * 1024  # a segment that claims to be larger is none of ours


class ArchivedRecord(NamedTuple):
    """One record, byte for byte as the log had it."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class SegmentDamaged(ValueError):
    """The bytes are not the segment they should be; the sentence says how."""


class Manifest(NamedTuple):
    """A segment's manifest."""

    log_id: str
    topic: str
    partition: int
    first: int
    last: int
    records: int
    raw_sha256: str
    sha256: str
    size: int
    first_ms: int
    last_ms: int
    previous: str  # SHA-256 of the manifest before it, empty for the first
    # of a merged segment only: SHA-256 of the last manifest it replaced, which the next one names as its previous
    ends: str = ""


def folder_of(log_id: str, topic: str = "", partition: int | None = None) -> str:
    """The prefix under which a log's, a topic's or a partition's objects lie."""
    place = f"{ROOT}/{log_id}/"
    if topic:
        place += f"{topic}/"
    if partition is not None:
        place += f"{partition:05d}/"
    return place


def segment_key(log_id: str, topic: str, partition: int, first: int) -> str:
    """A segment is named by its first offset alone: of two writers the first wins, and the other goes on behind it."""
    return f"{folder_of(log_id, topic, partition)}{first:020d}{SEGMENT}"


def manifest_key(segment: str) -> str:
    """The manifest beside a segment."""
    return segment.removesuffix(SEGMENT) + MANIFEST


def day_segment_key(log_id: str, topic: str, partition: int, first: int, digest: str) -> str:
    """A merged segment. Other bytes have another name, so that nobody's is ever taken for another's; its manifest says
    which one counts.
    """
    return f"{folder_of(log_id, topic, partition)}{first:020d}.day-{digest[:12]}{SEGMENT}"


def day_manifest_key(log_id: str, topic: str, partition: int, first: int) -> str:
    """The manifest of a merged segment; of two mergers the first to put it wins."""
    return f"{folder_of(log_id, topic, partition)}{first:020d}.day{MANIFEST}"


def described_by(manifest: Manifest) -> tuple[str, str]:
    """Keys of a manifest and of its segment."""
    place = (manifest.log_id, manifest.topic, manifest.partition, manifest.first)
    if manifest.ends:
        return day_manifest_key(*place), day_segment_key(*place, manifest.sha256)
    segment = segment_key(*place)
    return manifest_key(segment), segment


def head_key(log_id: str) -> str:
    """The one object of a log that is ever replaced."""
    return f"{ROOT}/{log_id}/head.json"


# -- records ---------------------------------------------------------------------------------------


def _text(data: bytes | None) -> Any:  # noqa: ANN401 - JSON
    if data is None:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}


def _bytes(said: Any) -> bytes | None:  # noqa: ANN401 - JSON
    if said is None:
        return None
    if isinstance(said, str):
        return said.encode("utf-8")
    return base64.b64decode(said["base64"], validate=True)


def pack(records: Sequence[ArchivedRecord], *, day: bool = False) -> tuple[bytes, bytes]:
    """A segment's bytes: (JSON lines, the same compressed). The same records always give the same bytes."""
    lines = []
    for record in records:
        said = {
            "offset": record.offset,
            "timestamp_ms": record.timestamp_ms,
            "key": _text(record.key),
            "value": _text(record.value),
        }
        if record.headers:
            said["headers"] = [[name, _text(value)] for name, value in record.headers]
        lines.append(json.dumps(said, ensure_ascii=False, separators=(",", ":")))
    raw = ("\n".join(lines) + "\n").encode("utf-8")
    return raw, zstd.compress(raw, level=_DAY_LEVEL if day else _LEVEL)


def unpack(compressed: bytes) -> tuple[bytes, list[ArchivedRecord]]:
    """The JSON lines of a segment, and the records in them. Raises SegmentDamaged."""
    try:
        decompressor = zstd.ZstdDecompressor()
        raw = decompressor.decompress(compressed, max_length=MOST_RAW_BYTES)
        if not decompressor.eof:
            raise SegmentDamaged("is cut short")
        records = [_record(json.loads(line)) for line in raw.decode("utf-8").split("\n")[:-1]]
    except SegmentDamaged:
        raise
    except (zstd.ZstdError, ValueError, KeyError, TypeError) as error:
        raise SegmentDamaged(f"cannot be read: {error}") from error
    return raw, records


def _record(said: dict[str, Any]) -> ArchivedRecord:
    headers = tuple((str(name), _bytes(value) or b"") for name, value in said.get("headers", ()))
    key, value = _bytes(said["key"]), _bytes(said["value"])
    return ArchivedRecord(int(said["offset"]), int(said["timestamp_ms"]), key, value, headers)


# -- manifests -------------------------------------------------------------------------------------


def manifest_of(
    log_id: str,
    topic: str,
    partition: int,
    records: Sequence[ArchivedRecord],
    raw: bytes,
    compressed: bytes,
    previous: str,
) -> Manifest:
    """The manifest of a segment of these records."""
    return Manifest(
        log_id,
        topic,
        partition,
        records[0].offset,
        records[-1].offset,
        len(records),
        sha256(raw),
        sha256(compressed),
        len(compressed),
        records[0].timestamp_ms,
        records[-1].timestamp_ms,
        previous,
    )


def end_of(manifest: Manifest, data: bytes) -> str:
    """The end of a segment, which the next manifest names as its previous."""
    return manifest.ends or sha256(data)


def write_manifest(manifest: Manifest) -> bytes:
    """The manifest as JSON."""
    said = manifest._asdict()
    if not manifest.ends:
        del said["ends"]
    return _json({"format": DAY_FORMAT if manifest.ends else FORMAT, **said})


_NUMBERS = {"partition", "first", "last", "records", "size", "first_ms", "last_ms"}


def read_manifest(data: bytes) -> Manifest:
    """The manifest in these bytes. Raises SegmentDamaged."""
    try:
        said = json.loads(data)
        if said.pop("format") not in (FORMAT, DAY_FORMAT):
            raise SegmentDamaged("was written by a newer release: upgrade this one")
        manifest = Manifest(**said)
    except SegmentDamaged:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SegmentDamaged(f"is no manifest: {error}") from error
    # Written again it must be the same bytes: then whatever was changed in it shows here, or in what it describes.
    if any(type(value) is not (int if name in _NUMBERS else str) for name, value in manifest._asdict().items()):
        raise SegmentDamaged("is no manifest: a value is not of its kind")
    if write_manifest(manifest) != data:
        raise SegmentDamaged("is not written as manifests are: it was changed")
    return manifest


def _json(said: dict[str, Any]) -> bytes:
    return (json.dumps(said, indent=1) + "\n").encode("utf-8")


def check(manifest: Manifest, compressed: bytes) -> list[ArchivedRecord]:
    """The records of a segment that is exactly what its manifest says. Raises SegmentDamaged saying what is not."""
    if len(compressed) != manifest.size:
        raise SegmentDamaged(f"has {len(compressed)} bytes instead of {manifest.size}")
    if sha256(compressed) != manifest.sha256:
        raise SegmentDamaged("has another SHA-256 than its manifest says")
    raw, records = unpack(compressed)
    if sha256(raw) != manifest.raw_sha256:
        raise SegmentDamaged("holds other lines than its manifest says")
    offsets = [record.offset for record in records]
    if offsets != list(range(manifest.first, manifest.last + 1)) or len(records) != manifest.records:
        raise SegmentDamaged(f"does not hold offsets {manifest.first} to {manifest.last}")
    if (records[0].timestamp_ms, records[-1].timestamp_ms) != (manifest.first_ms, manifest.last_ms):
        raise SegmentDamaged("is of another time than its manifest says")
    return records


# -- head ------------------------------------------------------------------------------------------


def write_head(
    log_id: str,
    ends: Iterable[tuple[str, int, int, str]],
    *,
    demo: bool,
    written_ms: int,
    partitions: int = USUAL_PARTITIONS,
) -> bytes:
    """`head.json`: for each (topic, partition) the next offset and the digest of the last manifest, and how the log is
    split.
    """
    heads = {
        f"{topic}/{number}": {"next": following, "manifest": end} for topic, number, following, end in sorted(ends)
    }
    said = {"format": FORMAT, "log_id": log_id, "demo": demo, "written_ms": written_ms, "heads": heads}
    # So that a release that knows only the usual number reads every archive that it can restore.
    if partitions != USUAL_PARTITIONS:
        said["partitions"] = partitions
    return _json({**said, "sha256": sha256(_json(said))})  # nothing else holds its digest


class Head(NamedTuple):
    """The content of `head.json`."""

    log_id: str
    demo: bool
    written_ms: int
    heads: dict[tuple[str, int], tuple[int, str]]
    partitions: int = USUAL_PARTITIONS


def read_head(data: bytes) -> Head:
    """The head in these bytes. Raises SegmentDamaged."""
    try:
        said = json.loads(data)
        digest = said.pop("sha256", None)
        if said["format"] != FORMAT:
            raise SegmentDamaged("was written by a newer release: upgrade this one")
        if set(said) - {"partitions"} != {"format", "log_id", "demo", "written_ms", "heads"}:
            raise SegmentDamaged("says what no head says")
        if digest is not None and (sha256(_json(said)) != digest or _json({**said, "sha256": digest}) != data):
            raise SegmentDamaged("has another SHA-256 than it says")
        heads = {}
        for place, end in said["heads"].items():
            topic, _, partition = place.rpartition("/")
            heads[topic, int(partition)] = (int(end["next"]), str(end["manifest"]))
        partitions = int(said.get("partitions", USUAL_PARTITIONS))
        if any(partition >= partitions for _, partition in heads):
            raise SegmentDamaged(f"names a partition beyond the {partitions} of its log")
        return Head(str(said["log_id"]), bool(said["demo"]), int(said["written_ms"]), heads, partitions)
    except SegmentDamaged:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SegmentDamaged(f"is no head: {error}") from error


def sha256(data: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(data).hexdigest()
