"""What a batch of changes writes and removes in InfluxDB, by what is there: the rules of the Series, without I/O.

A reading replaces the one of the same source and second, which is noted apart, so that its id is known for ever. The
first forecast of a reading and the first row of a key stay. An entry that moves in time, or becomes another kind,
leaves its old place.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from processors.entries import EntryVersion
from processors.projection import Change, PutAlert, PutEntry, PutForecast, PutReading
from streams.adapters.series.influx import points
from streams.adapters.series.influx.points import ALERTS, ENTRIES, FORECASTS, READINGS, REPLACED, Key, PointId

_NEAR_MS = 6 * 3_600_000  # changes this near each other are looked up together
Second = tuple[str, str, int]  # person, source, epoch seconds


def where(change: Change) -> tuple[str, str, int]:
    """The row of a change: its measurement, whose it is, and its time, epoch milliseconds."""
    if isinstance(change, PutReading):
        return READINGS, change.person, change.reading.time_ms
    if isinstance(change, PutForecast):
        return FORECASTS, change.person, change.reading_time_ms
    if isinstance(change, PutAlert):
        return ALERTS, change.person, change.at_ms
    return ENTRIES, change.version.person, change.version.time_ms


def stretches(changes: Iterable[Change]) -> list[tuple[str, int, int]]:
    """Where the rows of the changes lie, as few as that needs: somebody's time [from_ms, to_ms), in whole seconds."""
    found: list[tuple[str, int, int]] = []
    for person, at_ms in sorted({(person, time_ms // 1000 * 1000) for _, person, time_ms in map(where, changes)}):
        near = found and found[-1][0] == person and at_ms - found[-1][2] <= _NEAR_MS
        from_ms = found.pop()[1] if near else at_ms
        found.append((person, from_ms, at_ms + 1000))
    return found


@dataclass
class WritePlan:
    """What the series holds where changes may touch it; and what to do, in order: write, clear, write the ledger."""

    readings: dict[Second, tuple[int, str]] = field(default_factory=dict)  # the one that counts: time, id
    replaced: dict[Second, set[str]] = field(default_factory=dict)  # ids that counted before
    leftover: dict[Second, list[int]] = field(default_factory=dict)  # replaced ones whose point was not removed yet
    occupants: dict[PointId, str] = field(default_factory=dict)  # of the other measurements: whose the place is
    entries: dict[str, tuple[EntryVersion, PointId]] = field(default_factory=dict)
    lines: dict[PointId, str] = field(default_factory=dict)
    removals: dict[PointId, None] = field(default_factory=dict)
    ledger: dict[PointId, str] = field(default_factory=dict)
    overwrites: bool = False  # something there is written over: that must not overtake an earlier write

    def hold(self, person: str, series: Sequence[Mapping[str, Any]]) -> None:
        """Take in the ids that lie in somebody's time; the replaced readings first, for what counts depends on them."""
        for one in sorted(series, key=lambda one: one["name"] != REPLACED):
            measurement = one["name"]
            tags = [points.untag(one["tags"][name]) for name in points.TAGS[measurement][1:]]
            key = points.key_of(measurement, person, *tags)
            for ns, name in one["values"]:
                second = (person, tags[0] if tags else "", ns // 1_000_000_000)
                if measurement != READINGS:
                    self.occupants[PointId(key, ns)] = name
                elif name in self.replaced.get(second, ()):
                    self.leftover.setdefault(second, []).append(ns // 1_000_000)
                else:
                    self.readings[second] = (ns // 1_000_000, name)
                if measurement == REPLACED:
                    self.replaced.setdefault(second, set()).add(name)

    def add(self, changes: Iterable[Change]) -> None:
        """Plan for more changes, in order."""
        for change in changes:
            if isinstance(change, PutReading):
                self._reading(change)
            elif isinstance(change, PutEntry):
                self._entry(change.version)
            else:
                measurement, person, time_ms = where(change)
                name = change.key if isinstance(change, PutAlert) else change.based_on
                more = f",pos={change.pos}" if isinstance(change, PutForecast) else ""
                fields = f"id={points.quoted(name)}{more},body={points.quoted(change.body.decode())}"
                self._keep(points.key_of(measurement, person), time_ms, name, fields)

    def _put(self, place: PointId, fields: str) -> None:
        """Write a point; a place that was to be cleared is taken again."""
        if self.removals and place in self.removals:
            del self.removals[place]
            self.overwrites = True
        self.lines[place] = points.line(place, fields)

    def _clear(self, place: PointId) -> None:
        """Remove whatever lies there."""
        self.lines.pop(place, None)
        self.removals[place] = None

    def _place(self, key: Key, base_ns: int, name: str, step_ns: int = 1) -> PointId:
        """Where the point of this name goes: at the slot that follows from it, or the next that is not another's."""
        number = 1 + points.hashed(name) % points.SLOTS
        while self.occupants.get(place := PointId(key, base_ns + number * step_ns), name) != name:
            number = number % points.SLOTS + 1
        return place

    def _keep(self, key: Key, time_ms: int, name: str, fields: str) -> None:
        """Write a point that stays as it was first written."""
        place = self._place(key, time_ms * 1_000_000, name)
        if place not in self.occupants:
            self.occupants[place] = name
            self._put(place, fields)

    def _reading(self, change: PutReading) -> None:
        person, reading, recorded_ms = change
        time_ms, source, name = reading.time_ms, reading.source, reading.id
        second, key = (person, source, time_ms // 1000), points.key_of(READINGS, person, source)
        for left_ms in self.leftover.pop(second, ()):
            self._clear(PointId(key, left_ms * 1_000_000))
        before = self.readings.get(second)
        if (before is not None and before[1] == name) or (self.replaced and name in self.replaced.get(second, ())):
            return
        if before is not None:
            self.replaced.setdefault(second, set()).add(before[1])
            self._keep(points.key_of(REPLACED, person, source), *before, f"id={points.quoted(before[1])}")
            if before[0] == time_ms:
                self.overwrites = True
            else:
                self._clear(PointId(key, before[0] * 1_000_000))
        self.readings[second] = (time_ms, name)
        self._put(PointId(key, time_ms * 1_000_000), points.reading_fields(reading, recorded_ms))

    def _entry(self, version: EntryVersion) -> None:
        key, second = points.entry_key(version), version.time_ms // 1000
        _, old = self.entries.get(version.id, (None, None))
        if old is not None and old.key == key and old.ns // 1_000_000_000 == second:
            place = old
            self.overwrites = True
        else:
            # Where a crash left the point without its ledger, that place is taken again.
            place = self._place(key, second * 1_000_000_000, version.id, 1000)
            if old is not None:
                self.occupants.pop(old, None)
                self._clear(old)
        self.occupants[place] = version.id
        self.entries[version.id] = version, place
        self._put(place, points.entry_fields(version))
        at = points.by_id_place(version.id)
        while self.occupants.get(at, version.id) != version.id:
            at = PointId(at.key, at.ns + 1)
        self.occupants[at] = version.id
        self.ledger[at] = points.line(at, points.by_id_fields(version, place))
