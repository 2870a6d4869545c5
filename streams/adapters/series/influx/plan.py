"""What a batch of changes writes and removes in InfluxDB, given what is there already. No I/O: the rules of the Series, exactly as SQLite keeps them.

A reading replaces the one of the same source and second, which is noted apart, so that its id is known for ever. The first forecast of a reading
and the first row of a key stay. An entry that moves in time, or becomes another kind, leaves its old place.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from processors.projection import Change, PutAlert, PutEntry, PutForecast, PutReading
from streams.adapters.series.influx.points import (
    ALERTS,
    ENTRIES,
    FORECASTS,
    READINGS,
    REPLACED,
    SLOTS,
    Kept,
    Key,
    Place,
    by_id_fields,
    by_id_place,
    entry_fields,
    entry_key,
    key_of,
    line,
    quoted,
    reading_fields,
    reading_place,
    readings_key,
    rows_key,
    slot,
)

_NEAR_MS = 6 * 3_600_000  # changes this near each other are looked up together
Second = tuple[str, str, int]  # person, source, epoch seconds
_KINDS = {PutReading: READINGS, PutEntry: ENTRIES, PutForecast: FORECASTS, PutAlert: ALERTS}


def person_of(change: Change) -> str:
    """Whose row it is."""
    return change.version.person if isinstance(change, PutEntry) else change.person


def time_of(change: Change) -> int:
    """The time of its row, epoch milliseconds."""
    match change:
        case PutReading(_, reading, _):
            return reading.time_ms
        case PutEntry(version):
            return version.time_ms
        case PutForecast(_, reading_time_ms, _, _, _):
            return reading_time_ms
        case PutAlert(_, _, at_ms, _):
            return at_ms


def kind_of(change: Change) -> str:
    """The measurement of its row."""
    return _KINDS[type(change)]


class Stretch(NamedTuple):
    """A stretch of one person's time, [from_ms, to_ms), in whole seconds."""

    person: str
    from_ms: int
    to_ms: int


def stretches(changes: Iterable[Change]) -> list[Stretch]:
    """Where the rows of the changes lie, as few stretches as that needs: most changes are near each other."""
    times: dict[str, list[int]] = {}
    for change in changes:
        times.setdefault(person_of(change), []).append(time_of(change))
    found = []
    for person, at in times.items():
        at.sort()
        start = last = at[0]
        for time_ms in at[1:]:
            if time_ms - last > _NEAR_MS:
                found.append(_stretch(person, start, last))
                start = time_ms
            last = time_ms
        found.append(_stretch(person, start, last))
    return found


def _stretch(person: str, first_ms: int, last_ms: int) -> Stretch:
    return Stretch(person, first_ms // 1000 * 1000, last_ms // 1000 * 1000 + 1000)


@dataclass
class Held:
    """What the series holds where a batch may touch it."""

    readings: dict[Second, tuple[int, str]] = field(default_factory=dict)  # the one that counts: time, id
    replaced: dict[Second, set[str]] = field(default_factory=dict)  # ids that counted before
    leftover: dict[Second, list[int]] = field(default_factory=dict)  # replaced ones whose point was not removed yet
    occupants: dict[Place, str] = field(default_factory=dict)  # of the other measurements: whose the place is
    entries: dict[str, Kept] = field(default_factory=dict)

    def hold_replaced(self, person: str, source: str, time_ms: int, place: Place, name: str) -> None:
        """A reading that counted before."""
        self.replaced.setdefault((person, source, time_ms // 1000), set()).add(name)
        self.occupants[place] = name

    def hold_reading(self, person: str, source: str, time_ms: int, name: str) -> None:
        """A reading that lies where those lie that count; the replaced ones are known by now."""
        second = (person, source, time_ms // 1000)
        if name in self.replaced.get(second, ()):
            self.leftover.setdefault(second, []).append(time_ms)
        else:
            self.readings[second] = (time_ms, name)

    def size(self) -> int:
        """How many things it knows."""
        return len(self.readings) + len(self.occupants) + len(self.entries)

    def newest(self) -> dict[tuple[str, str], int]:
        """Up to when it knows anything, epoch milliseconds, by measurement and person."""
        found: dict[tuple[str, str], int] = {}
        for person, _, second in self.readings:
            found[READINGS, person] = max(found.get((READINGS, person), second * 1000 + 999), second * 1000 + 999)
        for key, ns in self.occupants:
            where = (key.measurement, key.person)
            found[where] = max(found.get(where, ns // 1_000_000), ns // 1_000_000)
        return found


@dataclass
class Plan:
    """What to do, in this order: write the lines, remove what lies at a place that was left, write the ledger."""

    lines: dict[Place, str] = field(default_factory=dict)
    removals: dict[Place, None] = field(default_factory=dict)
    ledger: dict[Place, str] = field(default_factory=dict)
    overwrites: bool = False  # something there is written over: that must not overtake an earlier write

    def put(self, place: Place, fields: str) -> None:
        """Write a point; a place that was to be cleared is taken again."""
        if self.removals and place in self.removals:
            del self.removals[place]
            self.overwrites = True
        self.lines[place] = f"{place[0]} {fields} {place[1]}"

    def clear(self, place: Place) -> None:
        """Remove whatever lies there."""
        self.lines.pop(place, None)
        self.removals[place] = None


def plan(changes: Sequence[Change], held: Held, begun: Plan | None = None) -> Plan:
    """The plan for the changes, in order, after what was `begun`. `held` holds all that they may touch, and is kept up to date."""
    made = Plan() if begun is None else begun
    for change in changes:
        if isinstance(change, PutReading):
            _reading(change, held, made)
        elif isinstance(change, PutForecast):
            person, time_ms, based_on, pos, body = change
            place = _free(rows_key(FORECASTS, person), time_ms * 1_000_000, based_on, held)
            if place is not None:
                made.put(place, f"id={quoted(based_on)},pos={pos},body={quoted(body.decode())}")
        elif isinstance(change, PutAlert):
            place = _free(rows_key(ALERTS, change.person), change.at_ms * 1_000_000, change.key, held)
            if place is not None:
                made.put(place, f"id={quoted(change.key)},body={quoted(change.body.decode())}")
        else:
            _entry(change, held, made)
    return made


def _free(key: Key, base_ns: int, name: str, held: Held) -> Place | None:
    """Where the point of this name goes: at the slot that follows from it, or the next that is not another's. None if it is there already."""
    number = slot(name)
    place = Place(key, base_ns + number)
    while (owner := held.occupants.get(place)) is not None:
        if owner == name:
            return None
        number = number % SLOTS + 1
        place = Place(key, base_ns + number)
    held.occupants[place] = name
    return place


def _reading(change: PutReading, held: Held, made: Plan) -> None:
    person, reading, recorded_ms = change
    time_ms, source, name = reading.time_ms, reading.source, reading.id
    second = (person, source, time_ms // 1000)
    if held.leftover:
        for left_ms in held.leftover.pop(second, ()):
            made.clear(reading_place(person, source, left_ms))
    before = held.readings.get(second)
    if (before is not None and before[1] == name) or (held.replaced and name in held.replaced.get(second, ())):
        return
    if before is not None:
        _replace(person, source, before, held, made)
        if before[0] == time_ms:
            made.overwrites = True
        else:
            made.clear(reading_place(person, source, before[0]))
    held.readings[second] = (time_ms, name)
    made.put(Place(readings_key(person, source), time_ms * 1_000_000), reading_fields(reading, recorded_ms))


def _replace(person: str, source: str, before: tuple[int, str], held: Held, made: Plan) -> None:
    time_ms, name = before
    key = key_of(REPLACED, ("person", person), ("source", source))
    place = _free(key, time_ms * 1_000_000, name, held)
    held.replaced.setdefault((person, source, time_ms // 1000), set()).add(name)
    if place is not None:
        made.put(place, f"id={quoted(name)}")


def _place_in_second(key: Key, second_ns: int, name: str, held: Held) -> Place:
    """As `_free`; where a crash left the point without its ledger, that place is taken again."""
    number = slot(name)
    while held.occupants.get(place := Place(key, second_ns + number * 1000), name) != name:
        number = number % SLOTS + 1
    return place


def _entry(change: PutEntry, held: Held, made: Plan) -> None:
    version = change.version
    old = held.entries.get(version.id)
    key, second_ns = entry_key(version), version.time_ms // 1000 * 1_000_000_000
    if old is not None and old.place.key == key and old.version.time_ms // 1000 == version.time_ms // 1000:
        place = old.place
        made.overwrites = True
    else:
        place = _place_in_second(key, second_ns, version.id, held)
        if old is not None:
            held.occupants.pop(old.place, None)
            made.clear(old.place)
    held.occupants[place] = version.id
    held.entries[version.id] = kept = Kept(version, place)
    made.put(place, entry_fields(version))
    at = by_id_place(version.id)
    while held.occupants.get(at, version.id) != version.id:
        at = Place(at.key, at.ns + 1)
    held.occupants[at] = version.id
    made.ledger[at] = line(at, by_id_fields(kept))
