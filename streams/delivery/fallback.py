"""The second way out: an urgent message that the first does not take goes there too, once, and is noted in the log like
any other delivery.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from processors.alerting.outbox import Due, Step
from streams.delivery.outbox_in_flight import OutboxInFlight
from streams.errors import NotifierRefused, NotifierUnreachable
from streams.ports.clock import Clock
from streams.ports.notifier import Message, Notifier

logger = logging.getLogger("iv3.fallback")

_LOOK_S, _SHORTEST_LOOK_S = 5.0, 0.1
_AGAIN_S = 30.0  # of the clock, between tries of one message
_REFUSED_AGAIN_S = 300.0
_ASK_BACK_S = 12 * 3600


@dataclass
class FallbackState:
    """How the second way out does, for pages and metrics."""

    sent: int = 0
    failing: str = ""


Overdue = Callable[[], Iterable[tuple[OutboxInFlight, Step, Due]]]
Compose = Callable[[Step, Due], Message]
# (due, step, delivered): False before the attempt, True after the answer.
Note = Callable[[Due, Step, bool], Awaitable[None]]


class Fallback:
    """`watch` until it is cancelled."""

    def __init__(self, clock: Clock, target: Notifier) -> None:
        self._clock, self.target = clock, target
        self._not_before: dict[Step, int] = {}
        self.state = FallbackState()

    async def watch(self, overdue: Overdue, compose: Compose, note: Note) -> None:
        """Look every few seconds of the clock for what is overdue, and send it here."""
        while True:
            for sending, step, due in list(overdue()):
                mine = step._replace(target=self.target.target)
                if not sending.is_due(step) or sending.is_done(mine):
                    continue  # the first way opened meanwhile, or this one has had it
                if self._clock.now_ms() < self._not_before.get(mine, 0):
                    continue
                self._not_before[mine] = self._clock.now_ms() + round(_AGAIN_S * 1000)
                await self._one(sending, mine, due, compose(step, due), note)
            self._not_before = {step: at for step, at in self._not_before.items() if at > self._clock.now_ms()}
            await asyncio.sleep(max(_SHORTEST_LOOK_S, _LOOK_S / self._clock.speed))

    async def _one(self, sending: OutboxInFlight, step: Step, due: Due, message: Message, note: Note) -> None:
        try:
            # Whoever was killed between the message and the note of it must not ring again.
            if not (sending.is_in_doubt(step) and await self.target.was_sent(step.sequence_id, within_s=_ASK_BACK_S)):
                await note(due, step, False)
                sending.attempted(step)
                await self.target.send(message)
        except (NotifierUnreachable, NotifierRefused) as error:
            if not self.state.failing:
                logger.error("the second way out fails too: %s", error)  # noqa: TRY400 - the sentence says it all
            self.state.failing = str(error)
            if isinstance(error, NotifierRefused):
                # 30 wrong tries lock this address out at ntfy, for every phone there.
                self._not_before[step] = self._clock.now_ms() + round(_REFUSED_AGAIN_S * 1000)
            return
        self.state.failing = ""
        self.state.sent += 1
        await note(due, step, True)
        sending.delivered(step)
        self._not_before.pop(step, None)
