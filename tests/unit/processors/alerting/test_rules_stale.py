"""When readings are missing, and how that is said."""

from typing import Any

import pytest

from processors.alerting.rules import (
    Condition,
    SystemState,
    stale_condition,
    stale_reason,
)
from schemas.envelope import make
from schemas.facts import (
    DeviceStarted,
    GlucoseRead,
    ProfileChanged,
    SourceStateChanged,
)
from schemas.model import at_ms
from tests.support.night import MIN, MS, T0, Night, a_forecast
from tests.support.situations import RUNNING, after, read, seen


def stale(night: Night, minutes: float, *, low_open: bool = False) -> Condition | None:
    return stale_condition(night.state, after(minutes), RUNNING, low_open=low_open)


def test_no_reading_for_longer_than_a_quarter_of_an_hour_is_told_and_rings_through_after_twice_that() -> None:
    night = seen(120, 120)
    assert stale(night, 15) is None
    warned = stale(night, 15 + MS)
    assert warned is not None
    assert (warned.kind, warned.priority, warned.urgency) == ("stale", 4, 4)
    assert warned.cause == night.state.canonical.recent[-1].id
    assert warned.evidence.reason == "Dexcom: no data"
    for minutes, priority in ((30, 4), (30 + MS, 5)):
        found = stale(night, minutes)
        assert found is not None
        assert (found.priority, found.urgency) == (priority, 4)


def test_a_slow_sensor_is_waited_for_three_cadences() -> None:
    night = seen(120, 120)
    night.state.canonical.cadence_s = 600
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
    night.state.take_forecast(a_forecast(night.state, p_low=p_low))
    assert stale(night, 11, low_open=low_open) is None
    found = stale(night, 11 + MS, low_open=low_open)
    assert (found is not None) == lost
    if found is not None:
        assert (found.priority, found.urgency, found.evidence.reason) == (5, 1, "Dexcom: no data")
        assert found.cause == night.state.canonical.recent[-1].id


def test_a_chance_of_a_quarter_makes_stale_come_after_two_cadences_and_a_minute() -> None:
    """The forecast of the last reading that came says that a low is likely enough."""
    night = seen(120, 120)
    night.state.take_forecast(a_forecast(night.state, p_low=0.25))
    found = stale(night, 11 + MS)
    assert found is not None
    assert found.urgency == 1


def test_while_a_low_is_open_stale_comes_after_two_cadences_and_a_minute() -> None:
    """Whatever the last reading was: a low that is open was not yet cleared."""
    assert stale(seen(95, 95), 11 + MS) is None
    assert stale(seen(95, 95), 11 + MS, low_open=True) is not None


def test_lost_while_low_follows_the_sensors_cadence() -> None:
    night = seen(70, 70)
    night.state.canonical.cadence_s = 60
    assert stale(night, 3) is None
    assert stale(night, 3 + MS) is not None


def test_the_chance_of_an_older_reading_makes_nobody_lost_while_low() -> None:
    night = seen(120, 120)
    night.state.take_forecast(a_forecast(night.state, p_low=0.9))
    for n, name in enumerate(("z", "a", "z2"), 1):
        night.fact(read(120.0), T0 + 5 * MIN * n, name)
        assert stale(night, 5 * n + 11 + MS) is None


def test_before_the_source_was_heard_nothing_is_stale() -> None:
    state = seen(120).state
    assert stale_condition(state, after(60), SystemState(after(59), MIN), low_open=True) is None
    assert stale_condition(state, after(60), SystemState(after(59), 5 * MIN), low_open=True) is not None


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
