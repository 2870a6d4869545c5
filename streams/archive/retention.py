"""Retention: what an archive may forget. Records of the log in use never; but every restore, copy or erasure makes a
new log, and archives it anew, so that earlier logs lie beside it twice over. These are removed once they are old
enough, and once every record of theirs is in the log in use.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from processors.archive import format as segments
from processors.archive.chain import Chain
from processors.archive.format import ArchivedRecord
from schemas.model import Partition, at_ms
from streams.archive.inventory import Inventory, log_folders, records_of, removal_key, take_inventory
from streams.archive.verify import written_ms
from streams.errors import ArchiveDamaged
from streams.ports.archive import Archive

logger = logging.getLogger("iv3.retention")

DAY_MS = 86_400_000


class Unplaced(NamedTuple):
    """What a record is wherever it lies: another log may have it in another partition."""

    topic: str
    digest: bytes
    timestamp_ms: int


@dataclass
class Earlier:
    """One log that is not the one in use. `lost` says what no newer archive has; while it says anything, nothing is
    removed unasked.
    """

    log_id: str
    written_ms: int
    records: int = 0
    bytes: int = 0
    keys: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    kept_because: str = ""
    foreign: int = 0  # objects in its folder that its manifests do not name; they stay
    begun: bool = False  # an earlier removal was stopped


@dataclass
class RetentionPlan:
    """What would be removed, and what not and why."""

    in_use: str
    earlier: list[Earlier] = field(default_factory=list)

    @property
    def removable(self) -> list[Earlier]:
        """What goes."""
        return [log for log in self.earlier if not log.kept_because]


async def plan(
    archive: Archive, in_use: str, keep_days: int, now_ms: int, give_up: Collection[str] = ()
) -> RetentionPlan:
    """Look at every log but the one in use. `give_up` names those that may go although records of theirs are nowhere
    else.

    Raises ArchiveUnavailable; ArchiveDamaged if the log in use is not whole in the archive: then everything else may be
    needed.
    """
    newest = await take_inventory(archive, in_use)
    if newest.problems:
        raise ArchiveDamaged(f"nothing is removed: the log in use is not whole in the archive: {newest.problems[0]}")
    made = RetentionPlan(in_use)
    going = await log_folders(archive)
    for name in sorted(going.keys() - {in_use}):
        inventory = await take_inventory(archive, name)
        earlier = described(inventory, await written_ms(archive, name))
        made.earlier.append(earlier)
        if going[name]:
            earlier.begun = True
            earlier.keys += [removal_key(name)]
            continue
        earlier.kept_because = _too_young(inventory, earlier, newest, keep_days, now_ms)
        if earlier.kept_because:
            continue
        earlier.lost = await _lost(archive, inventory, newest)
        if earlier.lost and name not in give_up:
            earlier.kept_because = "records of it are nowhere else"
    return made


def _too_young(inventory: Inventory, earlier: Earlier, newest: Inventory, keep_days: int, now_ms: int) -> str:
    if inventory.head is None:
        return "it has no head: somebody may be writing it for the first time"
    if newest.head is None or earlier.written_ms >= newest.head.written_ms:
        return "it was written later than the log in use"
    age_days = (now_ms - earlier.written_ms) // DAY_MS
    return f"it was written {max(0, age_days)} days ago, and is kept for {keep_days}" if age_days < keep_days else ""


def described(inventory: Inventory, written: int) -> Earlier:
    """A log as its manifests describe it."""
    keys = [key for link in inventory.links for key in (link.segment, link.name)] + inventory.leftovers
    if inventory.head is not None:
        keys.append(segments.head_key(inventory.log_id))
    named, listed = {*keys, removal_key(inventory.log_id)}, set(inventory.keys)
    there, foreign = [key for key in keys if key in listed], sum(key not in named for key in inventory.keys)
    size = sum(link.manifest.size for link in inventory.links)
    return Earlier(inventory.log_id, written, inventory.records, size, there, foreign=foreign)


# -- what would be lost ----------------------------------------------------------------------------


async def _lost(archive: Archive, earlier: Inventory, newest: Inventory) -> list[str]:
    """In sentences, what the earlier log has and the newest has not. A restore keeps every record in its place, so most
    are met there.
    """
    said = [f"it is damaged: {problem}" for problem in earlier.problems[:3]]
    left: Counter[Unplaced] = Counter()
    for place, chain in sorted(earlier.chains.items()):
        try:
            left.update(await _not_in_place(archive, place, chain, newest.chains.get(place, Chain(place))))
        except ArchiveDamaged as error:
            said.append(f"it is damaged: {error}")
    if left:
        for place, chain in sorted(newest.chains.items()):
            async for record in records_of(archive, chain.links):
                left.pop(anywhere(place[0], record), None)
    return said + lost_in_words(left)


async def _not_in_place(archive: Archive, place: Partition, chain: Chain, newest: Chain) -> list[Unplaced]:
    """The records that the newest does not have at the same offset."""
    others = records_of(archive, newest.links)
    try:
        return [
            anywhere(place[0], record)
            async for record in records_of(archive, chain.links)
            if await anext(others, None) != record
        ]
    finally:
        await others.aclose()


def anywhere(topic: str, record: ArchivedRecord) -> Unplaced:
    """What a record is wherever it lies."""
    said = repr((record.key, record.value, record.headers)).encode()
    return Unplaced(topic, hashlib.blake2b(said, digest_size=16).digest(), record.timestamp_ms)


def lost_in_words(left: Iterable[Unplaced]) -> list[str]:
    """One sentence for each topic."""
    by_topic: dict[str, list[int]] = {}
    for record in left:
        by_topic.setdefault(record.topic, []).append(record.timestamp_ms)
    return [
        f"{len(times):,} different records of {topic}, of {at_ms(min(times)):%Y-%m-%d} to {at_ms(max(times)):%Y-%m-%d}"
        for topic, times in sorted(by_topic.items())
    ]


# -- removing --------------------------------------------------------------------------------------


async def remove(archive: Archive, made: RetentionPlan) -> int:
    """Remove what the plan names, key by key; how many objects. Stopped anywhere, the next removal finishes it. Raises
    ArchiveUnavailable.
    """
    count = 0
    for earlier in made.removable:
        if earlier.log_id == made.in_use:
            raise ValueError("the log in use is never removed")
        note = {"removed_for": made.in_use, "records": earlier.records}
        await archive.put_if_absent(removal_key(earlier.log_id), json.dumps(note).encode())
        for key in earlier.keys:  # a segment before its manifest, so that what is left can still be named
            if key != removal_key(earlier.log_id):
                await archive.delete(key)
        await archive.delete(removal_key(earlier.log_id))
        count += len(earlier.keys)
        logger.warning("the archive of the earlier log %s was removed: %s records", earlier.log_id, earlier.records)
    return count
