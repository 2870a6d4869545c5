"""Episodes: the fold of what was decided."""

import itertools
from typing import Any

import pytest

from processors.alerting.episodes import Episode, Episodes, admit_decision, is_repeat
from schemas.alerts import AlertEvent, AlertsDecided, DecisionPosition, Evidence
from schemas.envelope import Event, make
from schemas.facts import CarbsEaten
from schemas.model import at_ms
from tests.support.night import MIN, T0


def said(change: str, kind: str = "low", episode: str = "", step: int = 1, at: int = T0, **more: Any) -> AlertEvent:
    fields = {
        "change": change,
        "kind": kind,
        "episode": episode or f"{kind}-1",
        "step": step,
        "priority": 4,
        "urgency": 2,
        "at": at_ms(at),
        "evidence": Evidence(glucose_mgdl=65.0),
    }
    return AlertEvent.model_validate(fields | more)


class Alarms:
    """Episodes, and decisions at one place after another."""

    def __init__(self) -> None:
        self.episodes = Episodes()
        self.places = itertools.count()

    def __call__(self, *events: AlertEvent, person: str = "me", at: int | None = None) -> list[AlertEvent]:
        pos = DecisionPosition(next(self.places) if at is None else at, 0, 0)
        return self.episodes.evolve(person, AlertsDecided(pos=pos, events=events))


@pytest.fixture
def decided() -> Alarms:
    return Alarms()


def test_a_decision_is_a_repeat_at_or_before_what_was_decided_and_never_behind_it() -> None:
    here = DecisionPosition(5, 1, 0)
    assert is_repeat(here, here)
    assert is_repeat(DecisionPosition(5, 0, 9), here)
    assert is_repeat(DecisionPosition(4, 1, 9), here)
    assert not is_repeat(DecisionPosition(5, 1, 1), here)
    assert not is_repeat(DecisionPosition(6, 0, 0), here)
    assert not is_repeat(DecisionPosition(-1, 0, 0), None)


def test_an_episode_opens_as_it_was_decided(decided: Alarms) -> None:
    opened = said("opened", at=T0 + 7, priority=5, urgency=0)
    assert decided(opened) == [opened]
    assert decided.episodes.of("me") == {
        "low": Episode("low-1", "me", "low", T0 + 7, 1, T0 + 7, 5, 0, Evidence(glucose_mgdl=65.0))
    }
    episode = decided.episodes.of("me")["low"]
    assert (episode.acknowledged_ms, episode.acknowledged_by) == (None, "")


def test_what_rings_again_takes_its_new_step_and_needs_another_answer(decided: Alarms) -> None:
    decided(said("opened"))
    answer = said("acknowledged", at=T0 + 2 * MIN, by="Dad")
    assert decided(answer) == [answer]
    episode = decided.episodes.of("me")["low"]
    assert (episode.acknowledged_ms, episode.acknowledged_by, episode.step) == (T0 + 2 * MIN, "Dad", 1)
    again = said("escalated", step=2, at=T0 + 9, priority=5, urgency=1, evidence=Evidence(reason="x"))
    assert decided(again) == [again]
    assert (episode.step, episode.rang_ms, episode.priority, episode.urgency) == (2, T0 + 9, 5, 1)
    assert (episode.evidence, episode.acknowledged_ms, episode.opened_ms) == (Evidence(reason="x"), None, T0)


@pytest.mark.parametrize("change", ["resolved", "expired"])
def test_what_is_over_is_no_longer_open_and_when_it_ended_is_known(decided: Alarms, change: str) -> None:
    decided(said("opened"), said("opened", "high"))
    assert len(decided(said(change, at=T0 + 5))) == 1
    assert set(decided.episodes.of("me")) == {"high"}
    assert decided.episodes.closed == {("me", "low"): T0 + 5}


def test_a_repeated_decision_takes_no_effect_and_is_counted(decided: Alarms) -> None:
    decided(said("opened"), at=3)
    assert decided(said("resolved"), at=3) == []
    assert decided(said("resolved"), at=2) == []
    assert "low" in decided.episodes.of("me")
    assert decided.episodes.no_ops == 2
    assert decided.episodes.through == {"me": DecisionPosition(3, 0, 0)}


def test_what_fits_to_no_open_episode_takes_no_effect_and_is_counted(decided: Alarms) -> None:
    assert decided(said("escalated")) == []
    decided(said("opened"))
    assert decided(said("opened", episode="low-2")) == []
    for other in ("low-2", "low-0"):
        assert decided(said("resolved", episode=other)) == []
    assert decided.episodes.of("me")["low"].id == "low-1"
    assert decided.episodes.no_ops == 4


def test_each_persons_episodes_are_their_own(decided: Alarms) -> None:
    decided(said("opened"), at=9)
    decided(said("opened", episode="low-2"), person="Ada", at=1)
    assert decided.episodes.of("me")["low"].id == "low-1"
    assert decided.episodes.of("Ada")["low"].id == "low-2"
    assert decided.episodes.of("nobody") == {}
    decided(said("opened", "high"), at=9)
    decided(said("opened", "high"), at=11)
    assert set(decided.episodes.of("Ada")) == {"low"}
    decided(said("resolved"), said("resolved", "high"), at=12)
    assert decided.episodes.of("me") == {}
    assert set(decided.episodes.of("Ada")) == {"low"}


def test_nothing_has_happened_at_first() -> None:
    episodes = Episodes()
    assert (episodes.open, episodes.through, episodes.closed, episodes.no_ops) == ({}, {}, {}, 0)


def record(data: Any, person: str = "me") -> Event:
    return make(data, id="x", source="test", subject=person, time=at_ms(T0), recordedtime=at_ms(T0))


def test_of_decisions_each_counts_once_and_everything_else_always() -> None:
    through: dict[str, DecisionPosition] = {}
    first = record(AlertsDecided(pos=DecisionPosition(3, 0, 0), events=(said("opened"),)))
    assert admit_decision(first, through)
    assert through == {"me": DecisionPosition(3, 0, 0)}
    assert not admit_decision(first, through)
    assert admit_decision(record(first.data, "Ada"), through)
    assert admit_decision(record(AlertsDecided(pos=DecisionPosition(4, 0, 0), events=(said("resolved"),))), through)
    assert through["me"] == DecisionPosition(4, 0, 0)
    assert admit_decision(record(CarbsEaten(grams=1)), through)
    assert admit_decision(record(CarbsEaten(grams=1)), through)
    assert set(through) == {"me", "Ada"}
