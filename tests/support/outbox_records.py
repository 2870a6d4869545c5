"""Records of the alerts topic, one after the other, as the outbox folds them."""

import itertools
from typing import Any

from processors.alerting.outbox import Outbox, Step
from schemas.alerts import (
    AlertEvent,
    AlertsDecided,
    TargetAdded,
)
from schemas.envelope import Event, make
from schemas.model import at_ms
from tests.support.alerts import T0

numbers = itertools.count(1)


def new(text: str) -> str:
    """The same text, but another one, as each record of the log has its own."""
    return "".join(text)


def record(data: Any, person: str = "me") -> Event:
    n = next(numbers)
    return make(data, id=f"a{n}", source="test", subject=new(person), time=at_ms(T0 + n), recordedtime=at_ms(T0 + n))


def decided(*events: AlertEvent) -> Event:
    return record(AlertsDecided(pos=(next(numbers), 0, 0), events=events))


def armed(*targets: str) -> Outbox:
    box = Outbox(targets)
    for target in targets:
        box.evolve(record(TargetAdded(target=new(target))))
    return box


def outcome(kind: Any, step: Step, **more: Any) -> Event:
    return record(kind(episode=step.episode, step=step.step, target=step.target, sequence_id=step.sequence_id, **more))
