"""The chain of one partition of the archive: which of its objects count, which were merged into a day's, and what is
wrong with the rest.

A segment of a day stands for the small ones it replaced, from its first offset to its last: what lies there of them is
left over from a merge that was stopped before it deleted them. Everything before the end of the last day is in days;
small segments follow.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from processors.archive import format as segments
from processors.archive.format import Head, Manifest, SegmentDamaged
from schemas.model import Partition

_NAME = re.compile(r"(\d{20})(\.day(?:-[0-9a-f]{12})?)?(\.jsonl\.zst|\.manifest\.json)")


class ObjectName(NamedTuple):
    """An object's key, taken apart."""

    key: str
    first: int
    is_day: bool
    is_manifest: bool


def object_name(key: str) -> ObjectName | None:
    """The parsed key of an object; None where it is not one of a partition's."""
    found = _NAME.fullmatch(key.rpartition("/")[2])
    if found is None:
        return None
    first, day, kind = found.groups()
    is_manifest = kind == segments.MANIFEST
    if day is None:
        return ObjectName(key, int(first), False, is_manifest)
    if is_manifest == (day == ".day"):  # a day's segment carries a digest in its name, its manifest none
        return ObjectName(key, int(first), True, is_manifest)
    return None


def partition_of_key(key: str) -> Partition | None:
    """The partition that an object's key lies in; None where it is not in a partition's folder."""
    parts = key.split("/")
    if len(parts) != 5 or not parts[3].isdecimal():
        return None
    return parts[2], int(parts[3])


class Link(NamedTuple):
    """A segment that counts."""

    manifest: Manifest
    name: str  # key of its manifest
    segment: str  # key of its object
    end: str  # what the next manifest names as its previous


@dataclass
class Chain:
    """A partition's chain of segments, and what is wrong with it."""

    place: Partition
    links: list[Link] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)  # replaced by a day's segment
    undescribed: list[str] = field(default_factory=list)  # its writer was stopped; harmless
    problems: list[str] = field(default_factory=list)
    following: int = 0
    end: str = ""

    def check_head(self, following: int, end: str) -> str:
        """What is wrong with where the head says that this partition ends; an empty string if nothing is."""
        where = f"{self.place[0]}/{self.place[1]}"
        if self.following < following:
            return f"{where}: the archive ends at {self.following}, its head says {following}"
        ends = {link.manifest.last + 1: link.end for link in self.links}
        if following in ends:
            is_known = ends[following] == end
        else:  # that manifest was merged away if the offset lies inside a day
            is_known = any(link.manifest.ends and link.manifest.first < following for link in self.links)
        return "" if is_known or not following else f"{where}: the manifest that the head names is not there"


def manifests_wanted(keys: Iterable[str]) -> list[str]:
    """Manifests that must be read to know the chain."""
    return [name.key for name in map(object_name, keys) if name is not None and name.is_manifest]


def chain(
    log_id: str, place: Partition, keys: Iterable[str], described: Mapping[str, bytes], since: tuple[int, str] = (0, "")
) -> Chain:
    """The chain that the objects of a partition make; `described` holds the manifests. Everything that is not as it
    should be becomes a problem.

    `since`, an offset and the end of the chain before it, leaves out what lies earlier; then `keys` must do so too.
    """
    found = Chain(place, following=since[0], end=since[1])
    keys = list(keys)
    names = [name for name in map(object_name, keys) if name is not None]
    known: set[str] = set()
    for name in sorted((n for n in names if n.is_manifest), key=lambda n: (n.first, not n.is_day)):
        if not name.is_day and name.first < _days_end(found):
            continue  # replaced; it is among the leftovers below
        known.add(name.key)
        manifest = _read(found, log_id, name, described)
        if manifest is not None:
            known.add(_add(found, manifest, name, described[name.key]))
        elif not name.is_day:
            known.add(name.key.removesuffix(segments.MANIFEST) + segments.SEGMENT)  # one damaged object is one problem
    present = set(keys)
    found.problems += [f"{link.segment} is missing" for link in found.links if link.segment not in present]
    for key in keys:
        if key not in known:
            _sort_out(found, key)
    return found


def _days_end(found: Chain) -> int:
    """The offset behind the last merged segment; it is the last link, or nothing was merged behind it."""
    return next((link.manifest.last + 1 for link in reversed(found.links) if link.manifest.ends), 0)


def _read(found: Chain, log_id: str, name: ObjectName, described: Mapping[str, bytes]) -> Manifest | None:
    try:
        manifest = segments.read_manifest(described[name.key])
    except SegmentDamaged as error:
        found.problems.append(f"{name.key} {error}")
        return None
    where = (manifest.log_id, manifest.topic, manifest.partition)
    if where != (log_id, *found.place) or segments.described_by(manifest)[0] != name.key:
        what = f"{manifest.topic}/{manifest.partition} from {manifest.first}"
        found.problems.append(f"{name.key} describes {what}: it lies in the wrong place")
        return None
    return manifest


def _add(found: Chain, manifest: Manifest, name: ObjectName, data: bytes) -> str:
    """Put it at the end of the chain; the key of its segment."""
    segment = segments.described_by(manifest)[1]
    if manifest.first > found.following:
        found.problems.append(f"{segment}: records {found.following} to {manifest.first - 1} before it are missing")
    elif manifest.first < found.following:
        found.problems.append(f"{name.key} describes records that another manifest describes too")
        return segment
    elif manifest.previous != found.end:
        found.problems.append(f"{name.key} does not follow the manifest before it: one of the two was changed")
    found.following, found.end = manifest.last + 1, segments.end_of(manifest, data)
    found.links.append(Link(manifest, name.key, segment, found.end))
    return segment


def _sort_out(found: Chain, key: str) -> None:
    """An object that no manifest of the chain names."""
    name = object_name(key)
    link = _around(found, name.first) if name is not None else None
    if link is not None and link.manifest.ends:
        found.leftovers.append(key)
    elif name is not None and not name.is_manifest and _was_begun(found, name):
        found.undescribed.append(key)
    else:
        found.problems.append(f"{key} is not part of this archive: no manifest describes it")


def _around(found: Chain, offset: int) -> Link | None:
    """The link that holds this offset."""
    at = bisect_right(found.links, offset, key=lambda link: link.manifest.first) - 1
    return found.links[at] if at >= 0 and offset <= found.links[at].manifest.last else None


def _was_begun(found: Chain, name: ObjectName) -> bool:
    """Whether a writer, or a merger, was stopped before it could describe this segment."""
    if not name.is_day:
        return name.first == found.following
    link = _around(found, name.first)
    return link is not None and link.manifest.first == name.first


def check_head(chains: Mapping[Partition, Chain], head: Head) -> list[str]:
    """Errors at the ends of the partitions, as the head knows them."""
    ends = head.heads.items()
    said = (chains.get(place, Chain(place)).check_head(following, end) for place, (following, end) in ends)
    return [problem for problem in said if problem]
