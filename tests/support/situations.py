"""What one person's rules may meet: readings at their minutes, and how a condition is asked."""

from typing import Any

from processors.alerting.person_state import PersonState
from processors.alerting.rules import (
    Condition,
    SystemState,
)
from schemas.facts import (
    GlucoseRead,
    Limits,
    ProfileChanged,
    SourceStateChanged,
)
from tests.support.night import HOUR, INSULINS, MIN, T0, Night, a_forecast

RUNNING = SystemState(T0 - HOUR, 24 * HOUR)


def after(minutes: float) -> int:
    """The moment so many minutes after T0."""
    return T0 + round(minutes * MIN)


def seen(*values: float, last_at: float = 0, every: float = 5, **profile: Any) -> Night:
    """Somebody with these readings, the last at `last_at` minutes; the source has answered."""
    night = Night(foresees=False)
    night.fact(ProfileChanged(insulins=INSULINS, **profile), at=T0 - 10 * HOUR)
    night.fact(SourceStateChanged(state="ok"), at=T0 - 10 * HOUR)
    night.read_all(values, last_at - every * (len(values) - 1), every)
    return night


def of(condition: Condition | None) -> str | None:
    return condition.kind if condition is not None else None


def read(glucose: float) -> GlucoseRead:
    return GlucoseRead(glucose_mgdl=glucose)


def late(times: int) -> PersonState:
    night = seen(120)
    forecast = a_forecast(night.state)
    night.read(121, 5)
    for _ in range(times):
        assert not night.state.take_forecast(forecast)
    return night.state


def foreseeing(glucose: float = 120, *, p_low: float = 0.3, at_20_min: float = 95, **limits: float) -> Night:
    """Somebody who wants to hear below 100, with a forecast of their newest reading that calls for it, likelier in
    range than not.
    """
    night = seen(glucose + 10, glucose, limits=Limits(**{"predicted_low_mgdl": 100, **limits}))
    assert night.state.take_forecast(a_forecast(night.state, at_20_min=at_20_min, p_low=p_low))
    return night
