"""When an alarm rings again, and what an answer changes of that."""

from typing import Any

import pytest

from processors.alerting.decide import rings_again_ms
from processors.alerting.episodes import Episode
from schemas.alerts import Evidence
from schemas.facts import (
    AlertAcknowledged,
    AlertsSnoozed,
)
from schemas.model import at_ms
from tests.support.night import (
    MIN,
    MS,
    T0,
    Night,
    a_source,
    falling,
    stay,
)


def rang(kind: Any, step: int, answered_ms: int | None = None) -> Episode:
    """An episode that rang at T0."""
    return Episode(f"{kind}-1", "me", kind, T0, step, T0, 4, 2, Evidence(), answered_ms)


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
        assert rings_again_ms(rang(kind, step), treated=False) == T0 + minutes * MIN


@pytest.mark.parametrize(
    ("kind", "minutes"),
    [("urgent_low", 30), ("low", 30), ("high", 120), ("stale", 60), ("no_long_acting", 120), ("system", 1440)],
)
def test_what_was_answered_rings_again_later_and_counts_from_the_answer(kind: Any, minutes: int) -> None:
    answered = T0 + 7 * MIN
    for step in (1, 2):
        assert rings_again_ms(rang(kind, step, answered), treated=False) == answered + minutes * MIN
        assert rings_again_ms(rang(kind, step, answered), treated=True) == answered + 15 * MIN


def test_a_foreseen_low_rings_once() -> None:
    assert rings_again_ms(rang("predicted_low", 1), treated=False) is None
    assert rings_again_ms(rang("predicted_low", 1, T0), treated=True) is None


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
        night.state.canonical.cadence_s = 900
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
