"""Rules: which conditions hold for a person now. Limits of time are tried at their very millisecond, limits of glucose
at their value.
"""

from dataclasses import FrozenInstanceError

import pytest

from processors.alerting.person_state import PersonState
from processors.alerting.rules import (
    SystemState,
    evidence_of,
    glucose_condition,
    heard_since_start,
    long_acting_condition,
    system_condition,
    system_troubles_of,
)
from schemas.alerts import Evidence
from schemas.facts import (
    CarbsEaten,
    EntryDeleted,
    InsulinTaken,
    Limits,
    SourceStateChanged,
)
from schemas.model import at_ms
from tests.support.night import HOUR, MIN, MS, T0, Night, a_forecast
from tests.support.situations import RUNNING, after, late, of, seen


def test_nothing_is_concluded_until_the_source_was_heard_or_five_minutes_are_over() -> None:
    state = PersonState("me")
    assert not heard_since_start(state, SystemState(T0, 5 * MIN - 1))
    assert heard_since_start(state, SystemState(T0, 5 * MIN))
    state.source_recorded_ms = T0 - 1
    assert not heard_since_start(state, SystemState(T0, MIN))
    state.source_recorded_ms = T0
    assert heard_since_start(state, SystemState(T0, MIN))


def test_who_has_no_source_gives_uploaders_ten_minutes_to_bring_what_they_kept() -> None:
    state = PersonState("me", source_recorded_ms=T0 + 1)
    assert not heard_since_start(state, SystemState(T0, 10 * MIN - 1, has_source=False))
    assert heard_since_start(state, SystemState(T0, 10 * MIN, has_source=False))
    assert heard_since_start(state, SystemState(T0, 11 * MIN, has_source=False))


def test_what_holds_now_is_a_value_that_nobody_changes() -> None:
    found = glucose_condition(seen(50).state, T0)
    assert found is not None
    with pytest.raises(FrozenInstanceError):
        found.priority = 1  # type: ignore[misc] # that is what is tried
    with pytest.raises(FrozenInstanceError):
        RUNNING.behind = True  # type: ignore[misc] # and here


def test_unless_told_otherwise_there_is_a_source_and_nothing_is_wrong() -> None:
    said = SystemState(T0, MIN)
    assert (said.has_source, said.troubles, said.behind, said.house_told) == (True, (), False, False)


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
    assert found.cause == night.state.canonical.recent[-1].id


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


def test_forecasts_that_were_late_three_times_are_told_once_history_is_worked_off() -> None:
    settled = SystemState(T0, 15 * MIN)
    assert system_troubles_of(late(2), settled) == []
    assert system_troubles_of(late(3), settled) == ["forecasts are late, so a low may not be foreseen"]
    assert system_troubles_of(late(4), settled) != []
    assert system_troubles_of(late(3), SystemState(T0, 15 * MIN - 1)) == []
    caught_up = late(3)
    caught_up.take_forecast(a_forecast(caught_up))
    caught_up.late_forecasts = 3
    assert system_troubles_of(caught_up, settled) == []


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
    assert system_troubles_of(night.state, RUNNING) == [f"this machine's clock is {said}; Dexcom's is used instead"]
    night.fact(SourceStateChanged(state="ok"))
    assert system_troubles_of(night.state, RUNNING) == []


def test_what_does_not_work_is_said_in_one_alarm_that_is_another_each_time() -> None:
    night = Night(foresees=False)
    assert system_condition(night.state, T0, RUNNING) is None
    night.fact(SourceStateChanged(state="ok", clock_skew_s=90.0))
    system = SystemState(T0, MIN, troubles=("the disk is nearly full",))
    found = system_condition(night.state, T0, system)
    assert found is not None
    assert found.evidence.reason == (
        "the disk is nearly full; this machine's clock is 2 min fast; Dexcom's is used instead"
    )
    assert (found.kind, found.priority, found.urgency) == ("system", 4, 5)
    assert found.cause == f"the disk is nearly full/{T0}"


def test_what_the_house_was_told_is_not_told_of_each_person() -> None:
    night = Night(foresees=False)
    night.fact(SourceStateChanged(state="ok", clock_skew_s=90.0))
    assert system_condition(night.state, T0, SystemState(T0, MIN, troubles=("x",), house_told=True)) is None


def test_many_troubles_fit_into_an_event() -> None:
    found = system_condition(PersonState("me"), T0, SystemState(T0, MIN, troubles=tuple("x" * 99 for _ in range(4))))
    assert found is not None
    assert len(found.evidence.reason) == 300
