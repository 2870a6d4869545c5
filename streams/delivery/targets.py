"""Targets of the notifier: how each one does, and the facts that say from where on in the log it is told."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from schemas.alerts import PersonTold, TargetAdded, TargetRemoved
from schemas.envelope import Author
from schemas.identity import derived_id
from streams.errors import Transient
from streams.ports.clock import Clock
from streams.ports.log import AppendableLog, append_events
from streams.runtime.backoff import Backoff, keep_trying
from streams.topics import ALERTS

logger = logging.getLogger("iv3.notifier")
AUTHOR = Author("iv3/notifier")

FIRST_RETRY_S, LONGEST_RETRY_S = 0.5, 30.0


@dataclass
class TargetState:
    """How one target does, for pages and metrics."""

    refused: str = ""
    failing: str = ""
    failing_since_ms: int | None = None
    sent: int = 0
    accepted_ms: int | None = None
    asked_until_ms: int = 0  # the server asked to be left alone until then

    def accepted(self, now_ms: int) -> None:
        """A message was taken: nothing is held against the target any more."""
        self.refused = self.failing = ""
        self.failing_since_ms, self.asked_until_ms = None, 0
        self.sent += 1
        self.accepted_ms = now_ms


async def append_with_retry(write: Callable[[], Awaitable[object]]) -> None:
    """Write until the log takes it; what the notifier has to say is worth waiting for."""

    def failed(error: Transient) -> None:
        logger.warning("the log does not take what the notifier writes: %s", error)

    await keep_trying(write, failed, Backoff(FIRST_RETRY_S, LONGEST_RETRY_S))


async def tell_target(log: AppendableLog, clock: Clock, fact: TargetAdded | TargetRemoved, partition: int) -> None:
    """Append to a partition that a target is told from here on, or no more."""
    now_ms = clock.now_ms()
    name = derived_id(type(fact).__name__, fact.target, partition, now_ms)
    await append_events(log, ALERTS, [AUTHOR.say(fact, name, fact.target, now_ms)], partition=partition)


async def tell_of(log: AppendableLog, clock: Clock, person: str, targets: tuple[str, ...]) -> None:
    """Append who is told of a person from here on; nobody named: the house's phones."""
    now_ms = clock.now_ms()
    name = derived_id("person-told", person, now_ms, *targets)
    await append_events(log, ALERTS, [AUTHOR.say(PersonTold(targets=targets), name, person, now_ms)])
