"""Episodes and outboxes as text and back, exactly: what was folded from a state that was put away is what would have
been folded without that.

An outbox is put away as the log alone says it. One that sends runs ahead of the log, and what it believes for a moment
is not to be remembered.
"""

from typing import Any, TypeVar

import pydantic_core

from processors.alerting.episodes import Episode, Episodes
from processors.alerting.outbox import Due, Outbox, Step
from schemas.alerts import AlertEvent, DecisionPosition, Evidence
from schemas.model import Value

_S = TypeVar("_S", bound=Value)
VERSION = "4"  # of the text, and of what the folds make of an alert: another one folds everything anew


def dump_episodes(episodes: Episodes) -> str:
    """The state as text."""
    return _text(_episodes(episodes))


def load_episodes(text: str) -> Episodes:
    """The state that `dump_episodes` gave."""
    return _episodes_of(pydantic_core.from_json(text))


def dump_outbox(outbox: Outbox) -> str:
    """The state as text; who the house's phones are is not in it."""
    done: dict[str, dict[str, list[tuple[int, str]]]] = {}
    for step, outcome in outbox.done.items():
        done.setdefault(step.episode, {}).setdefault(outcome, []).append((step.step, step.target))
    return _text(
        {
            "episodes": _episodes(outbox.episodes),
            "armed": sorted(outbox.armed),
            "told": outbox.told,
            "due": [[*step, due.event, due.person, due.opened_ms, due.closed] for step, due in outbox.due.items()],
            "attempted": sorted(outbox.attempted),
            "refused": sorted(outbox.refused),
            "done": done,
            "shown": [[*key, sorted(steps)] for key, steps in outbox.shown.items()],
            "to_clear": [[*key, at_ms] for key, at_ms in outbox.to_clear.items()],
            "handed": [[step, steps] for step, steps in outbox.handed.items()],
            "opened": outbox.opened,
            "ended": outbox.ended,
            "newest_ms": outbox.newest_ms,
        }
    )


def load_outbox(text: str, house: tuple[str, ...]) -> Outbox:
    """The state that `dump_outbox` gave."""
    raw: dict[str, Any] = pydantic_core.from_json(text)
    return Outbox(
        house,
        _episodes_of(raw["episodes"]),
        set(raw["armed"]),
        {person: tuple(targets) for person, targets in raw["told"].items()},
        {
            Step(episode, step, target): Due(_said(AlertEvent, event), person, opened_ms, closed)
            for episode, step, target, event, person, opened_ms, closed in raw["due"]
        },
        {Step(*step) for step in raw["attempted"]},
        {Step(*step) for step in raw["refused"]},
        {
            Step(episode, step, target): outcome
            for episode, outcomes in raw["done"].items()
            for outcome, steps in outcomes.items()
            for step, target in steps
        },
        {(episode, target): set(steps) for episode, target, steps in raw["shown"]},
        {(episode, target): at_ms for episode, target, at_ms in raw["to_clear"]},
        {Step(*step): [Step(*other) for other in steps] for step, steps in raw["handed"]},
        raw["opened"],
        raw["ended"],
        raw["newest_ms"],
    )


def _episodes(episodes: Episodes) -> dict[str, Any]:
    return {
        "open": [{name: getattr(episode, name) for name in Episode.__slots__} for episode in episodes.open.values()],
        "through": episodes.through,
        "closed": [[*key, at_ms] for key, at_ms in episodes.closed.items()],
        "no_ops": episodes.no_ops,
    }


def _episodes_of(raw: dict[str, Any]) -> Episodes:
    opened = [Episode(**{**fields, "evidence": _said(Evidence, fields["evidence"])}) for fields in raw["open"]]
    return Episodes(
        {(episode.person, episode.kind): episode for episode in opened},
        {person: DecisionPosition(*position) for person, position in raw["through"].items()},
        {(person, kind): at_ms for person, kind, at_ms in raw["closed"]},
        raw["no_ops"],
    )


def _said(model: type[_S], raw: object) -> _S:
    return model.model_validate_json(pydantic_core.to_json(raw))


def _text(state: object) -> str:
    return pydantic_core.to_json(state).decode()
