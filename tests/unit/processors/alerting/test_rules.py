"""Rules: which conditions hold for a person now. Limits of time are tried at their very millisecond, limits of glucose
at their value.
"""

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from processors.alerting.person_state import PersonState
from processors.alerting.rules import (
    Condition,
    Runtime,
    evidence_of,
    glucose_condition,
    heard_since_start,
    long_acting_condition,
    predicted_low_condition,
    stale_condition,
    stale_reason,
    system_condition,
    troubles_met,
)
from schemas.alerts import Evidence
from schemas.envelope import make
from schemas.facts import (
    CarbsEaten,
    DeviceStarted,
    EntryDeleted,
    GlucoseRead,
    InsulinTaken,
    Limits,
    NoteWritten,
    ProfileChanged,
    SourceStateChanged,
)
from schemas.model import Fact, at_ms
from tests.support.night import HOUR, INSULINS, MIN, MS, T0, Night, a_forecast

RUNNING = Runtime(T0 - HOUR, 24 * HOUR)


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


# -- wherever the clock stands ----------------------------------------------------------------------


def early(*facts: tuple[int, Fact], cadence_s: float = 300) -> PersonState:
    """Somebody who lives a moment after the clock began to count, so that a length of time can be nothing but a
    difference.
    """
    state = PersonState("me", profile=ProfileChanged(insulins=INSULINS, no_long_acting_h=26))
    for offset, (at, data) in enumerate(facts):
        state.take(
            make(data, id=f"e{offset}", source="s", subject="me", time=at_ms(at), recordedtime=at_ms(at)), offset
        )
    state.line.cadence_s = cadence_s
    return state


def read(glucose: float) -> GlucoseRead:
    return GlucoseRead(glucose_mgdl=glucose)


def test_the_age_of_a_reading_is_a_difference_of_times() -> None:
    state = early((2, read(50.0)))
    assert of(glucose_condition(state, 900_002)) == "urgent_low"
    assert glucose_condition(state, 900_003) is None
    for now, told in ((900_002, False), (900_003, True)):
        quiet = early((2, read(120.0)))
        found = stale_condition(quiet, now, Runtime(0, HOUR), low_open=False)
        assert (found is not None) == told
    assert evidence_of(early((2, read(100.0)), (660_002, read(94.0)))).delta_mgdl == -6
    assert evidence_of(early((2, read(100.0)), (660_003, read(94.0)))).delta_mgdl is None


def test_the_age_of_a_forecast_is_a_difference_of_times() -> None:
    state = early((2, read(130.0)))
    state.profile = ProfileChanged(limits=Limits(predicted_low_mgdl=100))
    state.foresee(a_forecast(state, at_20_min=90))
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
        state.foresee(a_forecast(state, at_20_min=90))
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


# -- since the start -------------------------------------------------------------------------------


def test_nothing_is_concluded_until_the_source_was_heard_or_five_minutes_are_over() -> None:
    state = PersonState("me")
    assert not heard_since_start(state, Runtime(T0, 5 * MIN - 1))
    assert heard_since_start(state, Runtime(T0, 5 * MIN))
    state.source_recorded_ms = T0 - 1
    assert not heard_since_start(state, Runtime(T0, MIN))
    state.source_recorded_ms = T0
    assert heard_since_start(state, Runtime(T0, MIN))


def test_who_has_no_source_gives_uploaders_ten_minutes_to_bring_what_they_kept() -> None:
    state = PersonState("me", source_recorded_ms=T0 + 1)
    assert not heard_since_start(state, Runtime(T0, 10 * MIN - 1, has_source=False))
    assert heard_since_start(state, Runtime(T0, 10 * MIN, has_source=False))
    assert heard_since_start(state, Runtime(T0, 11 * MIN, has_source=False))


def test_what_holds_now_is_a_value_that_nobody_changes() -> None:
    found = glucose_condition(seen(50).state, T0)
    assert found is not None
    with pytest.raises(FrozenInstanceError):
        found.priority = 1  # type: ignore[misc] # that is what is tried
    with pytest.raises(FrozenInstanceError):
        RUNNING.behind = True  # type: ignore[misc] # and here


def test_unless_told_otherwise_there_is_a_source_and_nothing_is_wrong() -> None:
    said = Runtime(T0, MIN)
    assert (said.has_source, said.troubles, said.behind, said.house_told) == (True, (), False, False)


# -- what is known ---------------------------------------------------------------------------------


def test_what_is_known_of_somebody_without_a_reading_is_who_they_are() -> None:
    state = seen(name="Maya", unit="mg/dL", zone="Europe/Berlin").state
    assert evidence_of(state, reason="why") == Evidence(name="Maya", unit="mg/dL", zone="Europe/Berlin", reason="why")


def test_what_is_known_is_the_newest_reading_and_how_it_moved() -> None:
    state = seen(100, 94, name="Maya").state
    assert evidence_of(state, limit_mgdl=70.0) == Evidence(
        glucose_mgdl=94, delta_mgdl=-6, trend="Flat", reading_time=at_ms(T0), name="Maya", limit_mgdl=70.0
    )


def test_a_change_over_more_than_eleven_minutes_is_not_called_one() -> None:
    for minutes, delta in ((11, -6), (11 + MS, None)):
        night = Night(foresees=False)
        night.read(100, -minutes)
        night.read(94, 0)
        assert evidence_of(night.state).delta_mgdl == delta
    assert evidence_of(seen(94).state).delta_mgdl is None


# -- lows and highs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("glucose", "kind", "priority", "urgency", "limit"),
    [(39, "urgent_low", 5, 0, 60), (60, "urgent_low", 5, 0, 60), (60.1, "low", 4, 2, 80), (79.9, "low", 4, 2, 80)],
)
def test_a_reading_at_the_urgent_limit_is_urgent_and_one_below_the_low_limit_is_low(
    glucose: float, kind: str, priority: int, urgency: int, limit: float
) -> None:
    night = seen(glucose, limits=Limits(urgent_low_mgdl=60, low_mgdl=80))
    found = glucose_condition(night.state, T0)
    assert found is not None
    assert (found.kind, found.priority, found.urgency) == (kind, priority, urgency)
    assert found.evidence.limit_mgdl == limit
    assert found.evidence.glucose_mgdl == glucose
    assert found.cause == night.state.line.recent[-1].id


def test_at_the_low_limit_it_is_not_low() -> None:
    assert glucose_condition(seen(80, limits=Limits(low_mgdl=80)).state, T0) is None
    assert glucose_condition(seen(70).state, T0) is None
    assert of(glucose_condition(seen(69.9).state, T0)) == "low"
    assert of(glucose_condition(seen(55).state, T0)) == "urgent_low"


def test_a_reading_older_than_a_quarter_of_an_hour_opens_nothing() -> None:
    state = seen(50).state
    assert of(glucose_condition(state, after(15))) == "urgent_low"
    assert glucose_condition(state, after(15) + 1) is None
    assert glucose_condition(PersonState("me"), T0) is None


def high(minutes: float, glucose: float = 250, first: float = 250) -> Night:
    """At 240 or more for so many minutes up to T0, by readings ten minutes apart and a first one."""
    night = seen()
    night.read(first, -minutes)
    for n in range(int(minutes // 10) - (minutes % 10 == 0), 0, -1):
        night.read(glucose, -10 * n)
    night.read(glucose, 0)
    return night


def test_a_high_must_have_lasted_an_hour() -> None:
    assert glucose_condition(high(60 - MS).state, T0) is None
    found = glucose_condition(high(60).state, T0)
    assert found is not None
    assert (found.kind, found.priority, found.urgency, found.evidence.limit_mgdl) == ("high", 3, 6, 240)


def test_high_begins_at_the_limit_itself() -> None:
    assert of(glucose_condition(high(60, 240, 240).state, T0)) == "high"
    assert glucose_condition(high(60, 240, 239.9).state, T0) is None


@pytest.mark.parametrize(
    ("meal", "bolus", "waits"),
    [
        (-150, -150, True),
        (-150 - MS, -150, False),
        (0, 0, True),
        (MS, MS, False),
        (-60, -80, True),
        (-60, -80 - MS, False),
        (-60, -40, True),
        (-60, -40 + MS, False),
    ],
)
def test_a_high_after_carbs_with_a_bolus_near_them_waits_two_and_a_half_hours(
    meal: float, bolus: float, waits: bool
) -> None:
    night = high(60)
    night.fact(CarbsEaten(grams=50), at=after(meal))
    night.fact(InsulinTaken(units=4, insulin="Humalog"), at=after(bolus))
    assert (glucose_condition(night.state, T0) is None) == waits


def test_a_very_high_reading_breaks_the_meal_grace() -> None:
    for glucose, kind in ((299.9, None), (300, "high"), (310, "high")):
        night = high(60, glucose)
        night.fact(CarbsEaten(grams=50), at=after(-30))
        night.fact(InsulinTaken(units=4, insulin="Humalog"), at=after(-30))
        assert of(glucose_condition(night.state, T0)) == kind


def test_very_high_must_have_lasted_an_hour_too() -> None:
    assert glucose_condition(high(60 - MS, 320).state, T0) is None


def test_only_carbs_with_a_rapid_dose_make_a_high_wait() -> None:
    alone = high(60)
    alone.fact(CarbsEaten(grams=50), at=after(-30))
    assert of(glucose_condition(alone.state, T0)) == "high"
    alone.fact(InsulinTaken(units=4, insulin="Tresiba"), at=after(-30))
    assert of(glucose_condition(alone.state, T0)) == "high"
    bolus = high(60)
    bolus.fact(InsulinTaken(units=4, insulin="Humalog"), at=after(-30))
    assert of(glucose_condition(bolus.state, T0)) == "high"


def test_of_several_meals_any_with_a_bolus_makes_a_high_wait() -> None:
    night = high(60)
    night.fact(CarbsEaten(grams=50), at=after(-140))
    night.fact(CarbsEaten(grams=50), at=after(-60))
    night.fact(CarbsEaten(grams=5), at=after(-10))
    night.fact(InsulinTaken(units=4, insulin="Humalog"), at=after(-500))
    night.fact(InsulinTaken(units=4, insulin="Humalog"), at=after(-55))
    assert glucose_condition(night.state, T0) is None


# -- foreseen --------------------------------------------------------------------------------------


def foreseeing(glucose: float = 120, *, p_low: float = 0.3, at_20_min: float = 95, **limits: float) -> Night:
    """Somebody who wants to hear below 100, with a forecast of their newest reading that calls for it, likelier in
    range than not.
    """
    night = seen(glucose + 10, glucose, limits=Limits(**{"predicted_low_mgdl": 100, **limits}))
    assert night.state.foresee(a_forecast(night.state, at_20_min=at_20_min, p_low=p_low))
    return night


def test_a_low_is_foreseen_where_the_predictors_own_rule_calls_for_it() -> None:
    night = foreseeing()
    found = predicted_low_condition(night.state, T0)
    assert found is not None
    assert (found.kind, found.priority, found.urgency) == ("predicted_low", 4, 3)
    assert (found.evidence.chance, found.evidence.limit_mgdl, found.evidence.glucose_mgdl) == (0.3, 70, 120)
    assert found.cause == night.state.line.recent[-1].id
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
    state.line.cadence_s = 60
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
    assert night.state.foresee(a_forecast(night.state, at_20_min=95).model_copy(update=said))
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
    assert night.state.foresee(gone)
    assert predicted_low_condition(night.state, T0) is not None


# -- no readings -----------------------------------------------------------------------------------


def stale(night: Night, minutes: float, *, low_open: bool = False) -> Condition | None:
    return stale_condition(night.state, after(minutes), RUNNING, low_open=low_open)


def test_no_reading_for_longer_than_a_quarter_of_an_hour_is_told_and_rings_through_after_twice_that() -> None:
    night = seen(120, 120)
    assert stale(night, 15) is None
    warned = stale(night, 15 + MS)
    assert warned is not None
    assert (warned.kind, warned.priority, warned.urgency) == ("stale", 4, 4)
    assert warned.cause == night.state.line.recent[-1].id
    assert warned.evidence.reason == "Dexcom: no data"
    for minutes, priority in ((30, 4), (30 + MS, 5)):
        found = stale(night, minutes)
        assert found is not None
        assert (found.priority, found.urgency) == (priority, 4)


def test_a_slow_sensor_is_waited_for_three_cadences() -> None:
    night = seen(120, 120)
    night.state.line.cadence_s = 600
    assert stale(night, 30) is None
    for minutes, priority in ((30 + MS, 4), (60, 4), (60 + MS, 5)):
        found = stale(night, minutes)
        assert found is not None
        assert found.priority == priority


@pytest.mark.parametrize(
    ("glucose", "p_low", "low_open", "lost"),
    [
        (79.9, 0, False, True),
        (80, 0, False, False),
        (120, 0.25, False, True),
        (120, 0.9, False, True),
        (120, 0.2499, False, False),
        (120, 0, True, True),
    ],
)
def test_stale_comes_early_when_lost_while_low_at_a_chance_of_a_quarter_or_while_a_low_is_open(
    glucose: float, p_low: float, low_open: bool, lost: bool
) -> None:
    night = seen(glucose, glucose)
    night.state.foresee(a_forecast(night.state, p_low=p_low))
    assert stale(night, 11, low_open=low_open) is None
    found = stale(night, 11 + MS, low_open=low_open)
    assert (found is not None) == lost
    if found is not None:
        assert (found.priority, found.urgency, found.evidence.reason) == (5, 1, "Dexcom: no data")
        assert found.cause == night.state.line.recent[-1].id


def test_a_chance_of_a_quarter_makes_stale_come_after_two_cadences_and_a_minute() -> None:
    """The forecast of the last reading that came says that a low is likely enough."""
    night = seen(120, 120)
    night.state.foresee(a_forecast(night.state, p_low=0.25))
    found = stale(night, 11 + MS)
    assert found is not None
    assert found.urgency == 1


def test_while_a_low_is_open_stale_comes_after_two_cadences_and_a_minute() -> None:
    """Whatever the last reading was: a low that is open was not yet cleared."""
    assert stale(seen(95, 95), 11 + MS) is None
    assert stale(seen(95, 95), 11 + MS, low_open=True) is not None


def test_lost_while_low_follows_the_sensors_cadence() -> None:
    night = seen(70, 70)
    night.state.line.cadence_s = 60
    assert stale(night, 3) is None
    assert stale(night, 3 + MS) is not None


def test_the_chance_of_an_older_reading_makes_nobody_lost_while_low() -> None:
    night = seen(120, 120)
    night.state.foresee(a_forecast(night.state, p_low=0.9))
    for n, name in enumerate(("z", "a", "z2"), 1):
        night.fact(read(120.0), T0 + 5 * MIN * n, name)
        assert stale(night, 5 * n + 11 + MS) is None


def test_before_the_source_was_heard_nothing_is_stale() -> None:
    state = seen(120).state
    assert stale_condition(state, after(60), Runtime(after(59), MIN), low_open=True) is None
    assert stale_condition(state, after(60), Runtime(after(59), 5 * MIN), low_open=True) is not None


def test_who_never_had_a_reading_is_stale_from_when_the_source_began_to_say_so() -> None:
    night = Night(foresees=False)
    assert stale(night, 600) is None, "nothing was ever said"
    night.fact(SourceStateChanged(state="no_data"))
    night.fact(SourceStateChanged(state="no_data"), now=after(5))
    assert stale(night, 15) is None
    found = stale(night, 15 + MS)
    assert found is not None
    assert found.cause == f"no reading since {T0}"
    assert stale(night, 11 + MS, low_open=True) is not None


def test_a_warming_up_sensor_is_not_stale_and_its_silence_counts_from_the_end_of_it() -> None:
    night = seen(120, 120)
    night.fact(DeviceStarted(device="sensor", warm_up_minutes=30), at=T0)
    assert stale(night, 30 - MS, low_open=True) is None
    assert stale(night, 30, low_open=True) is None
    assert stale(night, 41, low_open=True) is None
    assert stale(night, 41 + MS, low_open=True) is not None
    assert stale(night, 45) is None
    assert stale(night, 45 + MS) is not None


@pytest.mark.parametrize(
    ("state", "said", "why"),
    [
        ("refused", "wrong password", "Dexcom refuses the log-in: wrong password"),
        ("refused", "", "Dexcom refuses the log-in"),
        ("unreachable", "timeout", "Dexcom does not answer: timeout"),
        ("unreachable", "", "Dexcom does not answer"),
        ("no_data", "", "Dexcom: no data"),
        ("ok", "nothing new", "Dexcom: no data: nothing new"),
    ],
)
def test_why_there_is_nothing_is_what_the_source_said(state: Any, said: str, why: str) -> None:
    night = Night(foresees=False)
    night.fact(SourceStateChanged(state=state, reason=said))
    assert stale_reason(night.state) == why


def test_without_a_source_it_says_who_has_not_uploaded_since_when() -> None:
    night = Night(foresees=False)
    assert stale_reason(night.state) == "nothing was ever uploaded"
    night.fact(ProfileChanged(zone="Asia/Kathmandu"))
    upload = make(
        GlucoseRead(glucose_mgdl=100.0),
        id="r",
        source="upload/xDrip",
        subject="me",
        time=at_ms(T0),
        recordedtime=at_ms(T0),
    )
    night.state.take(upload, 1)
    assert stale_reason(night.state) == "no upload from xDrip since 11:45"


def test_a_reason_fits_into_an_event_however_much_the_source_said() -> None:
    night = Night(foresees=False)
    for length, kept in ((300 - len("Dexcom: no data: "), True), (301 - len("Dexcom: no data: "), False)):
        night.fact(SourceStateChanged(state="no_data", reason="x" * length))
        why = stale_reason(night.state)
        assert len(why) == 300
        assert why.endswith("x" if kept else "x…")


# -- long-acting -----------------------------------------------------------------------------------


def test_no_long_acting_dose_for_longer_than_the_profile_allows_is_told() -> None:
    night = seen(no_long_acting_h=26)
    night.fact(InsulinTaken(units=17, insulin="Tresiba"), at=after(-3000))
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0)
    night.fact(InsulinTaken(units=3, insulin="Humalog"), at=after(60))
    assert long_acting_condition(night.state, T0 + 26 * HOUR) is None
    found = long_acting_condition(night.state, T0 + 26 * HOUR + 1)
    assert found is not None
    assert (found.kind, found.priority, found.urgency) == ("no_long_acting", 3, 7)
    assert found.cause == f"Tresiba/{T0}"
    assert (found.evidence.insulin, found.evidence.last_logged) == ("Tresiba", at_ms(T0))


def test_without_a_limit_or_a_dose_on_record_nothing_is_said_of_long_acting_insulin() -> None:
    never = seen(no_long_acting_h=0)
    never.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0)
    assert long_acting_condition(never.state, T0 + 100 * HOUR) is None
    none = seen(no_long_acting_h=26)
    none.fact(InsulinTaken(units=3, insulin="Humalog"), at=T0)
    assert long_acting_condition(none.state, T0 + 100 * HOUR) is None
    gone = seen(no_long_acting_h=26)
    gone.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0, name="dose")
    gone.fact(EntryDeleted(entry_id="dose", revision=2))
    assert long_acting_condition(gone.state, T0 + 100 * HOUR) is None


# -- iv3 itself ------------------------------------------------------------------------------------


def late(times: int) -> PersonState:
    night = seen(120)
    forecast = a_forecast(night.state)
    night.read(121, 5)
    for _ in range(times):
        assert not night.state.foresee(forecast)
    return night.state


def test_forecasts_that_were_late_three_times_are_told_once_history_is_worked_off() -> None:
    settled = Runtime(T0, 15 * MIN)
    assert troubles_met(late(2), settled) == []
    assert troubles_met(late(3), settled) == ["forecasts are late, so a low may not be foreseen"]
    assert troubles_met(late(4), settled) != []
    assert troubles_met(late(3), Runtime(T0, 15 * MIN - 1)) == []
    caught_up = late(3)
    caught_up.foresee(a_forecast(caught_up))
    caught_up.late_forecasts = 3
    assert troubles_met(caught_up, settled) == []


@pytest.mark.parametrize(
    ("skew_s", "said"),
    [
        (90.0, "2 min fast"),
        (-61.0, "1 min slow"),
        (7140.0, "119 min fast"),
        (7200.0, "2 h fast"),
        (-3 * 3600.0, "3 h slow"),
        (0.0, "0 min slow"),
        (5400.0, "90 min fast"),
        (149.0, "2 min fast"),
        (7169.0, "119 min fast"),
        (9000.0, "2 h fast"),
        (10200.0, "3 h fast"),
        (12600.0, "4 h fast"),
        (0.5, "0 min fast"),
    ],
)
def test_a_clock_that_the_source_calls_wrong_is_told_with_how_much(skew_s: float, said: str) -> None:
    night = Night(foresees=False)
    night.fact(SourceStateChanged(state="ok", clock_skew_s=skew_s))
    assert troubles_met(night.state, RUNNING) == [f"this machine's clock is {said}; Dexcom's is used instead"]
    night.fact(SourceStateChanged(state="ok"))
    assert troubles_met(night.state, RUNNING) == []


def test_what_does_not_work_is_said_in_one_alarm_that_is_another_each_time() -> None:
    night = Night(foresees=False)
    assert system_condition(night.state, T0, RUNNING) is None
    night.fact(SourceStateChanged(state="ok", clock_skew_s=90.0))
    runtime = Runtime(T0, MIN, troubles=("the disk is nearly full",))
    found = system_condition(night.state, T0, runtime)
    assert found is not None
    assert found.evidence.reason == (
        "the disk is nearly full; this machine's clock is 2 min fast; Dexcom's is used instead"
    )
    assert (found.kind, found.priority, found.urgency) == ("system", 4, 5)
    assert found.cause == f"the disk is nearly full/{T0}"


def test_what_the_house_was_told_is_not_told_of_each_person() -> None:
    night = Night(foresees=False)
    night.fact(SourceStateChanged(state="ok", clock_skew_s=90.0))
    assert system_condition(night.state, T0, Runtime(T0, MIN, troubles=("x",), house_told=True)) is None


def test_many_troubles_fit_into_an_event() -> None:
    found = system_condition(PersonState("me"), T0, Runtime(T0, MIN, troubles=tuple("x" * 99 for _ in range(4))))
    assert found is not None
    assert len(found.evidence.reason) == 300
