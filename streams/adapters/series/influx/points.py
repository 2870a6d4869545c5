"""What the Series looks like in InfluxDB: line protocol, tags, and at which nanosecond each row lies.

A point is itself by measurement, tags and time, and the last write of a field wins; so every point is written with all its fields, and whatever may
happen twice within a millisecond gets a place of its own there, which follows from its name. Tags have few values: person, source, kind, insulin.
Numbers are floats always, for InfluxDB fixes the type of a field for a week. A text that may be missing is empty then: the point stays whole.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple
from urllib.parse import unquote

from processors.entries import EntryVersion, content_json, entry_of
from processors.readings import Reading
from schemas.facts import CarbsEaten, ExerciseDone, FingerstickTaken, InsulinTaken

READINGS, REPLACED, ENTRIES, FORECASTS, ALERTS = "readings", "readings_replaced", "entries", "forecasts", "alerts"
# The ledger: what the projector itself goes by. One week of 1970 holds all of it, and so one shard: what one request writes there is whole.
BY_ID, POSITION, STAMP = "entries_by_id", "position", "stamp"
MEASUREMENTS = (READINGS, REPLACED, ENTRIES, FORECASTS, ALERTS, BY_ID, POSITION, STAMP)
LEDGER_NS = 345_600_000_000_000  # 1970-01-05, a Monday, on which InfluxDB's weeks begin
LEDGER_END_NS = LEDGER_NS + 7 * 86_400_000_000_000
_SHELVES, _SHELF_NS = 16, 1 << 49  # 2^49 ns are 6.5 days
PROBES = 8  # two names at one place are as good as impossible; eight are
SLOTS = 999_999
MIN_NS, MAX_NS = -9_223_372_036_854_775_806, 9_223_372_036_854_775_806  # years 1677 to 2262

_PLAIN = re.compile(r"[A-Za-z0-9_.:/-]+")
_SPECIAL, _ESCAPED = re.compile(r"([,= ])"), r"\\\1"
_ENCODED = frozenset(
    "%\\\"'"
)  # what line protocol cannot carry to the end of a tag, or a delete's predicate cannot quote


class Key(str):
    """One series of InfluxDB as line protocol writes it: measurement and tags."""

    __slots__ = ("measurement", "person", "predicate")

    measurement: str
    person: str  # empty in the ledger
    predicate: str  # how a deletion names it


class Place(NamedTuple):
    """Where a point lies. Two points with one place are one."""

    key: Key
    ns: int


class Kept(NamedTuple):
    """An entry and the place of its point."""

    version: EntryVersion
    place: Place


def tag(value: str) -> str:
    """A tag's value as it is stored: any text, one to one."""
    if _PLAIN.fullmatch(value):
        return value
    return "".join(
        "".join(f"%{byte:02X}" for byte in c.encode()) if c in _ENCODED or not c.isprintable() else c for c in value
    )


def untag(stored: str) -> str:
    """The text that a stored tag stands for."""
    return unquote(stored) if "%" in stored else stored


@lru_cache(10_000)
def key_of(measurement: str, *tags: tuple[str, str]) -> Key:
    """The series of these tags."""
    text, predicate = measurement, f'_measurement="{measurement}"'
    for name, value in tags:
        stored = tag(value)
        text += f",{name}={_SPECIAL.sub(_ESCAPED, stored)}"
        predicate += f' AND {name}="{stored}"'
    key = Key(text)
    key.measurement, key.predicate, key.person = measurement, predicate, dict(tags).get("person", "")
    return key


def slot(name: str) -> int:
    """A number from 1 to 999,999 that follows from a name."""
    return 1 + int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") % SLOTS


def quoted(text: str) -> str:
    """A text as the value of a field."""
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    return '"' + (text.replace('"', '\\"') if '"' in text else text) + '"'


# -- the points ------------------------------------------------------------------------------------


def line(place: Place, fields: str) -> str:
    """One line of line protocol."""
    return f"{place.key} {fields} {place.ns}"


@lru_cache(10_000)
def readings_key(person: str, source: str) -> Key:
    """The series of a source's readings."""
    return key_of(READINGS, ("person", person), ("source", source))


@lru_cache(10_000)
def rows_key(measurement: str, person: str) -> Key:
    """The series of a person's forecasts, or rows of alerts."""
    return key_of(measurement, ("person", person))


def reading_place(person: str, source: str, time_ms: int) -> Place:
    """A reading lies at its exact time."""
    return Place(readings_key(person, source), time_ms * 1_000_000)


def reading_fields(reading: Reading, recorded_ms: int) -> str:
    """A reading; no trend is an empty one."""
    return (
        f'glucose_mgdl={float(reading.glucose_mgdl)!r},trend="{reading.trend or ""}",id={quoted(reading.id)},'
        f"recorded_ms={recorded_ms}"
    )


@lru_cache(1000)
def entry_tags(person: str, kind: str, insulin: str) -> Key:
    """The series of an entry; no insulin is an empty one."""
    more = (("insulin", insulin),) if insulin else ()
    return key_of(ENTRIES, ("person", person), ("kind", kind), *more)


def entry_key(version: EntryVersion) -> Key:
    """The series of an entry: person, kind and, of a dose, the insulin."""
    data = version.data
    return entry_tags(version.person, version.kind, data.insulin if isinstance(data, InsulinTaken) else "")


def entry_fields(version: EntryVersion) -> str:
    """An entry, with its amount in the unit that the field's name says, so that it can be drawn."""
    fields = (
        f"id={quoted(version.id)},time_ms={version.time_ms},revision={version.revision},deleted={str(version.deleted).lower()},"
        f"data={quoted(content_json(version).decode())},recorded_ms={version.recorded_ms},actor={quoted(version.actor or '')}"
    )
    match version.data:
        case InsulinTaken(units=units):
            return f"{fields},units={float(units)!r}"
        case CarbsEaten(grams=grams):
            return f"{fields},grams={float(grams)!r}"
        case FingerstickTaken(glucose_mgdl=glucose_mgdl):
            return f"{fields},glucose_mgdl={float(glucose_mgdl)!r}"
        case ExerciseDone(minutes=minutes):
            return f"{fields},minutes={float(minutes)!r}"
        case _:
            return fields


ENTRY_COLUMNS = "id, person, kind, time_ms, revision, deleted, data, recorded_ms, actor"


def entry_from(row: Mapping[str, Any]) -> EntryVersion:
    """The entry in a row of `ENTRY_COLUMNS`."""
    return entry_of(
        (
            row["id"], untag(row["person"]), row["kind"], int(row["time_ms"]), int(row["revision"]), row["deleted"],
            row["data"], int(row["recorded_ms"]), row["actor"] or None,
        )
    )  # fmt: skip


# -- the ledger ------------------------------------------------------------------------------------


def by_id_place(entry_id: str) -> Place:
    """Where the newest version of an entry is found by its id, whenever it happened."""
    number = int.from_bytes(blake2b(entry_id.encode(), digest_size=8).digest(), "big")
    shelf, at = number % _SHELVES, number // _SHELVES % (_SHELF_NS - PROBES)
    return Place(key_of(BY_ID, ("shelf", f"{shelf:x}")), LEDGER_NS + at)


def by_id_fields(kept: Kept) -> str:
    """The whole version, and its place in the second."""
    version = kept.version
    return (
        f"id={quoted(version.id)},person={quoted(tag(version.person))},kind={quoted(version.kind)},time_ms={version.time_ms},"
        f"revision={version.revision},deleted={str(version.deleted).lower()},data={quoted(content_json(version).decode())},"
        f"recorded_ms={version.recorded_ms},actor={quoted(version.actor or '')},slot={kept.place.ns // 1000 % 1_000_000}"
    )


def kept_from(row: Mapping[str, Any]) -> Kept:
    """The entry of a row of `ENTRY_COLUMNS` and `slot`."""
    version = entry_from(row)
    second_ns = version.time_ms // 1000 * 1_000_000_000
    return Kept(version, Place(entry_key(version), second_ns + int(row["slot"]) * 1000))


def position_line(topic: str, partition: int, head: int) -> str:
    """The position of a partition. The largest counts, whoever wrote it when: each lies at a time of its own, so none takes another's place."""
    return line(
        Place(key_of(POSITION, ("topic", topic), ("partition", str(partition))), LEDGER_NS + head), f"next={head}"
    )


def stamp_line(stamp: str) -> str:
    """Whose bucket this is."""
    return line(Place(key_of(STAMP), LEDGER_NS), f"log={quoted(stamp)}")
