"""When a low is foreseen, and what holds it back."""

import pytest

from processors.alerting.person_state import PersonState
from processors.alerting.rules import (
    predicted_low_condition,
)
from schemas.facts import (
    CarbsEaten,
    InsulinTaken,
)
from tests.support.night import MIN, MS, T0, a_forecast
from tests.support.situations import after, foreseeing, read, seen


def test_a_low_is_foreseen_where_the_predictors_own_rule_calls_for_it() -> None:
    night = foreseeing()
    found = predicted_low_condition(night.state, T0)
    assert found is not None
    assert (found.kind, found.priority, found.urgency) == ("predicted_low", 4, 3)
    assert (found.evidence.chance, found.evidence.limit_mgdl, found.evidence.glucose_mgdl) == (0.3, 70, 120)
    assert found.cause == night.state.canonical.recent[-1].id
    assert predicted_low_condition(foreseeing(at_20_min=101).state, T0) is None


def test_no_forecast_or_no_reading_foresees_nothing() -> None:
    assert predicted_low_condition(PersonState("me"), T0) is None
    assert predicted_low_condition(seen(120).state, T0) is None


def test_a_forecast_counts_only_for_the_newest_reading() -> None:
    night = foreseeing()
    night.read(118, 5)
    assert predicted_low_condition(night.state, after(5)) is None
    for name in ("a", "z"):
        other = foreseeing()
        other.fact(read(118.0), T0 + 5 * MIN, name, now=T0 + 5 * MIN)
        assert predicted_low_condition(other.state, after(5)) is None


def test_a_forecast_is_too_old_after_one_and_a_half_cadences() -> None:
    state = foreseeing().state
    assert predicted_low_condition(state, after(7.5)) is not None
    assert predicted_low_condition(state, after(7.5) + 1) is None
    state.canonical.cadence_s = 60
    assert predicted_low_condition(state, after(1.5)) is not None
    assert predicted_low_condition(state, after(1.5) + 1) is None


def test_what_is_low_already_is_not_foreseen() -> None:
    assert predicted_low_condition(foreseeing(100, low_mgdl=100.0, p_low=0.9).state, T0) is not None
    assert predicted_low_condition(foreseeing(99.9, low_mgdl=100.0, p_low=0.9).state, T0) is None
    wanted_late = foreseeing(75, low_mgdl=80.0, predicted_low_mgdl=70.0, at_20_min=40, p_low=0.9)
    assert predicted_low_condition(wanted_late.state, T0) is None


@pytest.mark.parametrize(
    ("carbs", "bolus", "held"),
    [
        (-1, None, True),
        (-30, None, True),
        (-30 - MS, None, False),
        (0, None, True),
        (MS, None, False),
        (-10, -30, False),
        (-10, -30 - MS, True),
        (-10, 10, False),
        (-10, 10 + MS, True),
        (-10, -10, False),
    ],
)
def test_carbs_of_the_last_half_hour_without_a_bolus_hold_a_foreseen_low_back(
    carbs: float, bolus: float | None, held: bool
) -> None:
    night = foreseeing()
    night.fact(CarbsEaten(grams=15), at=after(carbs))
    if bolus is not None:
        night.fact(InsulinTaken(units=2, insulin="Humalog"), at=after(bolus))
    assert (predicted_low_condition(night.state, T0) is None) == held


def test_carbs_never_hold_back_a_low_that_is_likelier_than_not() -> None:
    for p_low, held in ((0.5, True), (0.5001, False)):
        night = foreseeing(p_low=p_low)
        night.fact(CarbsEaten(grams=15), at=after(-5))
        assert (predicted_low_condition(night.state, T0) is None) == held


def test_long_acting_insulin_takes_nothing_from_carbs_that_hold_a_low_back() -> None:
    night = foreseeing()
    night.fact(CarbsEaten(grams=15), at=after(-5))
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=after(-5))
    assert predicted_low_condition(night.state, T0) is None


def test_of_several_meals_one_without_a_bolus_is_enough_to_hold_a_foreseen_low_back() -> None:
    night = foreseeing()
    night.fact(CarbsEaten(grams=60), at=after(-55))
    night.fact(InsulinTaken(units=6, insulin="Humalog"), at=after(-55))
    night.fact(CarbsEaten(grams=15), at=after(-29))
    assert predicted_low_condition(night.state, T0) is None


@pytest.mark.parametrize("predictor", ["ar2", "learned-elsewhere"])
@pytest.mark.parametrize(
    ("calls_low", "p_low", "told"),
    [(True, 0.01, True), (False, 0.99, False), (None, 0.5, False), (None, 0.5001, True)],
)
def test_a_forecast_decides_as_it_said_and_by_its_chance_where_it_has_no_rule(
    predictor: str, calls_low: bool | None, p_low: float, told: bool
) -> None:
    """Whether its predictor is installed or not: nobody is asked again what was called."""
    night = foreseeing()
    said = {"predictor": predictor, "calls_low": calls_low, "limit_mgdl": 100.0, "p_low": p_low}
    assert night.state.take_forecast(a_forecast(night.state, at_20_min=95).model_copy(update=said))
    assert (predicted_low_condition(night.state, T0) is not None) == told


@pytest.mark.parametrize(("at_20_min", "told"), [(95, True), (101, False)])
def test_a_forecast_of_an_earlier_release_is_judged_by_the_rule_it_was_judged_by_then(
    at_20_min: float, told: bool
) -> None:
    night = foreseeing(at_20_min=at_20_min)
    assert night.state.forecast is not None
    assert (night.state.forecast.calls_low, night.state.forecast.limit_mgdl) == (None, None)
    assert (predicted_low_condition(night.state, T0) is not None) == told


def test_a_forecast_of_a_predictor_that_is_gone_is_judged_by_the_live_one() -> None:
    night = foreseeing()
    gone = a_forecast(night.state, at_20_min=95).model_copy(update={"predictor": "gone"})
    assert night.state.take_forecast(gone)
    assert predicted_low_condition(night.state, T0) is not None
