"""Looking an archive over: what it lists and what its manifests say, several objects at a time, before any segment is
read.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from processors.archive import format as segments
from processors.archive.chain import (
    Chain,
    Link,
    ObjectName,
    chain,
    check_head,
    manifests_wanted,
    object_name,
    partition_of_key,
)
from processors.archive.format import ArchivedRecord, Head, Manifest, SegmentDamaged
from schemas.model import Partition
from streams.errors import ArchiveChanged, ArchiveDamaged
from streams.ports.archive import Archive
from streams.prefetch import prefetched

_T = TypeVar("_T")
AHEAD = 8  # objects asked for at once: the way to a bucket is long, and a day's segment is small
_LOOKS = 3  # a merge that deletes while we look is over in a moment


@dataclass
class Inventory:
    """What the archive of one log holds. `problems` names what is not as it should be, as far as manifests can say."""

    log_id: str
    head: Head | None = None
    chains: dict[Partition, Chain] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    @property
    def links(self) -> list[Link]:
        """Every segment that counts, in order."""
        return [link for place in sorted(self.chains) for link in self.chains[place].links]

    @property
    def records(self) -> int:
        """How many records the segments hold that count."""
        return sum(link.manifest.records for link in self.links)

    @property
    def leftovers(self) -> list[str]:
        """What a merge replaced and was stopped before it could delete."""
        return [key for found in self.chains.values() for key in found.leftovers]


def removal_key(log_id: str) -> str:
    """Where it is noted that a log is being removed."""
    return segments.folder_of(log_id) + segments.REMOVAL


async def log_folders(archive: Archive) -> dict[str, bool]:
    """The logs that anything is there of, and of each whether its removal was begun. Raises ArchiveUnavailable."""
    keys = [key.split("/") for key in await archive.list(f"{segments.ROOT}/") if key.count("/") >= 2]
    going = {parts[1] for parts in keys if parts[2:] == [segments.REMOVAL]}
    return {parts[1]: parts[1] in going for parts in keys}


async def objects_of(archive: Archive, log_id: str) -> dict[Partition, list[ObjectName]]:
    """The objects of each partition of a log, sorted by their keys. Raises ArchiveUnavailable."""
    found: dict[Partition, list[ObjectName]] = {}
    for key in await archive.list(segments.folder_of(log_id)):
        place, name = partition_of_key(key), object_name(key)
        if place is not None and name is not None:
            found.setdefault(place, []).append(name)
    return found


@contextmanager
def blaming(key: str) -> Iterator[None]:
    """Name the object whose bytes are not what they should be. Raises ArchiveDamaged."""
    try:
        yield
    except SegmentDamaged as error:
        raise ArchiveDamaged(f"{key} {error}") from error


async def checked(manifest: Manifest, key: str, packed: bytes | None) -> list[ArchivedRecord]:
    """The records of a segment that is exactly what its manifest says. Raises ArchiveDamaged."""
    if packed is None:
        raise ArchiveDamaged(f"{key} is missing")
    with blaming(key):
        return await asyncio.to_thread(segments.check, manifest, packed)


async def looking_again(work: Callable[[], Awaitable[_T]]) -> _T:
    """What `work` answers; where a merge was in its way, it is done again. Raises as `work`."""
    for _ in range(_LOOKS - 1):
        with suppress(ArchiveChanged):
            return await work()
    return await work()


async def records_of(archive: Archive, links: Sequence[Link]) -> AsyncGenerator[ArchivedRecord, None]:
    """The records of these segments, in order, each segment checked. Raises ArchiveDamaged, ArchiveUnavailable."""
    by_key = {link.segment: link for link in links}
    async for key, packed in prefetch(archive, by_key):
        for record in await checked(by_key[key].manifest, key, packed):
            yield record


async def prefetch(archive: Archive, keys: Iterable[str]) -> AsyncGenerator[tuple[str, bytes | None], None]:
    """Each key and its object, in order; a few are asked for before their turn. Raises ArchiveUnavailable."""

    async def get(key: str) -> tuple[str, bytes | None]:
        return key, await archive.get(key)

    async with aclosing(prefetched(map(get, keys), AHEAD)) as answers:
        async for answer in answers:
            yield answer


async def take_inventory(archive: Archive, log_id: str) -> Inventory:
    """List everything and read every manifest. Safe beside writers and mergers at work. Raises ArchiveUnavailable."""
    inventory = Inventory(log_id)
    for _ in range(_LOOKS):
        inventory = Inventory(log_id)
        # before the list: what comes after may be newer, never older
        head = await archive.get(segments.head_key(log_id))
        inventory.keys = await archive.list(segments.folder_of(log_id))
        described, vanished = await _manifests(archive, inventory.keys)
        _put_in_order(inventory, described, set(inventory.keys) - vanished)
        _take_head(inventory, head)
        if not vanished:
            return inventory
    return inventory


async def _manifests(archive: Archive, keys: Iterable[str]) -> tuple[dict[str, bytes], set[str]]:
    """(manifests, what was listed and is not there any more)."""
    wanted = manifests_wanted(key for key in keys if partition_of_key(key) is not None)
    described: dict[str, bytes] = {}
    vanished = set()
    async for key, data in prefetch(archive, wanted):
        if data is None:
            vanished.add(key)
        else:
            described[key] = data
    return described, vanished


def _put_in_order(inventory: Inventory, described: dict[str, bytes], present: set[str]) -> None:
    by_place: dict[Partition, list[str]] = {}
    for key in sorted(present):
        place = partition_of_key(key)
        if place is not None:
            by_place.setdefault(place, []).append(key)
        elif key not in (segments.head_key(inventory.log_id), removal_key(inventory.log_id)):
            inventory.problems.append(f"{key} is not part of this archive")
    for place, keys in sorted(by_place.items()):
        found = chain(inventory.log_id, place, keys, described)
        inventory.chains[place] = found
        inventory.problems += found.problems


def _take_head(inventory: Inventory, data: bytes | None) -> None:
    name = segments.head_key(inventory.log_id)
    if data is None:
        inventory.problems.append(f"{name} is missing")
        return
    try:
        inventory.head = segments.read_head(data)
    except SegmentDamaged as error:
        inventory.problems.append(f"{name} {error}")
        return
    if inventory.head.log_id != inventory.log_id:
        inventory.problems.append(f"{name} is the head of another log")
    inventory.problems += check_head(inventory.chains, inventory.head)
