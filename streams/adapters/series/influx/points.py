"""What the Series looks like in InfluxDB: line protocol, tags, and at which nanosecond each row lies.

A point is itself by measurement, tags and time, and the last write of a field wins; so every point is written with all
its fields, and what may happen twice within a millisecond gets a place of its own there, by its name. Tags have few
values. Numbers are floats, for InfluxDB fixes a field's type for a week. A text that is missing is empty.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from processors.entries import EntryVersion, content_json, entry_of
from processors.readings import Reading
from schemas.facts import CarbsEaten, ExerciseDone, FingerstickTaken, InsulinTaken
from schemas.model import Partition

READINGS, REPLACED, ENTRIES, FORECASTS, ALERTS = "readings", "readings_replaced", "entries", "forecasts", "alerts"
# The ledger: what the projector itself goes by. One week of 1970 holds all of it, and so one shard: what one request
# writes there is whole.
BY_ID, POSITION, STAMP = "entries_by_id", "position", "stamp"
TAGS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys((READINGS, REPLACED), ("person", "source")),
    ENTRIES: ("person", "kind", "insulin"),
    **dict.fromkeys((FORECASTS, ALERTS), ("person",)),
    BY_ID: ("shelf",),
    POSITION: ("topic", "partition"),
    STAMP: (),
}
LEDGER_NS = 345_600_000_000_000  # 1970-01-05, a Monday, on which InfluxDB's weeks begin
IN_LEDGER = f"time>={LEDGER_NS} AND time<{LEDGER_NS + 7 * 86_400_000_000_000}"
_SHELVES, _SHELF_NS = 16, 1 << 49  # 2^49 ns are 6.5 days
PROBES = 8  # two names at one place are as good as impossible; eight are
SLOTS = 999_999
MIN_NS, MAX_NS = -9_223_372_036_854_775_806, 9_223_372_036_854_775_806  # years 1677 to 2262

_ESCAPED = str.maketrans({character: f"\\{character}" for character in ",= "})
# Line protocol cannot carry these to the end of a tag, or a delete's predicate not quote them.
_ENCODED = frozenset("%\\\"'")
untag = unquote  # the text that a stored tag stands for
_AMOUNTS = {InsulinTaken: "units", CarbsEaten: "grams", FingerstickTaken: "glucose_mgdl", ExerciseDone: "minutes"}


class Key(NamedTuple):
    """One series of InfluxDB: measurement and tags as line protocol writes them, and as a deletion names them."""

    text: str
    predicate: str


class PointId(NamedTuple):
    """Where a point lies. Two points with one place are one."""

    key: Key
    ns: int


def tag(value: str) -> str:
    """A tag's value as it is stored: any text, one to one."""
    return "".join(quote(c, safe="") if c in _ENCODED or not c.isprintable() else c for c in value)


@lru_cache(10_000)
def key_of(measurement: str, *values: str) -> Key:
    """The series of these tags, in the order of `TAGS`. No insulin is an empty one, which InfluxDB leaves out."""
    text, predicate = measurement, f'_measurement="{measurement}"'
    for name, value in zip(TAGS[measurement], values, strict=True):
        if value or name != "insulin":
            stored = tag(value)
            text += f",{name}={stored.translate(_ESCAPED)}"
            predicate += f' AND {name}="{stored}"'
    return Key(text, predicate)


def hashed(name: str) -> int:
    """A number below 2^64 that follows from a name; its slot is 1 plus the rest by `SLOTS`."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")


def quoted(text: str) -> str:
    """A text as the value of a field."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def line(place: PointId, fields: str) -> str:
    """One line of line protocol."""
    return f"{place.key.text} {fields} {place.ns}"


def reading_fields(reading: Reading, recorded_ms: int) -> str:
    """A reading; no trend is an empty one."""
    name, trend = quoted(reading.id), reading.trend or ""
    return f'glucose_mgdl={float(reading.glucose_mgdl)!r},trend="{trend}",id={name},recorded_ms={recorded_ms}'


def entry_key(version: EntryVersion) -> Key:
    """The series of an entry: person, kind and, of a dose, the insulin."""
    data = version.data
    return key_of(ENTRIES, version.person, version.kind, data.insulin if isinstance(data, InsulinTaken) else "")


def entry_fields(version: EntryVersion) -> str:
    """An entry, with its amount in the unit that the field's name says, so that it can be drawn."""
    name = _AMOUNTS.get(type(version.data))
    amount = f",{name}={float(getattr(version.data, name))!r}" if name else ""
    return _version_fields(version) + amount


def _version_fields(version: EntryVersion) -> str:
    return (
        f"id={quoted(version.id)},time_ms={version.time_ms},revision={version.revision},"
        f"deleted={str(version.deleted).lower()},data={quoted(content_json(version).decode())},"
        f"recorded_ms={version.recorded_ms},actor={quoted(version.actor or '')}"
    )


def entry_from(row: Sequence[Any]) -> EntryVersion:
    """The entry in a row of `ENTRY_COLUMNS`."""
    name, person, kind, at, revision, deleted, data, recorded, actor = row
    return entry_of((name, untag(person), kind, int(at), int(revision), deleted, data, int(recorded), actor or None))


def by_id_place(entry_id: str) -> PointId:
    """Where the newest version of an entry is found by its id, whenever it happened."""
    number = hashed(entry_id)
    shelf, at = number % _SHELVES, number // _SHELVES % (_SHELF_NS - PROBES)
    return PointId(key_of(BY_ID, f"{shelf:x}"), LEDGER_NS + at)


def by_id_fields(version: EntryVersion, place: PointId) -> str:
    """The whole version, and its place in the second."""
    more = f",person={quoted(tag(version.person))},kind={quoted(version.kind)},slot={place.ns // 1000 % 1_000_000}"
    return _version_fields(version) + more


def kept_from(row: Sequence[Any]) -> tuple[EntryVersion, PointId]:
    """The entry in a row of `ENTRY_COLUMNS` and `slot`, and where its point lies."""
    version = entry_from(row[:-1])
    return version, PointId(entry_key(version), (version.time_ms // 1000 * 1_000_000 + int(row[-1])) * 1000)


def position_line(partition: Partition, head: int) -> str:
    """The position of a partition. The largest counts, whoever wrote it when; each lies at a time of its own."""
    return line(PointId(key_of(POSITION, *map(str, partition)), LEDGER_NS + head), f"next={head}")


def stamp_line(stamp: str) -> str:
    """Whose bucket this is."""
    return line(PointId(key_of(STAMP), LEDGER_NS), f"log={quoted(stamp)}")
