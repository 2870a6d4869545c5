"""What the alerter knows of one person: the fold of the journal and of the forecasts."""

from typing import Any, get_args

import pytest

from processors.alerting.person_state import PersonState
from schemas.alerts import DecisionPosition
from schemas.envelope import Event, make
from schemas.facts import (
    AlertAcknowledged,
    AlertsSnoozed,
    CarbsEaten,
    DeviceStarted,
    Entry,
    EntryCorrected,
    EntryDeleted,
    ExerciseDone,
    GlucoseRead,
    InsulinTaken,
    Limits,
    NoteWritten,
    PersonAdded,
    PersonSuspended,
    ProfileChanged,
    SourceState,
    SourceStateChanged,
    TokenRevoked,
)
from schemas.model import Fact, at_ms
from tests.support.night import HOUR, INSULINS, MIN, T0, a_forecast

DAY = 24 * HOUR


class Told:
    """A person's state, and the journal it is told, record by record."""

    def __init__(self) -> None:
        self.state = PersonState("me")
        self.offset = 999

    def __call__(
        self, data: Fact, at: int = T0, recorded: int | None = None, name: str = "", actor: str | None = "Dad"
    ) -> bool:
        self.offset += 1
        event: Event = make(
            data,
            id=name or f"e{self.offset}",
            source="dexcom-share",
            subject="me",
            time=at_ms(at),
            recordedtime=at_ms(at if recorded is None else recorded),
            actor=actor,
        )
        return self.state.take(event, self.offset)

    def read(self, glucose: float, minutes: float) -> bool:
        return self(GlucoseRead(glucose_mgdl=glucose), T0 + round(minutes * MIN))


@pytest.fixture
def told() -> Told:
    said = Told()
    said(ProfileChanged(insulins=INSULINS), T0 - HOUR)
    return said


def test_a_moment_after_the_clock_began_to_count_nothing_is_old() -> None:
    early = Told()
    early(CarbsEaten(grams=20), 2)
    assert len(early.state.entries) == 1


# -- readings --------------------------------------------------------------------------------------


def test_only_a_new_newest_reading_is_news(told: Told) -> None:
    assert told.read(100, 0)
    assert told.state.newest_offset == 1001
    assert told.read(101, 5)
    assert not told.read(102, 2), "it comes late and fills a gap"
    assert not told(GlucoseRead(glucose_mgdl=101.0), T0 + 5 * MIN, name="e1002"), "it comes twice"
    assert not told(CarbsEaten(grams=10))
    assert told.state.newest_offset == 1002
    assert told.state.offset == 1006


def test_nobody_begins_with_anything() -> None:
    state = PersonState("me")
    assert (state.offset, state.newest_offset, state.suspended_ms, state.late_forecasts) == (0, -1, 0, 0)
    assert (state.source, state.source_recorded_ms, state.source_since_ms, state.warm_up_until_ms) == (None, 0, 0, 0)
    assert (state.profile, state.profile_ms, state.forecast, state.decision_stage) == (ProfileChanged(), 0, None, 0)


# -- what else the journal says --------------------------------------------------------------------


def test_an_older_profile_that_comes_again_changes_nothing_and_an_equally_old_one_does(told: Told) -> None:
    told(ProfileChanged(name="new"), T0, recorded=T0)
    told(ProfileChanged(name="old"), T0, recorded=T0 - 1)
    assert (told.state.profile.name, told.state.profile_ms) == ("new", T0)
    told(ProfileChanged(name="corrected at once"), T0, recorded=T0)
    assert told.state.profile.name == "corrected at once"


def test_how_the_source_answers_counts_from_when_it_began_to(told: Told) -> None:
    told(SourceStateChanged(state="ok"), T0, recorded=T0 + 1)
    assert (told.state.source_since_ms, told.state.source_recorded_ms) == (T0, T0 + 1)
    told(SourceStateChanged(state="ok", clock_skew_s=90.0), T0 + MIN, recorded=T0 + MIN + 1)
    assert (told.state.source_since_ms, told.state.source_recorded_ms) == (T0, T0 + MIN + 1)
    assert told.state.source == SourceStateChanged(state="ok", clock_skew_s=90.0)
    for n, state in enumerate(get_args(SourceState) * 2, 2):
        told(SourceStateChanged(state=state), T0 + n * MIN)
        assert told.state.source_since_ms == T0 + (n if n > 2 else 0) * MIN


def test_the_last_word_says_whether_somebody_is_watched(told: Told) -> None:
    told(PersonSuspended(), T0, recorded=T0 + 5)
    assert told.state.suspended_ms == T0 + 5
    told(PersonAdded(), T0 - DAY)
    assert told.state.suspended_ms == 0


def test_a_snooze_is_kept_by_its_kind_until_its_moment(told: Told) -> None:
    told(AlertsSnoozed(kind="low", until=at_ms(T0 + 20 * MIN)))
    told(AlertsSnoozed(kind="high", until=at_ms(T0 + 60 * MIN)))
    told(AlertsSnoozed(kind="low", until=at_ms(T0 + 10 * MIN)))
    assert told.state.snoozes == {"low": T0 + 10 * MIN, "high": T0 + 60 * MIN}


def test_an_answer_is_kept_with_its_moment_who_gave_it_and_whether_they_treated(told: Told) -> None:
    told(AlertAcknowledged(episode="low-1", treated=True), T0 + 3)
    told(AlertAcknowledged(episode="high-1"), T0 + 4, actor=None)
    assert told.state.acknowledged == {"low-1": (T0 + 3, "Dad", True), "high-1": (T0 + 4, "", False)}


def test_what_concerns_no_alarm_changes_nothing_but_how_far_it_was_read(told: Told) -> None:
    before = told.state.dump()
    assert not told(TokenRevoked(token_id="t"))
    assert told.state.dump() == before
    assert told.state.offset == 1002


# -- entries ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("said", "minutes"), [(None, 120), (30, 30), (0, 0)])
def test_a_sensor_warms_up_for_two_hours_unless_its_start_says_how_long(
    told: Told, said: int | None, minutes: int
) -> None:
    told(DeviceStarted(device="sensor", warm_up_minutes=said), T0)
    assert told.state.warm_up_until_ms == T0 + minutes * MIN


def test_a_pen_has_no_warm_up_and_a_later_sensor_does_not_end_an_earlier_ones(told: Told) -> None:
    told(DeviceStarted(device="pen", warm_up_minutes=60), T0)
    assert told.state.warm_up_until_ms == 0
    told(DeviceStarted(device="sensor"), T0)
    told(DeviceStarted(device="sensor", warm_up_minutes=30), T0 + MIN)
    assert told.state.warm_up_until_ms == T0 + 120 * MIN


def test_doses_and_meals_are_what_the_entries_are_now_oldest_first(told: Told) -> None:
    told(InsulinTaken(units=5, insulin="Humalog"), T0 + 2 * MIN)
    told(InsulinTaken(units=4, insulin="humalog "), T0 + MIN)
    told(InsulinTaken(units=18, insulin="Tresiba"), T0)
    told(InsulinTaken(units=1, insulin="Unknown"), T0)
    told(CarbsEaten(grams=30), T0 + 2 * MIN)
    told(CarbsEaten(grams=20, speed="fast"), T0 + MIN, name="meal")
    told(NoteWritten(text="x"), T0)
    state = told.state
    assert state.doses("rapid") == [(T0 + MIN, 4, "humalog "), (T0 + 2 * MIN, 5, "Humalog")]
    assert state.doses("long") == [(T0, 18, "Tresiba")]
    assert state.meals() == [(T0 + MIN, 20, "fast"), (T0 + 2 * MIN, 30, "medium")]
    told(EntryDeleted(entry_id="meal", revision=2))
    assert state.meals() == [(T0 + 2 * MIN, 30, "medium")]


def test_a_dose_of_an_insulin_that_left_the_profile_is_what_it_was_then(told: Told) -> None:
    told(InsulinTaken(units=4, insulin="Gone", action="rapid"), T0, name="dose")
    assert told.state.doses("rapid") == [(T0, 4, "Gone")]
    assert told.state.doses("long") == []
    told(EntryDeleted(entry_id="dose", revision=2))
    assert told.state.doses("rapid") == []


def test_a_change_made_from_another_revision_changes_nothing(told: Told) -> None:
    told(CarbsEaten(grams=20), T0, name="meal")
    told(EntryDeleted(entry_id="meal", revision=3))
    assert told.state.meals() == [(T0, 20, "medium")]


def test_entries_are_kept_for_eight_days(told: Told) -> None:
    told(CarbsEaten(grams=20), T0, name="old")
    told(CarbsEaten(grams=5), T0 + 8 * DAY)
    assert "old" in told.state.entries
    told(CarbsEaten(grams=5), T0 + 8 * DAY + 1)
    assert "old" not in told.state.entries
    assert len(told.state.entries) == 2


def test_the_last_long_acting_dose_is_kept_for_ever_and_no_other(told: Told) -> None:
    told(InsulinTaken(units=17, insulin="Tresiba"), T0 - DAY, name="before")
    told(InsulinTaken(units=18, insulin="Tresiba"), T0, name="last")
    told(InsulinTaken(units=19, insulin="Tresiba"), T0 + MIN, name="deleted")
    told(InsulinTaken(units=4, insulin="Humalog"), T0 + MIN, name="rapid")
    told(EntryDeleted(entry_id="deleted", revision=2))
    told(CarbsEaten(grams=5), T0 + 30 * DAY, name="new")
    assert set(told.state.entries) == {"last", "new"}


def test_of_two_long_acting_doses_of_one_moment_always_the_same_is_kept() -> None:
    for order in (("a", "b"), ("b", "a")):
        told = Told()
        told(ProfileChanged(insulins=INSULINS), T0)
        for name in order:
            told(InsulinTaken(units=18, insulin="Tresiba"), T0, name=name)
        told(CarbsEaten(grams=5), T0 + 30 * DAY, name="new")
        assert set(told.state.entries) == {"b", "new"}


# -- forecasts -------------------------------------------------------------------------------------


def test_a_forecast_counts_if_it_rests_on_the_newest_reading(told: Told) -> None:
    told.read(100, 0)
    forecast = a_forecast(told.state)
    assert told.state.decision_stage == 0
    assert told.state.take_forecast(forecast)
    assert (told.state.forecast, told.state.decision_stage) == (forecast, 1)
    told.read(101, 5)
    assert told.state.decision_stage == 0, "the newest reading has none yet"
    assert not told.state.take_forecast(forecast)
    assert not told.state.take_forecast(forecast)
    assert told.state.late_forecasts == 2
    early = a_forecast(told.state).model_copy(update={"pos": told.state.newest_offset + 1})
    assert not told.state.take_forecast(early), "its reading was not folded yet"
    assert told.state.take_forecast(a_forecast(told.state))
    assert told.state.late_forecasts == 0


def test_what_shadows_say_is_no_part_of_the_state(told: Told) -> None:
    """Another predictor in the shadow is no reason to fold everybody's alarms anew."""
    told.read(120, 0)
    seen = a_forecast(told.state)
    assert told.state.take_forecast(seen.model_copy(update={"shadows": {"another": seen.mean_mgdl}}))
    assert told.state.forecast == seen.model_copy(update={"shadows": {}})
    assert "another" not in told.state.dump()


def test_a_tick_lies_behind_everything_that_was_folded(told: Told) -> None:
    told.read(100, 0)
    assert told.state.tick_position(T0 + 7) == DecisionPosition(1001, 0, T0 + 7)
    told.state.take_forecast(a_forecast(told.state))
    assert told.state.tick_position(T0 + 7) == DecisionPosition(1001, 1, T0 + 7)


# -- what rules ask --------------------------------------------------------------------------------


def test_readings_of_80_in_a_row_run_towards_the_all_clear(told: Told) -> None:
    assert told.state.clear_readings == 0
    for n, (glucose, run) in enumerate(((80, 1), (200, 2), (79.9, 0), (80, 1), (81, 2), (80, 3))):
        told.read(glucose, 5 * n)
        assert told.state.clear_readings == run


def test_a_high_counts_since_every_reading_was_at_its_limit_without_a_gap_that_could_hide_another(told: Told) -> None:
    told(ProfileChanged(limits=Limits(high_alarm_mgdl=200)), T0)
    assert told.state.high_since_ms is None
    told.read(199.9, 0)
    assert told.state.high_since_ms is None
    told.read(200, 5)
    told.read(210, 35)
    assert told.state.high_since_ms == T0 + 5 * MIN
    told.read(210, 65 + 1 / MIN)
    assert told.state.high_since_ms == T0 + 65 * MIN + 1


# -- snapshots -------------------------------------------------------------------------------------


def full() -> Told:
    """Everything that a state can hold, none of it as it is at first."""
    told = Told()
    told(ProfileChanged(name="Maya", insulins=INSULINS, limits=Limits(low_mgdl=75), no_long_acting_h=26), T0, T0 + 1)
    told(
        SourceStateChanged(state="no_data", reason="?", clock_skew_s=61.5, refusals=2, no_login_before=at_ms(T0)),
        T0,
        T0 + 2,
    )
    told(DeviceStarted(device="sensor", model="G7", warm_up_minutes=30), T0 - HOUR, name="sensor", actor=None)
    told(InsulinTaken(units=4.25, insulin="Humalog", action="rapid", note="n"), T0, name="dose")
    told(
        EntryCorrected(
            entry_id="dose", revision=2, entry=Entry(type=CarbsEaten.TYPE, time=at_ms(T0 + 9), data={"grams": 12.5})
        ),
        name="c",
    )
    told(ExerciseDone(minutes=30), T0, name="gone")
    told(EntryDeleted(entry_id="gone", revision=2), actor="Mum")
    told(AlertsSnoozed(kind="high", until=at_ms(T0 + HOUR)))
    told(AlertAcknowledged(episode="low-1", treated=True))
    told.read(100, 0)
    told.read(104, 0)
    told.read(96, 5)
    told.state.take_forecast(a_forecast(told.state))
    told.read(90, 10)
    told.state.take_forecast(told.state.forecast)  # type: ignore[arg-type] # it was taken above
    told(PersonSuspended(), T0 + 3)
    return told


def test_a_state_put_away_and_taken_up_again_is_the_same() -> None:
    state = full().state
    again = PersonState.load(state.dump(), state.offset)
    assert again == state
    assert again.dump() == state.dump()
    assert (again.late_forecasts, again.newest_offset, again.suspended_ms) == (1, 1012, T0 + 3)
    assert again.entries["gone"].deleted
    assert (again.entries["dose"].revision, again.entries["dose"].data) == (2, CarbsEaten(grams=12.5))
    assert again.source is not None
    assert again.source.clock_skew_s == 61.5
    assert again.forecast is not None
    assert again.canonical.superseded


def test_an_empty_state_put_away_and_taken_up_again_is_the_same() -> None:
    state = PersonState("me", 7)
    assert PersonState.load(state.dump(), 7) == state


@pytest.mark.parametrize("cut", range(12))
def test_what_is_folded_behind_a_state_that_was_put_away_gives_the_same(cut: int) -> None:
    whole, halved = Told(), Told()
    facts: list[tuple[Any, int]] = [
        (ProfileChanged(insulins=INSULINS), T0),
        (InsulinTaken(units=18, insulin="Tresiba"), T0 - 9 * DAY),
        (CarbsEaten(grams=9), T0 - 9 * DAY),
        (GlucoseRead(glucose_mgdl=90.0), T0),
        (GlucoseRead(glucose_mgdl=95.0), T0 + 5 * MIN),
        (EntryDeleted(entry_id="e1002", revision=2), T0),
        (SourceStateChanged(state="ok"), T0),
        (SourceStateChanged(state="ok"), T0 + MIN),
        (CarbsEaten(grams=5), T0),
        (GlucoseRead(glucose_mgdl=95.5), T0 + 5 * MIN),
        (PersonSuspended(), T0),
        (PersonAdded(), T0),
    ]
    for n, (data, at) in enumerate(facts):
        if n == cut:
            halved.state = PersonState.load(halved.state.dump(), halved.state.offset)
        assert halved(data, at) == whole(data, at)
    assert halved.state == whole.state


def test_a_sensor_start_that_is_deleted_or_corrected_quiets_nothing_any_more(told: Told) -> None:
    told(DeviceStarted(device="sensor"), T0, name="s1")
    told(EntryDeleted(entry_id="s1", revision=2), T0 + MIN)
    assert told.state.warm_up_until_ms == 0


def test_a_moment_that_nobody_can_have_meant_counts_for_no_alarm(told: Told) -> None:
    """A dose of next year would keep "no long-acting logged" quiet until then."""
    for n, at in enumerate((T0 + 365 * 24 * HOUR, T0 + 10 * MIN + 1, T0 + 10 * MIN)):
        told(InsulinTaken(units=n + 1, insulin="Tresiba"), at, recorded=T0)
    assert told.state.doses("long") == [(T0 + 10 * MIN, 3, "Tresiba")]
    told(DeviceStarted(device="sensor"), T0 + 365 * 24 * HOUR, recorded=T0)
    assert told.state.warm_up_until_ms == 0


def test_the_last_long_acting_dose_is_kept_however_far_ahead_another_claims_to_be(told: Told) -> None:
    told(InsulinTaken(units=12, insulin="Tresiba"), T0)
    told(InsulinTaken(units=13, insulin="Tresiba"), T0 + 365 * 24 * HOUR, recorded=T0 + MIN)
    told(CarbsEaten(grams=10), T0 + 30 * 24 * HOUR)
    assert told.state.doses("long") == [(T0, 12, "Tresiba")]


def test_answers_are_forgotten_after_eight_days(told: Told) -> None:
    day = 24 * HOUR
    told(AlertAcknowledged(episode="old"), T0)
    told(AlertAcknowledged(episode="of the day"), T0 + 8 * day)
    assert set(told.state.acknowledged) == {"old", "of the day"}
    told(AlertAcknowledged(episode="new"), T0 + 8 * day + 1)
    assert set(told.state.acknowledged) == {"of the day", "new"}
