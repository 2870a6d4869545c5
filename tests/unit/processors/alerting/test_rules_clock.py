"""The rules wherever the clock stands: a length of time is a difference."""

from processors.alerting.person_state import PersonState
from processors.alerting.rules import (
    SystemState,
    evidence_of,
    glucose_condition,
    long_acting_condition,
    predicted_low_condition,
    stale_condition,
)
from schemas.envelope import make
from schemas.facts import (
    CarbsEaten,
    InsulinTaken,
    Limits,
    NoteWritten,
    ProfileChanged,
)
from schemas.model import Fact, at_ms
from tests.support.night import HOUR, INSULINS, MIN, T0, a_forecast
from tests.support.situations import RUNNING, after, foreseeing, of, read, seen


def early(*facts: tuple[int, Fact], cadence_s: float = 300) -> PersonState:
    """Somebody who lives a moment after the clock began to count, so that a length of time can be nothing but a
    difference.
    """
    state = PersonState("me", profile=ProfileChanged(insulins=INSULINS, no_long_acting_h=26))
    for offset, (at, data) in enumerate(facts):
        state.take(
            make(data, id=f"e{offset}", source="s", subject="me", time=at_ms(at), recordedtime=at_ms(at)), offset
        )
    state.canonical.cadence_s = cadence_s
    return state


def test_the_age_of_a_reading_is_a_difference_of_times() -> None:
    state = early((2, read(50.0)))
    assert of(glucose_condition(state, 900_002)) == "urgent_low"
    assert glucose_condition(state, 900_003) is None
    for now, told in ((900_002, False), (900_003, True)):
        quiet = early((2, read(120.0)))
        found = stale_condition(quiet, now, SystemState(0, HOUR), low_open=False)
        assert (found is not None) == told
    assert evidence_of(early((2, read(100.0)), (660_002, read(94.0)))).delta_mgdl == -6
    assert evidence_of(early((2, read(100.0)), (660_003, read(94.0)))).delta_mgdl is None


def test_the_age_of_a_forecast_is_a_difference_of_times() -> None:
    state = early((2, read(130.0)))
    state.profile = ProfileChanged(limits=Limits(predicted_low_mgdl=100))
    state.take_forecast(a_forecast(state, at_20_min=90))
    assert of(predicted_low_condition(state, 450_002)) == "predicted_low"
    assert predicted_low_condition(state, 450_003) is None


def test_how_long_it_was_high_and_since_when_there_were_carbs_are_differences_of_times() -> None:
    for minutes, kind in ((59, None), (60, "high"), (61, "high")):
        end = 2 + minutes * MIN
        state = early(*((2 + n * (end - 2) // 3, read(250.0)) for n in range(4)))
        assert of(glucose_condition(state, end)) == kind
    meal, dose = (1_000_000, CarbsEaten(grams=50)), (2, InsulinTaken(units=4, insulin="Humalog"))
    hour = [(1_000_000 + 20 * MIN * n, read(250.0)) for n in range(4)]
    assert glucose_condition(early(meal, dose, *hour), 1_000_000 + HOUR) is None
    assert of(glucose_condition(early(meal, (1_000_000, NoteWritten(text="-")), *hour), 1_000_000 + HOUR)) == "high"
    late = [(2 + 90 * MIN + 20 * MIN * n, read(250.0)) for n in range(4)]
    eaten = (2, CarbsEaten(grams=50)), (3, InsulinTaken(units=4, insulin="Humalog"))
    assert glucose_condition(early(*eaten, *late), 2 + 150 * MIN) is None
    after_it = [(at + 1, data) for at, data in late]
    assert of(glucose_condition(early(*eaten, *after_it), 3 + 150 * MIN)) == "high"
    soon = (2, CarbsEaten(grams=50)), (3, InsulinTaken(units=4, insulin="Humalog"))
    assert glucose_condition(early(*soon, *hour), 1_000_000 + HOUR) is None


def test_how_near_carbs_are_to_a_bolus_and_to_now_are_differences_of_times() -> None:
    for meal, dose, told in ((2, None, False), (1_000_000, 2, True), (1_000_000, None, False), (-200_000, None, True)):
        facts: list[tuple[int, Fact]] = [(max(2, meal), CarbsEaten(grams=15))]
        facts += [(dose, InsulinTaken(units=2, insulin="Humalog"))] if dose is not None else []
        state = early(*facts, (abs(meal) + 1_700_003, read(120.0)))
        state.profile = ProfileChanged(insulins=INSULINS, limits=Limits(predicted_low_mgdl=100))
        state.take_forecast(a_forecast(state, at_20_min=90))
        assert (predicted_low_condition(state, abs(meal) + 1_700_003) is not None) == told


def test_how_long_ago_a_long_acting_dose_was_is_a_difference_of_times() -> None:
    state = early((2, InsulinTaken(units=18, insulin="Tresiba")))
    assert long_acting_condition(state, 2 + 26 * HOUR) is None
    assert long_acting_condition(state, 3 + 26 * HOUR) is not None


def test_what_a_clock_a_little_ahead_has_dated_is_new_and_not_old() -> None:
    """The reading, or the dose, lies a minute after what this machine calls now."""
    assert of(glucose_condition(seen(50).state, after(-1))) == "urgent_low"
    assert of(predicted_low_condition(foreseeing().state, after(-1))) == "predicted_low"
    assert stale_condition(seen(120).state, after(-1), RUNNING, low_open=True) is None
    night = seen(no_long_acting_h=26)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=after(5))
    assert long_acting_condition(night.state, T0) is None
