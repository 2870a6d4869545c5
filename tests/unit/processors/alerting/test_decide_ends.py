"""What ends an alarm, and that one thing is told by one alarm."""

from schemas.alerts import AlertsDecided, DecisionPosition
from schemas.facts import (
    AlertsSnoozed,
    CarbsEaten,
    InsulinTaken,
    SourceStateChanged,
)
from schemas.identity import episode_id
from schemas.model import at_ms
from tests.support.night import (
    MIN,
    MS,
    T0,
    Night,
    a_forecast,
    a_profile,
    a_source,
    opened,
    stay,
)


def test_an_all_clear_needs_a_reading_of_the_last_ten_minutes() -> None:
    for kind, glucose in (("low", 65), ("urgent_low", 50)):
        for late, over in ((10, True), (10 + MS, False)):
            night = Night(foresees=False)
            night.read_all((glucose, 90))
            night.read(90, 10, late=late)
            assert (night.steps()[-1] == (kind, "resolved", 1)) == over
    assert night.said[0].evidence.glucose_mgdl == 50


def test_an_all_clear_says_the_newest_value() -> None:
    night = Night(foresees=False)
    night.read_all((65, 90, 95))
    assert (night.said[-1].change, night.said[-1].evidence.glucose_mgdl, night.said[-1].quiet) == (
        "resolved",
        95,
        False,
    )


def test_a_high_is_over_ten_below_its_limit() -> None:
    for glucose, over in ((230, False), (229, True)):
        night = Night(foresees=False)
        stay(night, 250, 0, 60)
        night.read(glucose, 65)
        assert (night.steps()[-1] == ("high", "resolved", 1)) == over
    assert night.said[-1].evidence.glucose_mgdl == 229


def test_lost_readings_are_back_with_one_that_is_fresh_and_newer_than_the_last_one_known() -> None:
    for late, over in ((15, True), (15 + MS, False)):
        night = Night(foresees=False)
        a_source(night)
        night.read(120, 0)
        night.tick(16)
        night.read(121, 20, late=late)
        assert (("stale", "resolved", 1) in night.steps()) == over
    again = Night(foresees=False)
    a_source(again)
    again.read(120, 0)
    again.episodes.evolve(
        "me", AlertsDecided(pos=DecisionPosition(1, 0, T0 + 1), events=(opened("stale", reading_time=at_ms(T0)),))
    )
    again.fact(CarbsEaten(grams=5), now=T0 + 2)
    assert "stale" in again.episodes.of("me"), "the last one known is no news"
    older = Night(foresees=False)
    lost = opened("stale", reading_time=at_ms(T0 + 60 * MIN))
    older.episodes.evolve("me", AlertsDecided(pos=DecisionPosition(0, 0, 0), events=(lost,)))
    older.fact(CarbsEaten(grams=5))
    older.read(120, 0)
    assert "stale" in older.episodes.of("me"), "nor is an earlier one"


def test_the_first_reading_ever_ends_an_alarm_that_there_was_none() -> None:
    night = Night(foresees=False)
    night.fact(SourceStateChanged(state="no_data"))
    night.tick(16)
    assert night.steps() == [("stale", "opened", 1)]
    night.read(120, 17)
    assert night.steps()[-1] == ("stale", "resolved", 1)


def test_a_foreseen_low_ends_when_it_is_foreseen_no_longer_and_glucose_is_ten_above_low() -> None:
    for glucose, over in ((80, True), (79, False)):
        night = Night(foresees=False)
        night.read_all((150, 130))
        night.take_forecast(a_forecast(night.state, at_20_min=50, p_low=0.9), 5)
        assert night.steps() == [("predicted_low", "opened", 1)]
        night.read(glucose, 10)
        night.take_forecast(a_forecast(night.state, at_20_min=glucose), 10)
        assert (night.steps()[-1] == ("predicted_low", "resolved", 1)) == over
        if over:
            assert night.said[-1].evidence.glucose_mgdl == 80


def test_a_foreseen_low_stays_open_while_it_is_foreseen() -> None:
    night = Night(foresees=False)
    night.read_all((150, 130))
    night.take_forecast(a_forecast(night.state, at_20_min=50, p_low=0.9), 5)
    night.read(120, 10)
    night.take_forecast(a_forecast(night.state, at_20_min=50, p_low=0.9), 10)
    assert night.steps() == [("predicted_low", "opened", 1)]


def test_a_foreseen_low_that_did_not_come_is_over_after_an_hour_without_a_word() -> None:
    night = Night(foresees=False)
    a_source(night)
    night.read_all((150, 130))
    night.take_forecast(a_forecast(night.state, at_20_min=50, p_low=0.9), 5)
    night.read_all((130,) * 11, 10)
    night.tick(65 - MS)
    assert night.steps() == [("predicted_low", "opened", 1)]
    night.tick(65)
    assert night.steps()[1:] == [("predicted_low", "expired", 1)]


def test_nothing_but_a_foreseen_low_is_over_by_itself() -> None:
    night = Night(foresees=False)
    a_source(night)
    night.read(65, 0)
    night.ticks(1, 300, 1)
    assert {event.change for event in night.said} == {"opened", "escalated"}


def test_after_a_foreseen_low_none_is_told_for_twenty_minutes() -> None:
    for minutes, told in ((30 - MS, 1), (30, 2)):
        night = Night(foresees=False)
        night.read_all((150, 130))
        night.take_forecast(a_forecast(night.state, at_20_min=50, p_low=0.9), 5)
        night.read(130, 10)
        night.take_forecast(a_forecast(night.state, at_20_min=130), 10)
        assert night.steps()[-1] == ("predicted_low", "resolved", 1)
        night.read(130, 25)
        night.take_forecast(a_forecast(night.state, at_20_min=50, p_low=0.9), minutes)
        assert len(night.rings("predicted_low")) == told


def test_what_is_foreseen_says_nothing_while_a_low_is_open() -> None:
    for glucose in (65, 50):
        night = Night(foresees=False)
        night.read_all((glucose, 75))
        night.take_forecast(a_forecast(night.state, at_20_min=40, p_low=0.9), 5)
        assert len(night.said) == 1


def test_an_urgent_low_takes_over_what_was_foreseen_without_a_word() -> None:
    night = Night(foresees=False)
    night.read_all((150, 130))
    night.take_forecast(a_forecast(night.state, at_20_min=50, p_low=0.9), 5)
    night.read(50, 10)
    assert [(e.kind, e.change, e.quiet) for e in night.said[1:]] == [
        ("predicted_low", "resolved", True),
        ("urgent_low", "opened", False),
    ]


def test_a_high_is_told_whatever_else_is_open() -> None:
    night = Night(foresees=False)
    a_profile(night)
    a_source(night)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0 - 27 * 60 * MIN)
    stay(night, 250, 0, 60)
    assert {e.kind for e in night.said if e.change == "opened"} == {"no_long_acting", "high"}


def test_a_high_is_told_though_a_low_was_not_cleared_for_its_readings_came_late() -> None:
    for glucose, kind in ((50, "urgent_low"), (65, "low")):
        night = Night(foresees=False)
        night.read(glucose, 0)
        for minutes in range(5, 70, 5):
            night.read(250, minutes, late=12)
        assert night.steps() == [(kind, "opened", 1), ("high", "opened", 1)]


def test_a_missing_long_acting_dose_is_told_while_a_low_is_open() -> None:
    for glucose in (50, 65):
        night = Night(foresees=False)
        a_profile(night)
        a_source(night)
        night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0 - 27 * 60 * MIN)
        night.read(glucose, 0)
        night.tick(1)
        assert night.steps()[1:] == [("no_long_acting", "opened", 1)]


def test_an_alarm_that_is_not_due_or_is_snoozed_keeps_no_other_quiet() -> None:
    night = Night(foresees=False)
    a_profile(night)
    a_source(night)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0 - 27 * 60 * MIN)
    night.tick(1)
    night.fact(AlertsSnoozed(kind="no_long_acting", until=at_ms(T0 + 600 * MIN)))
    stay(night, 65, 5, 80)
    assert night.rings("low") == [5, 20, 35, 50, 65, 80]
    assert night.rings("no_long_acting") == [1]


def test_an_alarm_opens_by_its_cause_and_again_by_when_the_last_one_ended() -> None:
    night = Night(foresees=False)
    night.read_all((65, 90, 90))
    first = night.said[0].episode
    assert first == episode_id("me", "low", f"r{T0}")
    night.read(65, 15)
    assert night.said[-1].episode == episode_id("me", "low", f"r{T0 + 15 * MIN}/{T0 + 10 * MIN}")
