"""What is wrong with iv3 itself, and who is not watched."""

import pytest

from processors.predictors.forecasting import ForecastState
from schemas.facts import (
    PersonAdded,
    PersonSuspended,
    SourceStateChanged,
)
from schemas.forecasts import ForecastMade
from tests.support.night import (
    MIN,
    T0,
    Night,
    a_source,
)


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
            assert not night.state.take_forecast(forecast), "the next reading was quicker"
        night.tick(26)
        assert [e.kind for e in night.said] == told


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
