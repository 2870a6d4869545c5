"""Readings: which of several counts. The one rule that projector, forecaster and alerter share.

People wear one sensor and may upload it twice (Share and xDrip, two phones). Both stay in the log; one line is shown. A
reading is hidden if a higher-ranked source has one within `window_s`; a fold that sees them as they come takes the
first and drops the later one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from schemas.envelope import Event
from schemas.facts import GlucoseRead

_TAIL = 8  # readings whose steps tell a person's cadence
CADENCE_S = 300.0  # until a person's own is known
_CHANGE_WITHIN_MS = 660_000  # two readings five minutes apart, one of them missing
STALE_S = 900.0  # older than this is not "now"
FIRST_RANK = ("dexcom-share",)  # then everything else, by name


class Reading(NamedTuple):
    """One reading, as every fold carries it."""

    time_ms: int
    glucose_mgdl: float
    trend: str | None
    source: str
    id: str


def reading_of(event: Event) -> Reading | None:
    """The reading an event holds, None for any other fact."""
    data = event.data
    if not isinstance(data, GlucoseRead):
        return None
    return Reading(event.time_ms, data.glucose_mgdl, data.trend, event.source, event.id)


def change_mgdl(newest: Reading, before: Reading | None) -> float | None:
    """The change of glucose since the reading before, mg/dL; None where there is none, or it is so long ago that it
    says nothing of a change.
    """
    if before is None or newest.time_ms - before.time_ms > _CHANGE_WITHIN_MS:
        return None
    return newest.glucose_mgdl - before.glucose_mgdl


def window_s(cadence_s: float) -> float:
    """The window within which two readings are one, seconds: half the cadence, at most 150 s."""
    return min(150.0, cadence_s / 2)


def rank(source: str, primary: Sequence[str] = FIRST_RANK) -> tuple[int, str]:
    """The precedence of a source: smaller goes before larger."""
    return (primary.index(source) if source in primary else len(primary), source)


def canonical_readings(
    readings: Sequence[Reading], *, primary: Sequence[str] = FIRST_RANK, cadence_s: float = CADENCE_S
) -> list[Reading]:
    """The canonical line of readings, oldest first. `readings` are in time order, revised values already replaced."""
    sources = {reading.source for reading in readings}
    if len(sources) < 2:
        return list(readings)
    near_ms = window_s(cadence_s) * 1000
    shown: list[Reading] = []
    for source in sorted(sources, key=lambda name: rank(name, primary)):
        mine = [reading for reading in readings if reading.source == source]
        shown = _merge(shown, mine, near_ms)
    return shown


def _merge(shown: list[Reading], more: list[Reading], near_ms: float) -> list[Reading]:
    """Add those of `more` that have nothing of `shown` near them. Both are in time order."""
    merged, i = list(shown), 0
    for reading in more:
        while i < len(shown) and shown[i].time_ms < reading.time_ms - near_ms:
            i += 1
        if i < len(shown) and abs(shown[i].time_ms - reading.time_ms) <= near_ms:
            continue
        merged.append(reading)
    merged.sort(key=lambda r: r.time_ms)
    return merged


@dataclass(slots=True)
class CanonicalReadings:
    """One person's canonical line as a fold sees it come: the first of near ones counts, repeats and late ones are told
    apart.

    Remembers two hours, the longest anything derived from it looks back; `superseded` holds the ids of those hours that
    are off the line, so that a record that comes twice cannot bring a value back that was revised since.
    """

    recent: list[Reading] = field(default_factory=list)
    cadence_s: float = CADENCE_S
    superseded: dict[str, int] = field(default_factory=dict)

    KEEP_MS = 7_200_000
    AHEAD_MS = 600_000  # clocks of phones differ by less; a time further ahead is wrong

    def admit(self, reading: Reading, recorded_ms: int | None = None) -> bool:
        """Admit a reading; returns whether it is new on the line. A revised value of the same source and second
        replaces the old one and counts.

        `recorded_ms` is when it was accepted. A reading from the future would hide every reading until then, so it
        makes room as soon as one with a possible time arrives; where the clock itself is behind, all are from the
        future and stay.
        """
        limit_ms = None if recorded_ms is None else recorded_ms + self.AHEAD_MS
        if self.recent and limit_ms is not None and reading.time_ms <= limit_ms < self.recent[-1].time_ms:
            if self._knows(reading):
                return False
            self._drop([other for other in self.recent if other.time_ms > limit_ms])
        near_ms = window_s(self.cadence_s) * 1000
        if self.recent and reading.time_ms <= self.recent[-1].time_ms + max(near_ms, 1000):
            return self._admit_among(reading, near_ms)
        if reading.id in self.superseded:
            return False
        self.recent.append(reading)  # the usual case: newer than everything, and near nothing
        steady = len(self.recent) > _TAIL and self._last_step_s() == self.cadence_s
        self._forget()
        if not steady:  # one more step like the median leaves the median where it is
            self._learn_cadence()
        return True

    def _last_step_s(self) -> float:
        return round((self.recent[-1].time_ms - self.recent[-2].time_ms) / 60_000) * 60.0

    def _knows(self, reading: Reading) -> bool:
        return reading.id in self.superseded or any(other.id == reading.id for other in self.recent)

    def _admit_among(self, reading: Reading, near_ms: float) -> bool:
        """Admit one that is near others in time, or comes late."""
        if self._knows(reading):
            return False
        if reading.time_ms < self.recent[-1].time_ms - self.KEEP_MS:
            return False  # so late that nothing here can tell whether it is new; nothing here depends on it either
        if any(o.source != reading.source and abs(o.time_ms - reading.time_ms) <= near_ms for o in self.recent):
            self.superseded[reading.id] = reading.time_ms
            return False
        second = reading.time_ms // 1000
        self._drop([o for o in self.recent if o.source == reading.source and o.time_ms // 1000 == second])
        self.recent.append(reading)
        self.recent.sort(key=lambda r: r.time_ms)
        self._forget()
        self._learn_cadence()
        return True

    def _drop(self, readings: list[Reading]) -> None:
        for reading in readings:
            self.recent.remove(reading)
            self.superseded[reading.id] = reading.time_ms

    def _forget(self) -> None:
        oldest = self.recent[-1].time_ms - self.KEEP_MS
        while self.recent[0].time_ms < oldest:
            self.recent.pop(0)
        if not self.superseded:
            return
        for gone in [name for name, time_ms in self.superseded.items() if time_ms < oldest]:
            del self.superseded[gone]

    def _learn_cadence(self) -> None:
        """The median step of the last readings, between one minute and fifteen."""
        steps = sorted(b.time_ms - a.time_ms for a, b in pairwise(self.recent[-_TAIL:]))
        if len(steps) >= 3:
            self.cadence_s = min(900.0, max(60.0, round(steps[len(steps) // 2] / 60_000) * 60.0))

    def dump(self) -> list[Any]:
        """The state, for a snapshot."""
        return [self.recent, self.cadence_s, self.superseded]

    @classmethod
    def load(cls, state: list[Any]) -> "CanonicalReadings":
        """The state that `dump` gave, after a round through JSON or not."""
        recent, cadence_s, superseded = state
        return cls([Reading._make(row) for row in recent], cadence_s, dict(superseded))

    @property
    def newest(self) -> Reading | None:
        """The newest reading by time."""
        return self.recent[-1] if self.recent else None

    def before(self, reading: Reading) -> Reading | None:
        """The reading just before it in time."""
        earlier = [other for other in self.recent if other.time_ms < reading.time_ms]
        return earlier[-1] if earlier else None

    def run(self, level_mgdl: float, longest_gap_ms: int | None = None) -> list[Reading]:
        """The newest readings that are all at the level or above it, oldest first; a longer gap ends the run."""
        found: list[Reading] = []
        for reading in reversed(self.recent):
            gap = found and longest_gap_ms is not None and found[-1].time_ms - reading.time_ms > longest_gap_ms
            if reading.glucose_mgdl < level_mgdl or gap:
                break
            found.append(reading)
        return found[::-1]


class Gap(NamedTuple):
    """A hole in the readings; `to_ms` None while it is open."""

    from_ms: int
    to_ms: int | None


def gaps(times_ms: Iterable[int], now_ms: int | None, *, longer_than_s: float = STALE_S) -> list[Gap]:
    """Holes between readings longer than `longer_than_s`; with `now_ms` also the one that is still open."""
    found: list[Gap] = []
    last: int | None = None
    for time_ms in times_ms:
        if last is not None and time_ms - last > longer_than_s * 1000:
            found.append(Gap(last, time_ms))
        last = time_ms
    if last is not None and now_ms is not None and now_ms - last > longer_than_s * 1000:
        found.append(Gap(last, None))
    return found
