"""The alerter's state of one person: a fold of the journal and the forecasts, kept small enough to snapshot."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from processors.alerting.snoozes import quiet_until_ms
from processors.entries import EntryVersion, entry_id_of, evolve_entry, is_entry_event
from processors.membership import suspended_ms
from processors.physiology.carbs import Meal
from processors.physiology.insulin import Dose
from processors.plausibility import MOST_AHEAD_MS
from processors.profiles import DEFAULT, action_of_dose
from processors.readings import CanonicalReadings, Reading, reading_of
from schemas.alerts import DecisionPosition
from schemas.envelope import Event, decode, encode, make
from schemas.facts import (
    AlertAcknowledged,
    AlertsSnoozed,
    CarbsEaten,
    DeviceStarted,
    InsulinTaken,
    PersonAdded,
    PersonSuspended,
    ProfileChanged,
    SourceStateChanged,
)
from schemas.forecasts import ForecastMade
from schemas.model import at_ms

VERSION = "6"

_KEEP_ENTRIES_MS = 8 * 86_400_000  # a week's longest schedule, and a day
_ALL_CLEAR_MGDL = 80.0
_USUAL_WARM_UP_MIN = 120  # a Dexcom G6's; the longest of those that are in use
_LONGEST_HIGH_GAP_MS = 30 * 60_000  # glucose can fall below any limit and come back in less than an hour


class Answered(NamedTuple):
    """The last answer to an episode: when, by whom, and whether the low was treated."""

    at_ms: int
    by: str
    treated: bool


@dataclass
class PersonState:
    """State of one person. `offset` is the next journal offset to fold."""

    person: str
    offset: int = 0
    canonical: CanonicalReadings = field(default_factory=CanonicalReadings)
    newest_offset: int = -1
    profile: ProfileChanged = DEFAULT
    profile_ms: int = 0  # when it was recorded
    source: SourceStateChanged | None = None
    source_recorded_ms: int = 0
    source_since_ms: int = 0
    entries: dict[str, EntryVersion] = field(default_factory=dict)
    snoozes: dict[str, int] = field(default_factory=dict)
    acknowledged: dict[str, Answered] = field(default_factory=dict)
    forecast: ForecastMade | None = None
    suspended_ms: int = 0  # when that was accepted; 0 while the person is watched
    late_forecasts: int = 0  # in a row, based on a reading that was no longer the newest

    def take(self, event: Event, offset: int) -> bool:
        """Fold a journal event in; returns whether it was a new newest reading."""
        self.offset = offset + 1
        reading = reading_of(event)
        if reading is not None:
            return self._read(reading, offset, event.recorded_ms)
        if is_entry_event(event):
            self._entry(event)
            return False
        match event.data:
            case ProfileChanged() as profile if event.replaces(self.profile_ms):
                self.profile, self.profile_ms = profile, event.recorded_ms
            case SourceStateChanged() as source:
                if self.source is None or self.source.state != source.state:
                    self.source_since_ms = event.time_ms
                self.source, self.source_recorded_ms = source, event.recorded_ms
            case PersonAdded() | PersonSuspended():
                self.suspended_ms = suspended_ms(event, self.suspended_ms)
            case AlertsSnoozed(kind=kind) as snooze:
                self.snoozes[kind] = quiet_until_ms(snooze, event.recorded_ms)
            case AlertAcknowledged(episode=episode, treated=treated):
                self.acknowledged[episode] = Answered(event.time_ms, event.actor or "", treated)
                oldest_ms = event.recorded_ms - _KEEP_ENTRIES_MS
                self.acknowledged = {name: said for name, said in self.acknowledged.items() if said.at_ms >= oldest_ms}
            case _:
                pass
        return False

    def _read(self, reading: Reading, offset: int, recorded_ms: int) -> bool:
        if not self.canonical.admit(reading, recorded_ms) or self.canonical.newest != reading:
            return False
        self.newest_offset = offset
        return True

    def _entry(self, event: Event) -> None:
        after = evolve_entry(self.entries.get(entry_id_of(event)), event)
        if not isinstance(after, EntryVersion):
            return
        self.entries[after.id] = after
        self._forget(event.recorded_ms - _KEEP_ENTRIES_MS)

    def _forget(self, oldest_ms: int) -> None:
        """Drop old entries, but never the last long-acting dose: an alarm may count from it for ever."""
        long_acting = [e for e in self._live() if self._action(e) == "long"]
        last = max(long_acting, key=lambda e: (e.time_ms, e.id), default=None)
        for old in [e for e in self.entries.values() if e.time_ms < oldest_ms and e is not last]:
            del self.entries[old.id]

    def _action(self, entry: EntryVersion) -> str | None:
        return action_of_dose(entry.data, self.profile.insulins) if isinstance(entry.data, InsulinTaken) else None

    def take_forecast(self, forecast: ForecastMade) -> bool:
        """Fold a forecast in; returns whether it is based on the newest reading, and so counts."""
        if forecast.pos != self.newest_offset:
            self.late_forecasts += 1
            return False
        # A shadow never alerts: what it says is no part of the state, nor are predictors that come or go.
        self.forecast, self.late_forecasts = forecast.model_copy(update={"shadows": {}}), 0
        return True

    @property
    def decision_stage(self) -> int:
        """1 once the forecast of the newest reading is known, else 0: the stage of a decision's position."""
        return int(self.forecast is not None and self.forecast.pos == self.newest_offset)

    def tick_position(self, now_ms: int) -> DecisionPosition:
        """The position of a tick: behind everything of this person that was folded."""
        return DecisionPosition(self.offset - 1, self.decision_stage, now_ms)

    # -- what rules ask ----------------------------------------------------------------------------

    @property
    def clear_readings(self) -> int:
        """Readings in a row, up to the newest, that are high enough for an all-clear."""
        return len(self.canonical.run(_ALL_CLEAR_MGDL))

    @property
    def high_since_ms(self) -> int | None:
        """The start of the present high, epoch milliseconds: since when every reading was at or above the high alarm's
        limit, without a gap that could hide another; None while it is not.
        """
        run = self.canonical.run(self.profile.limits.high_alarm_mgdl, _LONGEST_HIGH_GAP_MS)
        return run[0].time_ms if run else None

    def doses(self, action: str) -> list[Dose]:
        """Logged doses of that action, oldest first."""
        return sorted(
            Dose(entry.time_ms, entry.data.units, entry.data.insulin)
            for entry in self._live()
            if isinstance(entry.data, InsulinTaken) and self._action(entry) == action
        )

    def meals(self) -> list[Meal]:
        """Logged carbs, oldest first."""
        return sorted(
            Meal(entry.time_ms, entry.data.grams, entry.data.speed)
            for entry in self._live()
            if isinstance(entry.data, CarbsEaten)
        )

    @property
    def warm_up_until_ms(self) -> int:
        """The end of the newest sensor's warm-up, epoch milliseconds; 0 where no start of a sensor is logged."""
        starts = [(e.time_ms, e.data) for e in self._live() if isinstance(e.data, DeviceStarted)]
        ends = [time + _warm_up_min(started) * 60_000 for time, started in starts if started.device == "sensor"]
        return max(ends, default=0)

    def _live(self) -> Iterator[EntryVersion]:
        """Entries that count. A moment that nobody can have meant when it was accepted counts for no alarm: a dose of
        next year would keep "no long-acting logged" quiet until then.
        """
        for entry in self.entries.values():
            if not entry.deleted and entry.time_ms <= entry.recorded_ms + MOST_AHEAD_MS:
                yield entry

    # -- snapshots ---------------------------------------------------------------------------------

    def dump(self) -> str:
        """The state as text."""
        return json.dumps(
            {
                "person": self.person,
                "line": self.canonical.dump(),
                "newest_offset": self.newest_offset,
                "profile_ms": self.profile_ms,
                "profile": self.profile.model_dump(mode="json"),
                "source": self.source.model_dump(mode="json") if self.source else None,
                "source_times": [self.source_recorded_ms, self.source_since_ms],
                "entries": [encode(_as_event(entry)).decode() for entry in self.entries.values()],
                "revisions": {entry.id: [entry.revision, entry.deleted] for entry in self.entries.values()},
                "snoozes": self.snoozes,
                "acknowledged": self.acknowledged,
                "forecast": self.forecast.model_dump(mode="json") if self.forecast else None,
                "late_forecasts": self.late_forecasts,
                "suspended_ms": self.suspended_ms,
            }
        )

    @classmethod
    def load(cls, state: str, offset: int) -> "PersonState":
        """The state a snapshot holds."""
        raw: dict[str, Any] = json.loads(state)
        loaded = cls(raw["person"], offset, CanonicalReadings.load(raw["line"]))
        loaded.newest_offset = raw["newest_offset"]
        loaded.profile_ms = raw["profile_ms"]
        loaded.profile = ProfileChanged.model_validate_json(json.dumps(raw["profile"]))
        if raw["source"]:
            loaded.source = SourceStateChanged.model_validate_json(json.dumps(raw["source"]))
        loaded.source_recorded_ms, loaded.source_since_ms = raw["source_times"]
        for text in raw["entries"]:
            entry = evolve_entry(None, decode(text.encode()))
            if isinstance(entry, EntryVersion):
                revision, deleted = raw["revisions"][entry.id]
                loaded.entries[entry.id] = entry._replace(revision=revision, deleted=deleted)
        loaded.snoozes = raw["snoozes"]
        loaded.acknowledged = {episode: Answered(*row) for episode, row in raw["acknowledged"].items()}
        loaded.late_forecasts, loaded.suspended_ms = raw["late_forecasts"], raw["suspended_ms"]
        if raw["forecast"]:
            loaded.forecast = ForecastMade.model_validate_json(json.dumps(raw["forecast"]))
        return loaded


def _warm_up_min(started: DeviceStarted) -> int:
    return started.warm_up_minutes if started.warm_up_minutes is not None else _USUAL_WARM_UP_MIN


def _as_event(entry: EntryVersion) -> Event:
    return make(
        entry.data,
        id=entry.id,
        source="iv3/alerter",
        subject=entry.person,
        time=at_ms(entry.time_ms),
        recordedtime=at_ms(entry.recorded_ms),
        actor=entry.actor,
    )
