"""What many people share: when their readings stop at once, the house is told once."""

import pytest

from processors.alerting.episodes import Episodes
from processors.alerting.many_people import MANY_SILENT, shared_troubles, watched_and_silent
from processors.alerting.person_state import PersonState
from schemas.alerts import AlertEvent, AlertsDecided, DecisionPosition, Evidence
from schemas.envelope import make
from schemas.facts import GlucoseRead, PersonSuspended, SourceState, SourceStateChanged
from schemas.model import Fact, at_ms
from tests.support.night import MIN, T0


def person(name: str, *facts: Fact) -> PersonState:
    state = PersonState(name)
    for n, data in enumerate(facts):
        event = make(data, id=f"{name}{n}", source="s", subject=name, time=at_ms(T0), recordedtime=at_ms(T0))
        state.take(event, n)
    return state


READING = GlucoseRead(glucose_mgdl=100.0)


def silent(*names: str) -> Episodes:
    """Readings of these people are told to have stopped."""
    episodes = Episodes()
    for name in names:
        opened = AlertEvent(
            change="opened",
            episode=f"stale-{name}",
            kind="stale",
            step=1,
            priority=4,
            urgency=4,
            at=at_ms(T0),
            evidence=Evidence(),
        )
        episodes.evolve(name, AlertsDecided(pos=DecisionPosition(0, 0, 0), events=(opened,)))
    return episodes


def test_how_long_a_source_has_not_answered_is_a_difference_of_times() -> None:
    early = person("a", READING, SourceStateChanged(state="unreachable"))
    early.source_since_ms = 2
    assert watched_and_silent([early], Episodes(), 5 * MIN + 1) == (1, 0)
    assert watched_and_silent([early], Episodes(), 5 * MIN + 2) == (1, 1)
    early.source_since_ms = T0
    assert watched_and_silent([early], Episodes(), T0 - MIN) == (1, 0), (
        "a clock that was set back since makes nobody silent"
    )


def test_who_is_suspended_or_never_had_a_reading_is_not_counted() -> None:
    people = [person("a", READING), person("b"), person("c", READING, PersonSuspended()), person("d", READING)]
    assert watched_and_silent(people, Episodes(), T0) == (2, 0)
    assert watched_and_silent(people, silent("b", "c"), T0) == (2, 0)
    assert watched_and_silent([], Episodes(), T0) == (0, 0)


def test_somebody_is_silent_whose_readings_are_told_to_have_stopped() -> None:
    people = [person("a", READING), person("b", READING), person("c", READING)]
    assert watched_and_silent(people, silent("a", "c"), T0) == (3, 2)


@pytest.mark.parametrize(
    ("state", "minutes_ms", "away"),
    [
        ("unreachable", 5 * MIN, 1),
        ("unreachable", 6 * MIN, 1),
        ("unreachable", 5 * MIN - 1, 0),
        ("no_data", 60 * MIN, 0),
        ("ok", 60 * MIN, 0),
    ],
)
def test_somebody_is_silent_whose_source_has_not_answered_for_five_minutes(
    state: SourceState, minutes_ms: int, away: int
) -> None:
    people = [person("a", READING, SourceStateChanged(state=state)), person("b", READING)]
    assert watched_and_silent(people, Episodes(), T0 + minutes_ms) == (2, away)


def test_who_is_silent_for_two_reasons_is_silent_once() -> None:
    people = [person("a", READING, SourceStateChanged(state="unreachable"))]
    assert watched_and_silent(people, silent("a"), T0 + 60 * MIN) == (1, 1)


@pytest.mark.parametrize(
    ("watched", "gone", "told"),
    [
        (5, 5, True),
        (5, 4, False),
        (14, 5, True),
        (15, 5, False),
        (15, 6, True),
        (300, 100, False),
        (300, 99, False),
        (300, 101, True),
    ],
)
def test_the_house_is_told_when_five_people_and_more_than_a_third_are_silent(
    watched: int, gone: int, told: bool
) -> None:
    assert shared_troubles(watched, gone) == ((MANY_SILENT,) if told else ())
