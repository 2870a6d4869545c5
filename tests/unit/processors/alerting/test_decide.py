"""What is decided: one person, a script of readings, ticks and answers, and what is said because of it."""

import pytest

from processors.alerting.decide import decide
from processors.alerting.rules import SystemState
from schemas.facts import (
    AlertAcknowledged,
    AlertsSnoozed,
    CarbsEaten,
    EntryDeleted,
    GlucoseRead,
    InsulinTaken,
    Limits,
    ProfileChanged,
)
from schemas.model import at_ms
from tests.support.night import (
    INSULINS,
    MIN,
    T0,
    Night,
    a_profile,
    a_source,
    falling,
)


@pytest.mark.parametrize(
    ("glucose", "kind"), [(55, "urgent_low"), (39, "urgent_low"), (56, "low"), (69, "low"), (70, None), (180, None)]
)
def test_a_reading_opens_what_it_calls_for(glucose: float, kind: str | None) -> None:
    night = Night()
    night.read(glucose, 0)
    assert [e.kind for e in night.said] == ([kind] if kind else [])


def test_nothing_is_opened_by_a_reading_older_than_a_quarter_of_an_hour() -> None:
    night = Night()
    night.read(50, 0, late=15.1)
    assert night.said == []
    night.read(50, 16, late=14.9)
    assert night.steps() == [("urgent_low", "opened", 1)]


def test_the_all_clear_needs_two_readings_of_80_the_newest_fresh() -> None:
    night = Night()
    for minutes, glucose in ((0, 65), (5, 82), (10, 79), (15, 80)):
        night.read(glucose, minutes)
    assert night.steps() == [("low", "opened", 1)]
    night.read(81, 20, late=11)
    assert night.steps() == [("low", "opened", 1)]
    night.read(90, 35)
    assert night.steps()[-1] == ("low", "resolved", 1)


def test_missing_data_never_ends_a_low() -> None:
    night = Night()
    a_source(night)
    night.read(65, 0)
    night.ticks(1, 240, 5)
    assert ("low", "resolved", 1) not in night.steps()
    assert ("me", "low") in night.episodes.open


def test_an_urgent_low_takes_over_a_low_without_a_word() -> None:
    night = Night(foresees=False)
    night.read(65, 0)
    night.read(54, 5)
    assert [(e.kind, e.change, e.quiet) for e in night.said] == [
        ("low", "opened", False),
        ("low", "resolved", True),
        ("urgent_low", "opened", False),
    ]
    night.read(65, 10)
    assert len(night.said) == 3, "a milder low says nothing while the urgent one is open"


def test_an_unanswered_urgent_low_rings_after_5_10_and_10_minutes() -> None:
    night = Night()
    for minutes in range(0, 50, 5):
        night.read(50, minutes)
        night.ticks(minutes, minutes + 4.9)
    assert night.rings("urgent_low") == pytest.approx([0, 5, 15, 25, 35, 45], abs=0.2)


def test_a_low_rings_again_after_15_minutes_and_then_through() -> None:
    night = Night(foresees=False)
    for minutes in range(0, 35, 5):
        night.read(65, minutes)
        night.ticks(minutes, minutes + 4.9)
    assert night.rings("low") == pytest.approx([0, 15, 30], abs=0.2)
    assert [e.priority for e in night.said] == [4, 5, 5]


def test_it_does_not_ring_again_while_a_fresh_reading_is_back_in_range() -> None:
    night = Night()
    night.read(50, 0)
    night.read(75, 4)
    night.ticks(4, 13.9)
    assert night.rings("urgent_low") == [0]
    night.ticks(14.2, 16)
    assert len(night.rings("urgent_low")) == 2, "a reading that is no longer fresh reassures nobody"


def test_an_answer_stops_it_and_a_low_that_stays_urgent_rings_after_half_an_hour() -> None:
    night = Night()
    night.read(50, 0)
    night.fact(AlertAcknowledged(episode=night.said[0].episode), now=T0 + 2 * MIN)
    assert night.steps()[-1] == ("urgent_low", "acknowledged", 1)
    for minutes in range(5, 40, 5):
        night.read(50, minutes)
        night.ticks(minutes, minutes + 4.9)
    assert night.rings("urgent_low") == pytest.approx([0, 32], abs=0.2)


def test_treated_looks_again_after_a_quarter_of_an_hour() -> None:
    night = Night()
    night.read(65, 0)
    night.fact(AlertAcknowledged(episode=night.said[-1].episode, treated=True), now=T0 + MIN)
    for minutes in range(5, 25, 5):
        night.read(66, minutes)
        night.ticks(minutes, minutes + 4.9)
    assert night.rings("low") == pytest.approx([0, 16], abs=0.2)


def test_a_snooze_holds_for_its_kind_and_hides_no_other() -> None:
    night = Night(foresees=False)
    night.fact(AlertsSnoozed(kind="low", until=at_ms(T0 + 30 * MIN)))
    night.fact(AlertsSnoozed(kind="high", until=at_ms(T0 + 600 * MIN)))
    night.read(65, 5)
    assert night.said == []
    night.read(50, 10)
    assert night.steps() == [("urgent_low", "opened", 1)]
    night.read(90, 15)
    night.read(90, 20)
    night.read(65, 31)
    assert night.steps()[-1] == ("low", "opened", 1)


def test_a_low_is_foreseen_once_and_does_not_flicker() -> None:
    night = Night()
    falling(night)
    assert night.steps() == [("predicted_low", "opened", 1)]
    night.read(78, 25)
    assert len(night.said) == 1
    night.read(68, 30)
    assert [(e.kind, e.change, e.quiet) for e in night.said[1:]] == [
        ("predicted_low", "resolved", True),
        ("low", "opened", False),
    ]


def test_a_low_that_did_not_come_ends_and_stays_quiet_for_a_while() -> None:
    night = Night()
    falling(night)
    for n, glucose in enumerate((86, 90)):
        night.read(glucose, 25 + 5 * n)
    assert night.steps()[-1] == ("predicted_low", "resolved", 1)
    opened = len(night.rings("predicted_low"))
    night.read(84, 35)
    night.read(73, 40)
    assert len(night.rings("predicted_low")) == opened


@pytest.mark.parametrize(("bolus", "told"), [(False, []), (True, [20])])
def test_carbs_without_a_bolus_hold_a_foreseen_low_back_and_with_one_they_do_not(
    bolus: bool, told: list[float]
) -> None:
    """At the usual limits AR2's rule never calls below an even chance, where nothing is held back; somebody who wants
    to hear below 100 is spared.
    """
    night = Night()
    night.fact(ProfileChanged(insulins=INSULINS, limits=Limits(predicted_low_mgdl=100)))
    night.read_all((140, 134, 128, 121))
    night.fact(CarbsEaten(grams=15), now=T0 + 16 * MIN)
    if bolus:
        night.fact(InsulinTaken(units=3, insulin="Humalog"), now=T0 + 17 * MIN)
    night.read(112, 20)
    assert night.state.forecast is not None
    assert night.state.forecast.mean_mgdl[3] == 98.2
    assert night.rings("predicted_low") == told


def test_a_high_must_last_an_hour_and_waits_longer_after_a_meal_with_a_bolus() -> None:
    night = Night()
    for minutes in range(0, 65, 5):
        night.read(250, minutes)
    assert night.rings("high") == [60]
    meal = Night()
    meal.fact(ProfileChanged(insulins=INSULINS))
    meal.fact(CarbsEaten(grams=60), at=T0 - 30 * MIN)
    meal.fact(InsulinTaken(units=6, insulin="Humalog"), at=T0 - 30 * MIN)
    for minutes in range(0, 150, 5):
        meal.read(250, minutes)
    assert meal.rings("high") == [125]
    meal2 = Night()
    for minutes in range(0, 65, 5):
        meal2.read(239, minutes)
    assert meal2.said == []


def test_no_long_acting_logged_is_told_hourly_until_one_is_logged_even_back_dated() -> None:
    night = Night()
    a_profile(night)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0 - 25 * 60 * MIN, name="dose")
    night.ticks(0, 200, 1)
    assert night.rings("no_long_acting") == pytest.approx([61, 121, 181], abs=1.1)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0 - 60 * MIN, name="late")
    assert night.steps()[-1][:2] == ("no_long_acting", "resolved")
    night.fact(EntryDeleted(entry_id="late", revision=2))
    night.tick(205)
    assert night.steps()[-1][:2] == ("no_long_acting", "opened")


def test_a_long_acting_alarm_whose_dose_is_gone_ends_without_claiming_that_one_was_logged() -> None:
    night = Night()
    a_profile(night)
    a_source(night)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0 - 27 * 60 * MIN, name="dose")
    night.tick(1)
    assert night.rings("no_long_acting") == [1]
    night.fact(EntryDeleted(entry_id="dose", revision=2), now=T0 + 2 * MIN)
    assert [(e.change, e.quiet) for e in night.said] == [("opened", False), ("resolved", True)]


def test_an_alarm_that_opens_again_for_the_same_cause_is_another_one_and_rings() -> None:
    night = Night()
    a_profile(night)
    a_source(night)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0 - 27 * 60 * MIN, name="dose")
    night.tick(1)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), name="by mistake", now=T0 + 2 * MIN)
    night.fact(EntryDeleted(entry_id="by mistake", revision=2), now=T0 + 3 * MIN)
    night.tick(4)
    opened = [event.episode for event in night.said if event.change == "opened"]
    assert len(set(opened)) == 2


def test_the_last_long_acting_dose_is_remembered_however_long_ago_it_was() -> None:
    night = Night()
    a_profile(night)
    a_source(night)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0 - 20 * 24 * 60 * MIN, name="dose")
    for n in range(5):
        night.fact(InsulinTaken(units=2, insulin="Humalog"), name=f"rapid{n}")
    night.tick(1)
    assert night.rings("no_long_acting") == [1]


def test_an_acknowledged_urgent_low_that_stays_a_low_rings_again_though_it_is_urgent_no_more() -> None:
    night = Night(foresees=False)
    night.read(52, 0)
    night.fact(AlertAcknowledged(episode=night.said[0].episode), now=T0 + MIN)
    for minutes in range(5, 65, 5):
        night.read(60, minutes)
        night.ticks(minutes, minutes + 4.9)
    assert night.rings("urgent_low") == pytest.approx([0, 31, 41, 51, 61], abs=0.3)


def test_before_the_source_has_answered_time_alone_rings_nothing_for_five_minutes_at_most() -> None:
    night = Night(started=T0 - 60 * MIN, foresees=False)
    a_source(night)
    night.read(60, 0)
    night.started = T0 + 9 * 60 * MIN  # a restart in the morning, before the first poll
    night.now = night.started
    night.ticks(9 * 60, 9 * 60 + 4.9)
    assert len(night.said) == 1
    night.ticks(9 * 60 + 5, 9 * 60 + 6)
    assert {e.kind for e in night.said[1:]} == {"low", "stale"}


def test_an_unanswered_low_rings_again_on_time_right_after_a_restart_if_its_reading_is_fresh() -> None:
    """Before the source has answered, and whoever uploads had their turn, nothing is concluded from what is missing;
    that it is low is known.
    """
    night = Night(foresees=False)
    for minute in (0, 5, 10):
        night.read(50, minute)
    night.started = T0 + 11 * MIN
    night.ticks(11, 24)
    assert night.rings("urgent_low") == pytest.approx([0, 11, 21], abs=0.2)


def test_while_readings_wait_to_be_evaluated_nothing_is_called_stale() -> None:
    night = Night()
    a_source(night)
    night.read(120, 0)
    behind = SystemState(T0 - MIN, 60 * MIN, troubles=("alarms are running late",), behind=True)
    said = decide(night.state, night.episodes, night.state.tick_position(T0 + 60 * MIN), T0 + 60 * MIN, behind)
    assert said is not None
    assert [event.kind for event in said.events] == ["system"]


def test_an_old_profile_that_comes_again_moves_no_limit() -> None:
    night = Night(foresees=False)
    night.fact(ProfileChanged(limits=Limits(low_mgdl=90)), name="old")
    old = night.inputs[-1][1]
    night.fact(ProfileChanged(limits=Limits(low_mgdl=70)), now=T0 + MIN)
    night.offset += 1
    night._input(("fact", old, night.offset, T0 + 2 * MIN))
    night.read(80, 3)
    assert night.said == []


def test_without_a_long_acting_dose_on_record_nobody_is_told_anything() -> None:
    night = Night()
    a_profile(night)
    night.fact(InsulinTaken(units=4, insulin="Humalog"), at=T0 - 100 * 60 * MIN)
    night.ticks(0, 100, 10)
    assert night.said == []


def test_a_revised_reading_counts_once_towards_the_all_clear() -> None:
    night = Night(foresees=False)
    night.read(65, 0)
    night.read(82, 5)
    night.fact(GlucoseRead(glucose_mgdl=84), T0 + 5 * MIN, "revised", now=T0 + 6 * MIN)
    assert ("low", "resolved", 1) not in night.steps()
    night.read(90, 10)
    assert night.steps()[-1] == ("low", "resolved", 1)


def test_a_value_that_was_revised_out_of_the_lows_no_longer_keeps_glucose_from_being_high_for_an_hour() -> None:
    night = Night(foresees=False)
    for minutes in range(0, 65, 5):
        night.read(250 if minutes != 30 else 230, minutes)
    assert night.rings("high") == []
    night = Night(foresees=False)
    for minutes in range(0, 65, 5):
        night.read(250 if minutes != 30 else 230, minutes)
        if minutes == 30:
            night.fact(GlucoseRead(glucose_mgdl=251), T0 + 30 * MIN, "revised", now=T0 + 31 * MIN)
    assert night.rings("high") == [60]


def test_a_reading_from_the_future_does_not_hide_a_low() -> None:
    night = Night(foresees=False)
    night.read(120, 0)
    night.fact(GlucoseRead(glucose_mgdl=130), T0 + 600 * MIN, "ahead", now=T0 + MIN)
    night.read(60, 5)
    assert night.steps()[-1] == ("low", "opened", 1)
