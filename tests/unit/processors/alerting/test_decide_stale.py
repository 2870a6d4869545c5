"""Readings that stopped, and who may conclude something from that."""

import pytest

from schemas.facts import (
    CarbsEaten,
    DeviceStarted,
    InsulinTaken,
    SourceStateChanged,
)
from tests.support.night import (
    MIN,
    MS,
    T0,
    Night,
    a_profile,
    a_source,
    stay,
)


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
