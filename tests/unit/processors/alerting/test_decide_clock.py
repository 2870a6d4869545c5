"""Decisions wherever the clock stands: a length of time is a difference."""

from processors.alerting.decide import decide
from processors.alerting.episodes import Episodes
from processors.alerting.person_state import PersonState
from processors.alerting.rules import SystemState
from schemas.alerts import AlertsDecided, DecisionPosition
from schemas.envelope import make
from schemas.facts import (
    GlucoseRead,
)
from schemas.model import at_ms
from tests.support.night import (
    MIN,
    Night,
    a_forecast,
    a_source,
    opened,
)


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
    said = decide(
        state, episodes, DecisionPosition(9, 0, now if tick else 0), now, SystemState(0, 60 * MIN, behind=behind)
    )
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
        said = decide(state, episodes, DecisionPosition(9, 0, 5), 5, SystemState(0, 60 * MIN))
        assert len(said.events if said is not None else ()) == rings


def test_a_low_may_be_foreseen_as_soon_as_the_clock_began_to_count() -> None:
    state = PersonState("me")
    for offset, (at, glucose) in enumerate(((2, 150.0), (300_002, 130.0))):
        read = GlucoseRead(glucose_mgdl=glucose)
        state.take(
            make(read, id=f"r{offset}", source="s", subject="me", time=at_ms(at), recordedtime=at_ms(at)), offset
        )
    assert state.take_forecast(a_forecast(state, at_20_min=50, p_low=0.9))
    assert decide(state, Episodes(), DecisionPosition(1, 1, 0), 600_000, SystemState(0, MIN)) is not None


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
    night.take_forecast(a_forecast(night.state, at_20_min=50, p_low=0.9), 5)
    night.episodes.of("me")["predicted_low"].opened_ms += 10 * MIN
    night.tick(6)
    assert night.steps() == [("predicted_low", "opened", 1)]
