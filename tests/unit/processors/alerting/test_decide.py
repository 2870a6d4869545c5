"""What is decided: one person, a script of readings, ticks and answers, and what is said because of it."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.alerting.decide import decide
from processors.alerting.episodes import Episodes
from processors.alerting.person_state import PersonState
from processors.alerting.rules import Runtime
from processors.predictors.forecasting import ForecastState
from schemas.alerts import AlertEvent, AlertsDecided, DecisionPosition
from schemas.envelope import Event, make
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
    ProfileChanged,
    SourceStateChanged,
)
from schemas.forecasts import ForecastMade
from schemas.model import Fact, at_ms

T0 = 1_795_500_000_000
MIN = 60_000
INSULINS = (
    Insulin(name="Humalog", action="rapid", duration_min=300, peak_min=75),
    Insulin(name="Tresiba", action="long", duration_min=2520, every_h=24),
)


@dataclass
class Night:
    """Plays inputs through watch, decide and episodes as the alerter does; keeps the inputs for a redelivery."""

    state: PersonState = field(default_factory=lambda: PersonState("me"))
    outlook: ForecastState = field(default_factory=ForecastState)
    episodes: Episodes = field(default_factory=Episodes)
    started: int = T0 - MIN
    troubles: tuple[str, ...] = ()
    offset: int = -1
    now: int = T0
    said: list[AlertEvent] = field(default_factory=list)
    inputs: list[Any] = field(default_factory=list)
    foresees: bool = True

    def fact(self, data: Fact, at: int | None = None, name: str | None = None, *, now: int | None = None) -> None:
        self.offset += 1
        self.now = max(self.now, now if now is not None else self.now)
        event = make(
            data, id=name or f"e{self.offset}", source="dexcom-share", subject="me", time=at_ms(at if at is not None else self.now),
            recordedtime=at_ms(self.now), actor="Dad",
        )  # fmt: skip
        self._input(("fact", event, self.offset, self.now))
        forecast = self.outlook.take(event, self.offset)
        if self.foresees and isinstance(forecast, ForecastMade):
            self._input(("forecast", forecast, self.offset, self.now))

    def read(self, glucose: float, minutes: float, *, late: float = 0) -> None:
        """A reading `minutes` after T0, seen `late` minutes after that."""
        at = T0 + int(minutes * MIN)
        self.fact(GlucoseRead(glucose_mgdl=glucose, trend="Flat"), at, f"r{at}", now=at + int(late * MIN))

    def tick(self, minutes: float) -> None:
        self.now = max(self.now, T0 + int(minutes * MIN))
        self._input(("tick", None, self.state.newest_offset, self.now))

    def ticks(self, start: float, end: float, step: float = 1 / 6) -> None:
        for n in range(int((end - start) / step) + 1):
            self.tick(start + n * step)

    def _input(self, given: Any) -> None:
        self.inputs.append(given)
        self.said += apply(given, self.state, self.episodes, self.runtime)

    @property
    def runtime(self) -> Runtime:
        return Runtime(self.started, self.now - self.started, troubles=self.troubles)

    def correct_from(self) -> list[tuple[str, str, int]]:
        return [(e.kind, e.change, e.step) for e in self.said]

    def rings(self, kind: str) -> list[float]:
        """Minutes after T0 at which an alarm of this kind rang."""
        return [
            round((int(e.at.timestamp() * 1000) - T0) / MIN, 1)
            for e in self.said
            if e.kind == kind and e.change in ("opened", "escalated")
        ]


def apply(given: Any, state: PersonState, episodes: Episodes, runtime: Runtime) -> list[AlertEvent]:
    kind, data, offset, now = given
    if kind == "fact":
        if offset >= state.offset:
            state.take(data, offset)
        position = DecisionPosition(offset, 0, 0)
    elif kind == "forecast":
        if not state.foresee(data):
            return []
        position = DecisionPosition(data.pos, 1, 0)
    else:
        position = state.tick_position(now)
    decided = decide(state, episodes, position, now, runtime)
    return episodes.evolve("me", decided) if decided is not None else []


def a_source(night: Night) -> None:
    night.fact(SourceStateChanged(state="ok"))


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
    assert night.correct_from() == [("urgent_low", "opened", 1)]


def test_the_all_clear_needs_two_readings_of_80_the_newest_fresh() -> None:
    night = Night()
    for minutes, glucose in ((0, 65), (5, 82), (10, 79), (15, 80)):
        night.read(glucose, minutes)
    assert night.correct_from() == [("low", "opened", 1)]
    night.read(81, 20, late=11)
    assert night.correct_from() == [("low", "opened", 1)]
    night.read(90, 35)
    assert night.correct_from()[-1] == ("low", "resolved", 1)


def test_missing_data_never_ends_a_low() -> None:
    night = Night()
    a_source(night)
    night.read(65, 0)
    night.ticks(1, 240, 5)
    assert ("low", "resolved", 1) not in night.correct_from()
    assert ("me", "low") in night.episodes.open


def test_an_urgent_low_takes_over_a_low_without_a_word() -> None:
    night = Night(foresees=False)
    night.read(65, 0)
    night.read(54, 5)
    assert [(e.kind, e.change, e.quiet) for e in night.said] == [
        ("low", "opened", False), ("low", "resolved", True), ("urgent_low", "opened", False),
    ]  # fmt: skip
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
    assert night.correct_from()[-1] == ("urgent_low", "acknowledged", 1)
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
    assert night.correct_from() == [("urgent_low", "opened", 1)]
    night.read(90, 15)
    night.read(90, 20)
    night.read(65, 31)
    assert night.correct_from()[-1] == ("low", "opened", 1)


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
    assert night.correct_from() == [("stale", "opened", 1)]


def test_readings_that_are_back_end_it_and_other_news_does_not() -> None:
    night = Night()
    a_source(night)
    for n, glucose in enumerate((85, 82, 78)):
        night.read(glucose, 5 * n)
    night.ticks(10, 22)
    assert night.correct_from()[-1][0] == "stale"
    night.fact(CarbsEaten(grams=15), now=T0 + 22 * MIN)
    assert night.correct_from()[-1] == ("stale", "opened", 1), "an entry is no reading"
    night.read(90, 23)
    assert ("stale", "resolved", 1) in night.correct_from()


# -- foreseen, high, long-acting -------------------------------------------------------------------


def falling(night: Night) -> None:
    for n, glucose in enumerate((150, 138, 122, 106, 88)):
        night.read(glucose, 5 * n)


def test_a_low_is_foreseen_once_and_does_not_flicker() -> None:
    night = Night()
    falling(night)
    assert night.correct_from() == [("predicted_low", "opened", 1)]
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
    assert night.correct_from()[-1] == ("predicted_low", "resolved", 1)
    opened = len(night.rings("predicted_low"))
    night.read(84, 35)
    night.read(73, 40)
    assert len(night.rings("predicted_low")) == opened


def test_carbs_without_a_bolus_hold_a_foreseen_low_back_and_with_one_they_do_not() -> None:
    for bolus in (False, True):
        night = Night()
        night.fact(ProfileChanged(insulins=INSULINS))
        for n, glucose in enumerate((140, 134, 128, 121)):
            night.read(glucose, 5 * n)
        night.fact(CarbsEaten(grams=15), now=T0 + 16 * MIN)
        if bolus:
            night.fact(InsulinTaken(units=3, insulin="Humalog"), now=T0 + 17 * MIN)
        before = len(night.said)
        night.read(112, 20)
        forecast = night.state.forecast
        assert forecast is not None
        if before == 0 and forecast.p_low <= 0.5 and forecast.mean_mgdl[3] < 70:
            assert bool(night.said) == bolus


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


def a_profile(night: Night) -> None:
    night.fact(ProfileChanged(insulins=INSULINS, no_long_acting_h=26))


def test_no_long_acting_logged_is_told_hourly_until_one_is_logged_even_back_dated() -> None:
    night = Night()
    a_profile(night)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0 - 25 * 60 * MIN, name="dose")
    night.ticks(0, 200, 1)
    assert night.rings("no_long_acting") == pytest.approx([61, 121, 181], abs=1.1)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0 - 60 * MIN, name="late")
    assert night.correct_from()[-1][:2] == ("no_long_acting", "resolved")
    night.fact(EntryDeleted(entry_id="late", revision=2))
    night.tick(205)
    assert night.correct_from()[-1][:2] == ("no_long_acting", "opened")


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
    """Before the source has answered, and whoever uploads had their turn, nothing is concluded from what is missing; that it is low is known."""
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
    assert night.correct_from() == [("system", "opened", 1)]
    assert "this machine's clock is 3 h fast" in night.said[0].evidence.reason
    night.fact(SourceStateChanged(state="ok"), now=T0 + 6 * MIN)
    night.tick(6)
    assert night.correct_from()[-1] == ("system", "resolved", 1)


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
    assert night.correct_from()[-1] == ("system", "resolved", 3)


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
    assert ("low", "resolved", 1) not in night.correct_from()
    night.read(90, 10)
    assert night.correct_from()[-1] == ("low", "resolved", 1)


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
    assert night.correct_from()[-1] == ("low", "opened", 1)


# -- redelivery ------------------------------------------------------------------------------------

steps = st.lists(
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
@given(steps, st.integers(0, 10_000), st.integers(0, 10_000))
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
@given(steps)
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
@given(steps, st.integers(0, 1000))
def test_a_snapshot_anywhere_changes_nothing(script: list[Any], cut: int) -> None:
    whole = play(script)
    state, episodes, said = PersonState("me"), Episodes(), []
    at = cut % (len(whole.inputs) + 1)
    for n, given_ in enumerate(whole.inputs):
        if n == at:
            state = PersonState.load(state.dump(), state.offset)
        said += apply(given_, state, episodes, whole.runtime)
    assert said == whole.said


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 20), st.integers(39, 401)), max_size=60), st.integers(0, 1000))
def test_a_forecasters_snapshot_anywhere_changes_nothing(rows: list[Any], cut: int) -> None:
    whole, halved, at = ForecastState(), ForecastState(), 0
    for n, (minutes, glucose) in enumerate(rows):
        at += minutes
        event: Event = make(
            GlucoseRead(glucose_mgdl=float(glucose)),
            id=f"r{n}",
            source="s",
            subject="me",
            time=at_ms(T0 + at * MIN),
            recordedtime=at_ms(T0),
        )
        if n == cut % (len(rows) + 1):
            halved = ForecastState.load(halved.dump(), halved.offset)
        assert halved.take(event, n) == whole.take(event, n)
