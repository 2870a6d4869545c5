"""Forecasting: one person's journal folded into the live prediction and its shadows. The same log gives the same state,
bit for bit.
"""

import json
from dataclasses import dataclass, field

from processors.entries import is_entry_event
from processors.predictors.protocol import ForecastLimits, Prediction, Predictor
from processors.predictors.registry import LIVE, PREDICTORS
from processors.readings import CanonicalReadings, Reading, reading_of
from schemas.envelope import Event
from schemas.facts import ProfileChanged
from schemas.forecasts import ForecastMade, ForecastWithheld
from schemas.model import at_ms

VERSION = "3"  # of the fold and of every predictor's state; a change refolds from the beginning

_Z50, _Z80 = 0.6744897501960817, 1.2815515655446004
LOWEST_GLUCOSE_MGDL = 40.0  # LOW and HIGH say where glucose is, not how it moves
HIGHEST_GLUCOSE_MGDL = 400.0

ForecastResult = ForecastMade | ForecastWithheld


def _predictors() -> dict[str, Predictor]:
    return {name: make() for name, make in PREDICTORS.items()}


@dataclass
class ForecastState:
    """The forecaster's state of one person; `offset` is the next journal offset to fold."""

    offset: int = 0
    canonical: CanonicalReadings = field(default_factory=CanonicalReadings)
    predictors: dict[str, Predictor] = field(default_factory=_predictors)
    marks: ForecastLimits = field(default_factory=ForecastLimits)
    marks_ms: int = 0  # when the profile they come from was recorded

    def take(self, event: Event, offset: int) -> ForecastResult | None:
        """Fold an event in; returns the forecast of the newest reading on the canonical line, None for anything
        else.
        """
        self.offset = offset + 1
        if isinstance(event.data, ProfileChanged):
            if event.replaces(self.marks_ms):
                limits, self.marks_ms = event.data.limits, event.recorded_ms
                low, urgent, high = limits.low_mgdl, limits.urgent_low_mgdl, limits.high_mgdl
                self.marks = ForecastLimits(low, urgent, high, limits.predicted_low_mgdl)
            return None
        if is_entry_event(event):
            for predictor in self.predictors.values():
                predictor.take(event)
            return None
        reading = reading_of(event)
        if reading is None or not self.canonical.admit(reading, event.recorded_ms):
            return None
        if self.canonical.newest != reading:
            return None  # late: it fills a gap behind us
        return self._say(reading, offset)

    def _say(self, reading: Reading, offset: int) -> ForecastResult:
        predictions = {name: predictor.take(reading) for name, predictor in self.predictors.items()}
        live = predictions.pop(LIVE)
        if not LOWEST_GLUCOSE_MGDL <= reading.glucose_mgdl <= HIGHEST_GLUCOSE_MGDL:
            return _withheld(reading, offset, "the sensor says LOW or HIGH instead of a value")
        if live is None:
            first = self.canonical.before(reading) is None
            return _withheld(reading, offset, "too few readings" if first else "a gap just before this reading")
        shadows = {name: _rounded(said.mean_mgdl) for name, said in predictions.items() if said is not None}
        rule = self.predictors[LIVE]
        calls_low = rule.calls_low(reading, live, self.marks.predicted_low)
        return _made(reading, offset, live, self.marks, shadows, calls_low=calls_low, calibrated=rule.calibrated)

    def dump(self) -> str:
        """The state as text; `load(dump())` is the same state."""
        return json.dumps(
            {
                "line": self.canonical.dump(),
                "marks": self.marks,
                "marks_ms": self.marks_ms,
                "predictors": {name: predictor.dump() for name, predictor in self.predictors.items()},
            }
        )

    @classmethod
    def load(cls, state: str, offset: int) -> "ForecastState":
        """The state a snapshot holds."""
        raw = json.loads(state)
        loaded = cls(
            offset, CanonicalReadings.load(raw["line"]), marks=ForecastLimits(*raw["marks"]), marks_ms=raw["marks_ms"]
        )
        for name, kept in raw["predictors"].items():
            loaded.predictors[name].load(kept)
        return loaded


def _rounded(curve: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(round(value, 1) for value in curve)


def _withheld(reading: Reading, offset: int, reason: str) -> ForecastWithheld:
    return ForecastWithheld(based_on=reading.id, pos=offset, reading_time=at_ms(reading.time_ms), reason=reason)


def _made(
    reading: Reading,
    offset: int,
    live: Prediction,
    marks: ForecastLimits,
    shadows: dict[str, tuple[float, ...]],
    *,
    calls_low: bool | None,
    calibrated: bool,
) -> ForecastMade:
    return ForecastMade(
        based_on=reading.id,
        pos=offset,
        reading_time=at_ms(reading.time_ms),
        glucose_mgdl=reading.glucose_mgdl,
        predictor=LIVE,
        mean_mgdl=_rounded(live.mean_mgdl),
        p10_mgdl=_rounded(live.quantile(-_Z80)),
        p25_mgdl=_rounded(live.quantile(-_Z50)),
        p75_mgdl=_rounded(live.quantile(_Z50)),
        p90_mgdl=_rounded(live.quantile(_Z80)),
        p_low=round(live.chance_below(marks.low), 4),
        p_urgent=round(live.chance_below(marks.urgent), 4),
        p_high=round(live.chance_above(marks.high), 4),
        shadows=shadows,
        calls_low=calls_low,
        limit_mgdl=marks.predicted_low,
        p_low_limit_mgdl=marks.low,
        calibrated=calibrated,
    )
