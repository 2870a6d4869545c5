"""What is decided: one person, a script of readings, ticks and answers, and what is said because of it."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.alerting.decide import _event, decide, rings_again_ms
from processors.alerting.episodes import Episodes
from processors.alerting.person_state import PersonState
from processors.alerting.rules import Runtime
from processors.predictors.forecasting import ForecastState
from schemas.alerts import AlertEvent, AlertsDecided, DecisionPosition, Evidence
from schemas.envelope import make
from schemas.facts import (
    AlertAcknowledged,
    AlertsSnoozed,
    CarbsEaten,
    DeviceStarted,
    EntryDeleted,
    GlucoseRead,
    Insulin,
    InsulinTaken,
    Limits,
    PersonAdded,
    PersonSuspended,
    ProfileChanged,
    SourceStateChanged,
)
from schemas.forecasts import ForecastMade
from schemas.identity import episode_id
from schemas.model import at_ms
from tests.support.night import INSULINS, MIN, MS, T0, Night, a_forecast, a_profile, a_source, apply, falling

# -- wherever the clock stands ---------------------------------------------------------------------


def early(kind: str, *readings: tuple[int, float], now: int, tick: bool = True, behind: bool = False) -> list[str]:
    """What becomes at `now` of an alarm that opened two milliseconds after the clock began to count: a length of time
    is a difference there too.
    """
    state = PersonState("me", source_recorded_ms=1)
    for offset, (at, glucose) in enumerate(readings):
        read = GlucoseRead(glucose_mgdl=glucose)
        state.take(
            make(read, id=f"r{offset}", source="s", subject="me", time=at_ms(at), recordedtime=at_ms(at)), offset
        )
    episodes = Episodes()
    if kind:
        alarm = opened(kind).model_copy(update={"at": at_ms(2)})
        episodes.evolve("me", AlertsDecided(pos=DecisionPosition(0, 0, 0), events=(alarm,)))
    said = decide(state, episodes, DecisionPosition(9, 0, now if tick else 0), now, Runtime(0, 60 * MIN, behind=behind))
    return [event.change for event in said.events] if said is not None else []


def test_how_fresh_an_all_clear_must_be_is_a_difference_of_times() -> None:
    for now, over in ((602_002, ["resolved"]), (602_003, [])):
        assert early("low", (2, 90), (2002, 90), now=now, tick=False) == over
    for now, over in ((900_002, ["resolved"]), (900_003, [])):
        assert early("stale", (2, 120), now=now, tick=False) == over


def test_how_long_a_low_is_foreseen_and_how_old_a_low_may_be_to_ring_again_are_differences_of_times() -> None:
    for now, over in ((3_600_001, []), (3_600_002, ["expired"]), (3_700_000, ["expired"])):
        assert early("predicted_low", (3_500_000, 120), now=now) == over
    for now, rings in ((900_002, ["escalated"]), (900_003, [])):
        assert early("low", (2, 65), now=now, behind=True) == rings


def test_how_long_a_reading_reassures_and_how_far_a_clock_was_set_back_are_differences_of_times() -> None:
    for now, rings in ((600_002, []), (600_003, ["escalated"])):
        assert early("urgent_low", (2, 75), now=now) == rings
    state, episodes = PersonState("me", source_recorded_ms=1), Episodes()
    episodes.evolve("me", AlertsDecided(pos=DecisionPosition(0, 0, 0), events=(opened("low"),)))
    for ahead_ms, rings in ((60_005, 0), (60_006, 1)):
        episodes.of("me")["low"].rang_ms = ahead_ms
        said = decide(state, episodes, DecisionPosition(9, 0, 5), 5, Runtime(0, 60 * MIN))
        assert len(said.events if said is not None else ()) == rings


def test_a_low_may_be_foreseen_as_soon_as_the_clock_began_to_count() -> None:
    state = PersonState("me")
    for offset, (at, glucose) in enumerate(((2, 150.0), (300_002, 130.0))):
        read = GlucoseRead(glucose_mgdl=glucose)
        state.take(
            make(read, id=f"r{offset}", source="s", subject="me", time=at_ms(at), recordedtime=at_ms(at)), offset
        )
    assert state.foresee(a_forecast(state, at_20_min=50, p_low=0.9))
    assert decide(state, Episodes(), DecisionPosition(1, 1, 0), 600_000, Runtime(0, MIN)) is not None


def test_what_a_clock_a_little_ahead_has_dated_is_new() -> None:
    cleared = Night(foresees=False)
    cleared.read_all((65, 90))
    cleared.read(90, 11, late=-1)
    assert cleared.steps()[-1] == ("low", "resolved", 1)
    back = Night(foresees=False)
    a_source(back)
    back.read(120, 0)
    back.tick(16)
    back.read(121, 18, late=-1)
    assert back.steps()[-1] == ("stale", "resolved", 1)
    waiting = Night(foresees=False, behind=True)
    waiting.read(65, 0)
    waiting.read(65, 17, late=-1)
    waiting.tick(16)
    assert waiting.rings("low") == [0, 16]
    rising = Night(foresees=False)
    rising.read(50, 0)
    rising.read(75, 6, late=-1)
    rising.tick(5.5)
    assert rising.rings("urgent_low") == [0]


def test_a_clock_that_was_set_back_ends_no_foreseen_low() -> None:
    night = Night(foresees=False)
    a_source(night)
    night.read_all((150, 130))
    night.foresee(a_forecast(night.state, at_20_min=50, p_low=0.9), 5)
    night.episodes.of("me")["predicted_low"].opened_ms += 10 * MIN
    night.tick(6)
    assert night.steps() == [("predicted_low", "opened", 1)]


# -- lows ------------------------------------------------------------------------------------------


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


# -- stale -----------------------------------------------------------------------------------------


def test_no_readings_warns_after_15_minutes_then_rings_through_then_hourly() -> None:
    night = Night()
    a_source(night)
    night.read(120, 0)
    night.read(121, 5)
    night.ticks(5, 180)
    assert night.rings("stale") == pytest.approx([20.2, 35.2, 95.2, 155.2], abs=0.4)
    assert [e.priority for e in night.said] == [4, 5, 5, 5]


def test_lost_while_low_rings_through_after_two_cadences_and_a_minute() -> None:
    night = Night()
    a_source(night)
    for n, glucose in enumerate((95, 90, 85, 79)):
        night.read(glucose, 5 * n)
    night.ticks(15, 40)
    stale = next(e for e in night.said if e.kind == "stale")
    assert night.rings("stale")[0] == pytest.approx(26.2, abs=0.3)
    assert (stale.priority, stale.urgency) == (5, 1)


def test_nothing_is_stale_before_the_source_has_answered_once_since_the_start() -> None:
    night = Night(started=T0 + 600 * MIN)
    a_source(night)
    night.read(120, 0)
    night.tick(601)
    assert night.said == []
    night.fact(SourceStateChanged(state="unreachable", reason="timeout"), now=T0 + 602 * MIN)
    night.tick(603)
    (stale,) = night.said
    assert "does not answer" in stale.evidence.reason


def test_a_warming_up_sensor_is_not_stale() -> None:
    night = Night()
    a_source(night)
    night.read(120, 0)
    night.fact(DeviceStarted(device="sensor", warm_up_minutes=30), at=T0 + 3 * MIN, now=T0 + 3 * MIN)
    night.ticks(4, 47)
    assert night.said == []
    night.ticks(47, 50)
    assert night.steps() == [("stale", "opened", 1)]


def test_readings_that_are_back_end_it_and_other_news_does_not() -> None:
    night = Night()
    a_source(night)
    for n, glucose in enumerate((85, 82, 78)):
        night.read(glucose, 5 * n)
    night.ticks(10, 22)
    assert night.steps()[-1][0] == "stale"
    night.fact(CarbsEaten(grams=15), now=T0 + 22 * MIN)
    assert night.steps()[-1] == ("stale", "opened", 1), "an entry is no reading"
    night.read(90, 23)
    assert ("stale", "resolved", 1) in night.steps()


# -- foreseen, high, long-acting -------------------------------------------------------------------


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
    behind = Runtime(T0 - MIN, 60 * MIN, troubles=("alarms are running late",), behind=True)
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


# -- iv3 itself ------------------------------------------------------------------------------------


def test_a_clock_that_dexcom_calls_wrong_is_told_once_and_ends_when_it_is_right() -> None:
    night = Night()
    night.read(120, 0)
    night.fact(SourceStateChanged(state="ok", clock_skew_s=3 * 3600.0))
    night.ticks(0, 5)
    assert night.steps() == [("system", "opened", 1)]
    assert "this machine's clock is 3 h fast" in night.said[0].evidence.reason
    night.fact(SourceStateChanged(state="ok"), now=T0 + 6 * MIN)
    night.tick(6)
    assert night.steps()[-1] == ("system", "resolved", 1)


def test_another_trouble_rings_at_once_and_the_same_one_ever_less_often() -> None:
    night = Night()
    night.troubles = ("the disk is nearly full",)
    night.ticks(0, 5)
    night.troubles = ("alarms are not getting out", "the disk is nearly full")
    night.ticks(6, 10)
    night.troubles = ("alarms are not getting out",)
    night.ticks(11, 250, 1)
    assert night.rings("system") == pytest.approx([0, 6, 246], abs=1.1)
    assert night.said[1].evidence.reason == "alarms are not getting out; the disk is nearly full"
    assert night.said[2].evidence.reason == "alarms are not getting out"
    night.troubles = ()
    night.tick(251)
    assert night.steps()[-1] == ("system", "resolved", 3)


def test_forecasts_that_are_late_three_times_are_told_but_not_while_history_is_worked_off() -> None:
    for started, told in ((T0 - 30 * MIN, ["system"]), (T0 + 20 * MIN, [])):
        night = Night(foresees=False, started=started)
        for n in range(6):
            night.read(120, 5 * n)
        outlook = ForecastState()
        said = [outlook.take(event, offset) for _, event, offset, _ in list(night.inputs)]
        for forecast in [one for one in said if isinstance(one, ForecastMade)][:-1]:
            assert not night.state.foresee(forecast), "the next reading was quicker"
        night.tick(26)
        assert [e.kind for e in night.said] == told


# -- what a line remembers -------------------------------------------------------------------------


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


# -- when it rings again ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "waits"),
    [
        ("urgent_low", (5, 10, 10, 10)),
        ("low", (15, 15, 15)),
        ("high", (60, 60)),
        ("stale", (60, 60)),
        ("no_long_acting", (60, 60)),
        ("system", (60, 240, 720, 720)),
    ],
)
def test_what_nobody_answers_rings_again_by_its_steps_and_the_last_wait_repeats(kind: Any, waits: Any) -> None:
    for step, minutes in enumerate(waits, 1):
        assert rings_again_ms(kind, step, T0, None, treated=False) == T0 + minutes * MIN


@pytest.mark.parametrize(
    ("kind", "minutes"),
    [("urgent_low", 30), ("low", 30), ("high", 120), ("stale", 60), ("no_long_acting", 120), ("system", 1440)],
)
def test_what_was_answered_rings_again_later_and_counts_from_the_answer(kind: Any, minutes: int) -> None:
    answered = T0 + 7 * MIN
    for step in (1, 2):
        assert rings_again_ms(kind, step, T0, answered, treated=False) == answered + minutes * MIN
        assert rings_again_ms(kind, step, T0, answered, treated=True) == answered + 15 * MIN


def test_a_foreseen_low_rings_once() -> None:
    assert rings_again_ms("predicted_low", 1, T0, None, treated=False) is None
    assert rings_again_ms("predicted_low", 1, T0, T0, treated=True) is None


def stay(night: Night, glucose: float, start: float, end: float) -> None:
    """It stays where it is: a reading every five minutes, and a tick with each."""
    minutes = start
    while minutes <= end:
        night.read(glucose, minutes)
        night.tick(minutes)
        minutes += 5


def test_a_high_that_nobody_answers_rings_again_every_hour() -> None:
    night = Night(foresees=False)
    stay(night, 250, 0, 240)
    assert night.rings("high") == [60, 120, 180, 240]
    assert [(e.step, e.priority, e.urgency) for e in night.said] == [(1, 3, 6), (2, 3, 6), (3, 3, 6), (4, 3, 6)]


def test_a_high_that_was_answered_rings_again_after_two_hours() -> None:
    night = Night(foresees=False)
    stay(night, 250, 0, 65)
    night.fact(AlertAcknowledged(episode=night.said[0].episode), now=T0 + 67 * MIN)
    stay(night, 250, 70, 250)
    assert night.rings("high") == [60, 190, 250]
    assert [e.by for e in night.said] == ["", "Dad", "Dad", ""]


def test_it_rings_again_at_the_very_millisecond_and_not_before() -> None:
    night = Night(foresees=False)
    night.read(50, 0)
    night.read(50, 4)
    night.tick(5 - MS)
    assert night.rings("urgent_low") == [0]
    night.tick(5)
    assert night.rings("urgent_low") == [0, 5]


def test_a_low_grows_loud_with_its_second_ring_and_no_other_kind_does() -> None:
    low = Night(foresees=False)
    stay(low, 65, 0, 30)
    assert [e.priority for e in low.said] == [4, 5, 5]
    assert {e.urgency for e in low.said} == {2}
    urgent = Night(foresees=False)
    stay(urgent, 50, 0, 15)
    assert [e.priority for e in urgent.said] == [5, 5, 5]


def test_a_ring_says_the_newest_value_against_the_limit_that_opened_it() -> None:
    night = Night(foresees=False)
    night.read(50, 0)
    night.read(48, 5)
    night.tick(5)
    said = night.said[-1].evidence
    assert (said.glucose_mgdl, said.delta_mgdl, said.limit_mgdl) == (48, -2, 55)
    assert night.said[-1].by == ""


def test_a_snooze_keeps_a_repeat_quiet_until_its_moment() -> None:
    night = Night(foresees=False)
    night.read(65, 0)
    night.fact(AlertsSnoozed(kind="low", until=at_ms(T0 + 17 * MIN)))
    night.fact(AlertsSnoozed(kind="high", until=at_ms(T0 + 100 * MIN)))
    stay(night, 65, 5, 15)
    night.tick(17 - MS)
    assert night.rings("low") == [0]
    night.tick(17)
    assert night.rings("low") == [0, 17]


def test_a_snooze_of_ten_years_in_the_log_silences_an_urgent_low_for_half_an_hour_and_no_longer() -> None:
    """Whichever door wrote it: the longest snooze of a kind holds where the fact is folded."""
    night = Night(foresees=False)
    night.read(50, 0)
    night.fact(AlertsSnoozed(kind="urgent_low", until=at_ms(T0 + 3_652 * 24 * 60 * MIN)))
    stay(night, 50, 5, 25)
    night.tick(30 - MS)
    assert night.rings("urgent_low") == [0]
    night.tick(30)
    assert night.rings("urgent_low") == [0, 30]
    another = Night(foresees=False)
    another.fact(AlertsSnoozed(kind="urgent_low", until=at_ms(T0 + 3_652 * 24 * 60 * MIN)))
    another.read(50, 30 - MS)
    assert another.said == []
    another.read(50, 30)
    assert another.steps() == [("urgent_low", "opened", 1)]


def test_a_snooze_keeps_what_would_open_quiet_until_its_moment() -> None:
    night = Night(foresees=False)
    night.fact(AlertsSnoozed(kind="low", until=at_ms(T0 + 5 * MIN)))
    night.read(65, 5 - MS)
    assert night.said == []
    night.read(65, 5)
    assert night.steps() == [("low", "opened", 1)]


@pytest.mark.parametrize(("glucose", "kind"), [(50, "urgent_low"), (65, "low")])
def test_a_clock_that_was_set_back_makes_an_open_alarm_ring_once_more(glucose: float, kind: str) -> None:
    for ahead_ms, rings in ((MIN, 1), (MIN + 1, 2)):
        night = Night(foresees=False)
        night.read(glucose, 0)
        night.episodes.of("me")[kind].rang_ms = T0 + MIN + ahead_ms
        night.tick(1)
        assert len(night.rings(kind)) == rings


def test_an_answer_that_says_nothing_of_treating_waits_for_its_half_hour() -> None:
    night = Night(foresees=False)
    night.read(50, 0)
    night.episodes.of("me")["urgent_low"].acknowledged_ms = T0
    stay(night, 50, 5, 30)
    assert night.rings("urgent_low") == [0, 30]


def test_an_answer_from_a_clock_that_was_set_back_makes_it_ring_once_more_too() -> None:
    for ahead_ms, rings in ((MIN, 1), (MIN + 1, 2)):
        night = Night(foresees=False)
        night.read(50, 0)
        night.episodes.of("me")["urgent_low"].acknowledged_ms = T0 + MIN + ahead_ms
        night.tick(1)
        assert len(night.rings("urgent_low")) == rings


def test_a_foreseen_low_rings_no_second_time_whatever_the_clock_does() -> None:
    night = Night()
    falling(night)
    night.episodes.of("me")["predicted_low"].rang_ms += 3600 * MIN
    a_source(night)
    night.tick(21)
    assert night.steps() == [("predicted_low", "opened", 1)]


@pytest.mark.parametrize(("glucose", "minutes", "rings"), [(70, 9, 1), (70, 10, 1), (70, 10 + MS, 2), (69, 9, 2)])
def test_on_the_way_out_it_rings_no_more_while_a_reading_of_the_last_ten_minutes_is_in_range(
    glucose: float, minutes: float, rings: int
) -> None:
    night = Night(foresees=False)
    night.read(50, -10)
    night.read(glucose, 0)
    night.tick(minutes)
    assert len(night.rings("urgent_low")) == rings


def test_a_slow_sensors_reading_reassures_for_one_and_a_half_cadences() -> None:
    for minutes, rings in ((22.5, 1), (22.5 + MS, 2)):
        night = Night(foresees=False)
        a_source(night)
        night.read_all((50, 75), step=15)
        night.state.line.cadence_s = 900
        night.tick(15 + minutes)
        assert len(night.rings("urgent_low")) == rings


def test_an_answered_low_that_is_in_range_again_rings_no_more_and_one_below_it_does() -> None:
    for glucose, rings in ((75, 1), (70, 1), (69, 2)):
        night = Night(foresees=False)
        night.read(50, 0)
        night.fact(AlertAcknowledged(episode=night.said[0].episode), now=T0)
        stay(night, glucose, 5, 30)
        assert len(night.rings("urgent_low")) == rings


def test_an_answered_high_rings_again_wherever_glucose_is() -> None:
    """It is still open, for it has not fallen ten below the limit."""
    night = Night(foresees=False)
    stay(night, 250, 0, 60)
    night.fact(AlertAcknowledged(episode=night.said[0].episode), now=T0 + 60 * MIN)
    stay(night, 232, 65, 180)
    assert night.rings("high") == [60, 180]


# -- answers ---------------------------------------------------------------------------------------


def test_an_answer_counts_once_and_only_for_what_rang_before_it() -> None:
    night = Night(foresees=False)
    night.read(50, 0)
    episode = night.said[0].episode
    night.fact(AlertAcknowledged(episode=episode), at=T0 - 1)
    assert night.steps() == [("urgent_low", "opened", 1)]
    night.fact(AlertAcknowledged(episode=episode), at=T0)
    assert night.steps()[1:] == [("urgent_low", "acknowledged", 1)]
    assert night.said[-1].by == "Dad"
    night.fact(AlertAcknowledged(episode=episode), at=T0 + 1)
    night.fact(AlertAcknowledged(episode="another"), at=T0 + 1)
    assert len(night.said) == 2


def test_an_answer_of_before_it_rang_again_is_no_answer_to_that() -> None:
    night = Night(foresees=False)
    night.read(50, 0)
    night.fact(AlertAcknowledged(episode=night.said[0].episode), at=T0)
    stay(night, 50, 5, 30)
    assert night.steps() == [
        ("urgent_low", "opened", 1),
        ("urgent_low", "acknowledged", 1),
        ("urgent_low", "escalated", 2),
    ]
    night.read(50, 35)
    assert len(night.said) == 3


# -- what ends an alarm ----------------------------------------------------------------------------


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


def opened(kind: str, **evidence: Any) -> AlertEvent:
    """An alarm that was opened somehow."""
    return AlertEvent.model_validate(
        {
            "change": "opened",
            "kind": kind,
            "episode": f"{kind}-1",
            "step": 1,
            "priority": 4,
            "urgency": 4,
            "at": at_ms(T0),
            "evidence": Evidence(**evidence),
        }
    )


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
        night.foresee(a_forecast(night.state, at_20_min=50, p_low=0.9), 5)
        assert night.steps() == [("predicted_low", "opened", 1)]
        night.read(glucose, 10)
        night.foresee(a_forecast(night.state, at_20_min=glucose), 10)
        assert (night.steps()[-1] == ("predicted_low", "resolved", 1)) == over
        if over:
            assert night.said[-1].evidence.glucose_mgdl == 80


def test_a_foreseen_low_stays_open_while_it_is_foreseen() -> None:
    night = Night(foresees=False)
    night.read_all((150, 130))
    night.foresee(a_forecast(night.state, at_20_min=50, p_low=0.9), 5)
    night.read(120, 10)
    night.foresee(a_forecast(night.state, at_20_min=50, p_low=0.9), 10)
    assert night.steps() == [("predicted_low", "opened", 1)]


def test_a_foreseen_low_that_did_not_come_is_over_after_an_hour_without_a_word() -> None:
    night = Night(foresees=False)
    a_source(night)
    night.read_all((150, 130))
    night.foresee(a_forecast(night.state, at_20_min=50, p_low=0.9), 5)
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
        night.foresee(a_forecast(night.state, at_20_min=50, p_low=0.9), 5)
        night.read(130, 10)
        night.foresee(a_forecast(night.state, at_20_min=130), 10)
        assert night.steps()[-1] == ("predicted_low", "resolved", 1)
        night.read(130, 25)
        night.foresee(a_forecast(night.state, at_20_min=50, p_low=0.9), minutes)
        assert len(night.rings("predicted_low")) == told


# -- one alarm for one thing -----------------------------------------------------------------------


def test_what_is_foreseen_says_nothing_while_a_low_is_open() -> None:
    for glucose in (65, 50):
        night = Night(foresees=False)
        night.read_all((glucose, 75))
        night.foresee(a_forecast(night.state, at_20_min=40, p_low=0.9), 5)
        assert len(night.said) == 1


def test_an_urgent_low_takes_over_what_was_foreseen_without_a_word() -> None:
    night = Night(foresees=False)
    night.read_all((150, 130))
    night.foresee(a_forecast(night.state, at_20_min=50, p_low=0.9), 5)
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


# -- readings that stopped, and who may conclude something from that -------------------------------


def test_what_grew_worse_rings_at_once_with_what_is_now_known() -> None:
    night = Night(foresees=False)
    a_source(night)
    night.read(120, 0)
    night.tick(16)
    night.fact(SourceStateChanged(state="unreachable"), now=T0 + 20 * MIN)
    night.tick(30)
    assert len(night.said) == 1
    night.tick(30 + MS)
    assert [(e.step, e.priority, e.urgency) for e in night.said] == [(1, 4, 4), (2, 5, 4)]
    assert night.said[1].evidence.reason == "Dexcom does not answer"


def test_what_grew_milder_waits_for_its_turn() -> None:
    night = Night(foresees=False)
    a_source(night)
    night.read(120, 0)
    night.tick(16)
    night.episodes.of("me")["stale"].priority = 5
    night.tick(17)
    assert night.rings("stale") == [16]
    lost = night.episodes.of("me")["stale"]
    lost.urgency, lost.rang_ms = 1, T0 - 60 * MIN
    night.tick(18)
    assert [(e.priority, e.urgency) for e in night.said] == [(4, 4), (5, 1)], "and rings as loud as it was"


def test_readings_lost_while_low_take_their_urgency_along() -> None:
    night = Night(foresees=False)
    a_source(night)
    night.read(120, 0)
    night.tick(16)
    assert night.said[0].urgency == 4
    night.read(65, 1, late=15.1)
    night.tick(17)
    assert [(e.kind, e.step, e.priority, e.urgency) for e in night.said if e.kind == "stale"] == [
        ("stale", 1, 4, 4),
        ("stale", 2, 5, 1),
    ]


def test_a_stale_alarm_rings_hourly_with_the_reason_of_now_and_keeps_it_when_nothing_more_is_known() -> None:
    night = Night(foresees=False)
    a_source(night)
    night.read(120, 0)
    night.tick(31)
    night.fact(DeviceStarted(device="sensor", warm_up_minutes=720), at=T0 + 32 * MIN, now=T0 + 32 * MIN)
    night.tick(91)
    assert [(e.step, e.evidence.reason) for e in night.said] == [(1, "Dexcom: no data"), (2, "Dexcom: no data")]


def test_while_readings_wait_only_lows_ring_again_and_only_with_a_fresh_reading() -> None:
    for minutes, rings in ((15, 2), (15 + MS, 1)):
        night = Night(foresees=False)
        a_source(night)
        stay(night, 250, -60, 0)
        night.read(65, 0.5)
        night.behind = True
        night.tick(minutes + 0.5)
        assert len(night.rings("low")) == rings
    later = Night(foresees=False, behind=True)
    a_source(later)
    stay(later, 250, -60, 70)
    assert later.rings("high") == [0], "a high can wait"
    assert Night(foresees=False, behind=True).steps() == []


def test_before_the_source_was_heard_only_lows_ring_again() -> None:
    night = Night(foresees=False)
    a_source(night)
    stay(night, 65, 0, 5)
    night.started = T0 + 14 * MIN
    night.tick(15)
    assert night.rings("low") == [0, 15]
    assert night.rings("stale") == []


def test_without_a_reading_nothing_rings_while_readings_wait() -> None:
    night = Night(foresees=False, behind=True)
    night.tick(60)
    assert night.said == []


def test_what_rings_by_one_rule_of_a_tick_does_not_ring_by_another_too() -> None:
    night = Night(foresees=False)
    a_profile(night)
    a_source(night)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0 - 26 * 60 * MIN)
    night.read(120, 0)
    night.tick(16)
    assert sorted(night.steps()) == [("no_long_acting", "opened", 1), ("stale", "opened", 1)]


def test_while_a_low_is_open_its_silence_is_told_after_two_cadences_and_a_minute() -> None:
    for glucose in (50, 65):
        night = Night(foresees=False)
        a_source(night)
        night.read_all((glucose, 95))
        night.tick(16)
        assert night.rings("stale") == []
        night.tick(16 + MS)
        assert night.rings("stale") == [16]


# -- long-acting -----------------------------------------------------------------------------------


def test_a_long_acting_dose_ends_the_alarm_at_once_and_says_which() -> None:
    night = Night(foresees=False)
    a_profile(night)
    a_source(night)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0 - 27 * 60 * MIN)
    night.read(120, 0)
    assert night.said == [], "it opens by the clock, not by a reading"
    night.tick(1)
    night.fact(InsulinTaken(units=17, insulin="Tresiba"), at=T0 + MIN, now=T0 + 2 * MIN)
    assert night.steps() == [("no_long_acting", "opened", 1), ("no_long_acting", "resolved", 1)]
    over = night.said[-1]
    assert (over.evidence.insulin, over.evidence.last_logged, over.quiet) == ("Tresiba", at_ms(T0 + MIN), False)


def test_an_alarm_that_was_switched_off_ends_without_a_word() -> None:
    night = Night(foresees=False)
    a_profile(night)
    a_source(night)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0 - 27 * 60 * MIN)
    night.tick(1)
    night.fact(ProfileChanged(insulins=INSULINS, no_long_acting_h=0), now=T0 + 2 * MIN)
    assert [(e.change, e.quiet) for e in night.said] == [("opened", False), ("resolved", True)]


def test_a_dose_that_is_gone_ends_it_without_claiming_that_an_earlier_one_was_logged_now() -> None:
    night = Night(foresees=False)
    a_profile(night)
    a_source(night)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0 - 28 * 60 * MIN)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0 - 27 * 60 * MIN, name="dose")
    night.tick(1)
    night.episodes.through.clear()
    night.state.profile = ProfileChanged(insulins=INSULINS, no_long_acting_h=40)
    night.fact(EntryDeleted(entry_id="dose", revision=2), now=T0 + 2 * MIN)
    assert [(e.change, e.quiet) for e in night.said] == [("opened", False), ("resolved", True)]


def test_of_two_long_acting_insulins_it_names_the_one_that_was_logged_last() -> None:
    night = Night(foresees=False)
    other = Insulin(name="Levemir", action="long", duration_min=1000, every_h=12)
    night.fact(ProfileChanged(insulins=(*INSULINS, other), no_long_acting_h=26))
    a_source(night)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0 - 27 * 60 * MIN)
    night.tick(1)
    night.fact(InsulinTaken(units=9, insulin="Levemir"), now=T0 + 2 * MIN)
    assert (night.said[-1].change, night.said[-1].evidence.insulin) == ("resolved", "Levemir")


def test_an_earlier_dose_that_is_logged_late_does_not_end_it() -> None:
    night = Night(foresees=False)
    a_profile(night)
    a_source(night)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0 - 27 * 60 * MIN)
    night.tick(1)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0 - 50 * 60 * MIN)
    night.tick(2)
    assert night.steps() == [("no_long_acting", "opened", 1)]


def test_an_alarm_that_counted_from_no_dose_ends_with_the_first_one() -> None:
    night = Night(foresees=False)
    a_profile(night)
    alarm = AlertsDecided(pos=DecisionPosition(0, 0, T0), events=(opened("no_long_acting"),))
    night.episodes.evolve("me", alarm)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0)
    assert [(e.change, e.quiet) for e in night.said] == [("resolved", False)]


def test_the_reminder_of_a_long_acting_dose_speaks_of_the_dose_it_counts_from() -> None:
    night = Night(foresees=False)
    a_profile(night)
    a_source(night)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0 - 27 * 60 * MIN)
    night.tick(1)
    stay(night, 120, 5, 65)
    assert night.rings("no_long_acting") == [1, 65]
    assert [e.priority for e in night.said] == [3, 3]
    assert night.said[-1].evidence.last_logged == at_ms(T0 - 27 * 60 * MIN)
    assert night.said[-1].evidence.glucose_mgdl == night.said[0].evidence.glucose_mgdl


# -- iv3 itself, and who is not watched ------------------------------------------------------------


def test_a_trouble_that_is_added_rings_at_once_and_one_that_goes_does_not() -> None:
    night = Night(foresees=False, troubles=("a", "b"))
    night.tick(0)
    night.troubles = ("b",)
    night.tick(1)
    assert night.steps() == [("system", "opened", 1)]
    night.troubles = ("b", "c")
    night.tick(2)
    assert night.steps()[1:] == [("system", "escalated", 2)]
    assert (night.said[-1].evidence.reason, night.said[-1].priority) == ("b; c", 4)
    night.troubles = ("d",)
    night.tick(3)
    assert night.steps()[2:] == [("system", "escalated", 3)]


def test_what_is_wrong_with_iv3_grows_no_louder() -> None:
    night = Night(foresees=False, troubles=("a",))
    night.ticks(0, 60, 60)
    assert [(e.step, e.priority, e.urgency) for e in night.said] == [(1, 4, 5), (2, 4, 5)]


def test_a_reading_puts_nothing_right_that_is_wrong_with_iv3() -> None:
    night = Night(foresees=False, troubles=("a",))
    night.read(120, 0)
    night.tick(0)
    night.read(120, 5)
    assert night.steps() == [("system", "opened", 1)]


def test_what_is_wrong_with_iv3_is_told_though_nothing_else_may_be_concluded_yet() -> None:
    night = Night(foresees=False, troubles=("a",), behind=True)
    night.tick(0)
    assert night.steps() == [("system", "opened", 1)]
    night.troubles = ()
    night.tick(1)
    assert night.steps()[1:] == [("system", "resolved", 1)]


def test_a_suspended_persons_alarms_leave_the_phones_without_a_word_and_no_other_opens() -> None:
    night = Night(foresees=False)
    a_source(night)
    night.read(65, 0)
    night.tick(16)
    assert len(night.episodes.of("me")) == 2
    night.fact(PersonSuspended())
    assert [(e.kind, e.change, e.quiet) for e in night.said[-2:]] == [
        ("low", "expired", True),
        ("stale", "expired", True),
    ]
    count = len(night.said)
    night.read(40, 20)
    night.tick(60)
    assert len(night.said) == count
    night.fact(PersonAdded(), now=T0 + 61 * MIN)
    night.read(45, 62)
    assert night.steps()[count:] == [("urgent_low", "opened", 1)]


# -- an event -------------------------------------------------------------------------------------


def test_nothing_is_decided_twice_at_one_place_nor_before_it() -> None:
    night = Night(foresees=False)
    night.read(50, 0)
    place = night.episodes.through["me"]
    night.episodes.open.clear()
    assert decide(night.state, night.episodes, place, night.now, night.runtime) is None
    earlier = place._replace(offset=place.offset - 1)
    assert decide(night.state, night.episodes, earlier, night.now, night.runtime) is None
    behind = place._replace(tick_ms=1)
    said = decide(
        night.state, night.episodes, behind._replace(tick_ms=0, offset=place.offset + 1), night.now, night.runtime
    )
    assert said is not None
    assert [e.kind for e in said.events] == ["urgent_low"]


def test_where_nothing_follows_nothing_is_decided() -> None:
    night = Night(foresees=False)
    night.read(120, 0)
    assert decide(night.state, night.episodes, DecisionPosition(9, 0, 0), night.now, night.runtime) is None


def test_an_alert_event_is_of_an_episode_or_a_condition() -> None:
    with pytest.raises(ValueError, match="needs an episode or a condition"):
        _event("opened", None, None, T0)


# -- redelivery ------------------------------------------------------------------------------------

scripts = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.sampled_from([39, 50, 54, 60, 66, 69, 72, 79, 80, 85, 100, 130, 180, 250, 310])),
        st.tuples(st.just("gap"), st.integers(1, 60)),
        st.tuples(st.just("ack"), st.booleans()),
        st.tuples(st.just("dose"), st.sampled_from(["Humalog", "Tresiba"])),
        st.tuples(st.just("carbs"), st.integers(5, 60)),
        st.tuples(st.just("snooze"), st.sampled_from(["low", "high", "urgent_low"])),
    ),
    max_size=40,
)


def play(script: list[Any]) -> Night:
    night = Night()
    a_profile(night)
    a_source(night)
    minutes = 0.0
    for what, value in script:
        if what == "read":
            minutes += 5
            night.read(float(value), minutes)
        elif what == "gap":
            night.ticks(minutes, minutes + value, 1)
            minutes += value
        elif what == "ack":
            for episode in list(night.episodes.of("me").values()):
                night.fact(AlertAcknowledged(episode=episode.id, treated=value))
        elif what == "dose":
            night.fact(InsulinTaken(units=3, insulin=value))
        elif what == "carbs":
            night.fact(CarbsEaten(grams=float(value)))
        else:
            night.fact(AlertsSnoozed(kind=value, until=at_ms(night.now + 20 * MIN)))
        night.tick((night.now - T0) / MIN)
    return night


@settings(max_examples=120, deadline=None)
@given(scripts, st.integers(0, 10_000), st.integers(0, 10_000))
def test_whatever_is_redelivered_decides_nothing_again(script: list[Any], crash: int, back: int) -> None:
    """The journal comes again from any place, met by decisions that are already ahead of it."""
    whole = play(script)
    inputs = [i for i in whole.inputs if i[0] != "tick"]
    crashed = crash % (len(inputs) + 1)
    start = back % (crashed + 1)
    state = PersonState("me")
    for kind, data, offset, _ in inputs[:start]:
        if kind == "fact":
            state.take(data, offset)
        else:
            state.foresee(data)
    episodes = Episodes()
    for event in decisions(whole, inputs[crashed - 1][3] if crashed else T0 - 1):
        episodes.evolve("me", event)
    through = episodes.through.get("me", (-1, 0, 0))  # before anything is redelivered
    again = [
        said
        for given_ in inputs[start:crashed]
        for said in apply((*given_[:3], whole.now + MIN), state, episodes, whole.runtime)
    ]
    late = [given_ for given_ in inputs[start:crashed] if (given_[2], int(given_[0] == "forecast"), 0) > through]
    assert not again or late, "something at or before what was decided was decided again"


def decisions(night: Night, until_ms: int) -> list[AlertsDecided]:
    """The records that were written up to a moment, by playing again."""
    state, episodes, found = PersonState("me"), Episodes(), []
    for given_ in night.inputs:
        kind, data, offset, now = given_
        if now > until_ms:
            break
        if kind == "fact" and offset >= state.offset:
            state.take(data, offset)
        if kind == "forecast" and not state.foresee(data):
            continue
        position = (
            DecisionPosition(offset, 0, 0)
            if kind == "fact"
            else DecisionPosition(data.pos, 1, 0)
            if kind == "forecast"
            else state.tick_position(now)
        )
        decided = decide(state, episodes, position, now, night.runtime)
        if decided is not None:
            episodes.evolve("me", decided)
            found.append(decided)
    return found


@settings(max_examples=80, deadline=None)
@given(scripts)
def test_there_are_never_two_open_episodes_of_a_kind_and_every_one_opened_first(script: list[Any]) -> None:
    night = play(script)
    open_now: dict[str, str] = {}
    for event in night.said:
        if event.change == "opened":
            assert event.kind not in open_now
            open_now[event.kind] = event.episode
        else:
            assert open_now.get(event.kind) == event.episode
            if event.change in ("resolved", "expired"):
                del open_now[event.kind]
    assert night.episodes.no_ops == 0


@settings(max_examples=60, deadline=None)
@given(scripts, st.integers(0, 1000))
def test_a_snapshot_anywhere_changes_nothing(script: list[Any], cut: int) -> None:
    whole = play(script)
    state, episodes, said = PersonState("me"), Episodes(), []
    at = cut % (len(whole.inputs) + 1)
    for n, given_ in enumerate(whole.inputs):
        if n == at:
            state = PersonState.load(state.dump(), state.offset)
        said += apply(given_, state, episodes, whole.runtime)
    assert said == whole.said
