"""Whatever comes twice, or through a snapshot, decides nothing else."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.alerting.decide import _event, decide
from processors.alerting.episodes import Episodes
from processors.alerting.person_state import PersonState
from schemas.alerts import AlertsDecided, DecisionPosition
from schemas.facts import (
    AlertAcknowledged,
    AlertsSnoozed,
    CarbsEaten,
    InsulinTaken,
)
from schemas.model import at_ms
from tests.support.night import (
    MIN,
    T0,
    Night,
    a_profile,
    a_source,
    apply,
)


def test_nothing_is_decided_twice_at_one_place_nor_before_it() -> None:
    night = Night(foresees=False)
    night.read(50, 0)
    place = night.episodes.through["me"]
    night.episodes.open.clear()
    assert decide(night.state, night.episodes, place, night.now, night.system) is None
    earlier = place._replace(offset=place.offset - 1)
    assert decide(night.state, night.episodes, earlier, night.now, night.system) is None
    behind = place._replace(tick_ms=1)
    said = decide(
        night.state, night.episodes, behind._replace(tick_ms=0, offset=place.offset + 1), night.now, night.system
    )
    assert said is not None
    assert [e.kind for e in said.events] == ["urgent_low"]


def test_where_nothing_follows_nothing_is_decided() -> None:
    night = Night(foresees=False)
    night.read(120, 0)
    assert decide(night.state, night.episodes, DecisionPosition(9, 0, 0), night.now, night.system) is None


def test_an_alert_event_is_of_an_episode_or_a_condition() -> None:
    with pytest.raises(ValueError, match="needs an episode or a condition"):
        _event("opened", None, None, T0)


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
            state.take_forecast(data)
    episodes = Episodes()
    for event in decisions(whole, inputs[crashed - 1][3] if crashed else T0 - 1):
        episodes.evolve("me", event)
    through = episodes.through.get("me", (-1, 0, 0))  # before anything is redelivered
    again = [
        said
        for given_ in inputs[start:crashed]
        for said in apply((*given_[:3], whole.now + MIN), state, episodes, whole.system)
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
        if kind == "forecast" and not state.take_forecast(data):
            continue
        position = (
            DecisionPosition(offset, 0, 0)
            if kind == "fact"
            else DecisionPosition(data.pos, 1, 0)
            if kind == "forecast"
            else state.tick_position(now)
        )
        decided = decide(state, episodes, position, now, night.system)
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
        said += apply(given_, state, episodes, whole.system)
    assert said == whole.said
