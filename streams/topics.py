"""Every topic in one table: what it holds, by what it is keyed, how long it is kept."""

from dataclasses import dataclass
from functools import lru_cache

from schemas.envelope import peek_type

PARTITIONS = 12  # the same on every log; enough for 12 workers, cheap enough for one

JOURNAL = "iv3.journal"
FORECASTS = "iv3.forecasts"
ALERTS = "iv3.alerts"
SNAPSHOTS = "iv3.snapshots"
HEARTBEATS = "iv3.heartbeats"
DEAD_LETTERS = "iv3.dead-letters"

PROJECTOR = "projector"  # the role whose dead letters a replay leaves out

DAY_S = 86_400
_ESSENTIAL = (b"iv3.reading.", b"iv3.source-state.")


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `retention_s` None means for ever; `compacted` keeps the newest record of each key."""

    name: str
    holds: str
    keyed_by: str
    retention_s: int | None = None
    compacted: bool = False


TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        Topic(JOURNAL, "facts: readings, entries, corrections, profile, tokens, source states", "person"),
        Topic(FORECASTS, "one forecast per reading", "person"),
        Topic(ALERTS, "decisions, and what became of each attempt to tell somebody", "person"),
        Topic(SNAPSHOTS, "states of folds", "role/person", compacted=True),
        Topic(HEARTBEATS, "alarms decided through a moment, per partition", "partition", retention_s=DAY_S),
        Topic(DEAD_LETTERS, "where records lie that can never be handled, and why", "role"),
    )
}


@lru_cache(100_000)
def murmur2(data: bytes) -> int:
    """Kafka's murmur2 as an unsigned 32-bit number, so that a key lies in the same partition on every log."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    length = len(data)
    h = (0x9747B28C ^ length) & mask
    whole = length - length % 4
    for i in range(0, whole, 4):
        k = (int.from_bytes(data[i : i + 4], "little") * m) & mask
        k = ((k ^ (k >> 24)) * m) & mask
        h = ((h * m) & mask) ^ k
    if length % 4:
        h = ((h ^ int.from_bytes(data[whole:], "little")) * m) & mask
    h = ((h ^ (h >> 13)) * m) & mask
    return h ^ (h >> 15)


def partition_of(key: str | bytes, partitions: int = PARTITIONS) -> int:
    """The partition of a key, by the rule of Kafka's default partitioner."""
    raw = key.encode() if isinstance(key, str) else key
    return (murmur2(raw) & 0x7FFFFFFF) % partitions


def is_essential(topic: str, value: bytes) -> bool:
    """What may still be appended when the disk is nearly full: readings, source states, and everything an alarm
    needs.
    """
    if topic in (ALERTS, HEARTBEATS, DEAD_LETTERS):
        return True
    return topic == JOURNAL and peek_type(value).startswith(_ESSENTIAL)


ARCHIVED = (JOURNAL, FORECASTS, ALERTS, DEAD_LETTERS)  # snapshots and heartbeats are made again
