"""The sender of one target: urgent first, one message at a time, and what it does not take never holds up another
target.

The order of a delivery: 1. `DeliveryAttempted` is durable; 2. the message is sent; 3. its outcome is durable. An
attempt without an outcome is asked about at the server before it is sent again, so a message rings once whoever is
killed in between.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from processors.alerting.outbox import ALL_CLEAR, Due, Step
from schemas.alerts import Delivered, DeliveryAttempted, Undeliverable
from schemas.model import Fact
from streams.delivery.outbox_in_flight import OutboxInFlight
from streams.delivery.targets import TargetState
from streams.errors import NotifierRefused, NotifierUnreachable, StreamError
from streams.ports.clock import Clock
from streams.ports.notifier import Message, Notifier
from streams.runtime.backoff import Backoff

logger = logging.getLogger("iv3.notifier")

FIRST_RETRY_S, LONGEST_RETRY_S = 0.5, 30.0
LONGEST_PAUSE_S, LONGEST_URGENT_PAUSE_S = 900.0, 60.0
REFUSED_RETRY_S = 300.0  # 30 wrong tries lock a token out at ntfy; one in five minutes never does
URGENT_PRIORITY = 4
ASK_BACK_S = 12 * 3600  # as long as ntfy remembers

Write = Callable[[Due, Fact, Step], Awaitable[None]]
Compose = Callable[[Step, Due], Message]


def names_of(step: Step) -> dict[str, Any]:
    """What every record about a message says of it."""
    return {"episode": step.episode, "step": step.step, "target": step.target, "sequence_id": step.sequence_id}


class TargetSender:
    """Sends to one target what is due to it in any of the partitions, until it is told to leave or cancelled."""

    def __init__(
        self,
        target: Notifier,
        partitions: Mapping[int, OutboxInFlight],
        clock: Clock,
        compose: Compose,
        write: Write,
        state: TargetState,
    ) -> None:
        self.target, self.state = target, state
        self._name, self._partitions, self._clock = target.target, partitions, clock
        self._compose, self._write = compose, write
        self._wake = asyncio.Event()
        self._leaving = False

    def wake(self) -> None:
        """Something became due, or is over."""
        self._wake.set()

    def leave(self) -> None:
        """End what is being sent, and then end."""
        self._leaving = True
        self._wake.set()

    def _waiting(self) -> list[tuple[Step, Due]]:
        found = (item for sending in self._partitions.values() for item in sending.due().items())
        return [(step, due) for step, due in found if step.target == self._name]

    async def run(self) -> None:
        """Send, and wait for more."""
        delays = Backoff(FIRST_RETRY_S, LONGEST_RETRY_S)
        while not self._leaving:
            self._wake.clear()  # before looking: what comes from here on sets it again
            todo = self._waiting()
            if not todo:
                await self._clear_ended()
                await self._wake.wait()
                continue
            step, due = min(todo, key=lambda item: item[1].order)
            try:
                await self._deliver(step, due)
            except NotifierUnreachable as error:
                asked_s = error.retry_after_s or 0
                self._note_failure(str(error))
                self.state.asked_until_ms = self._clock.now_ms() + round(asked_s * self._clock.speed * 1000)
                self._in_doubt(step)
                await self._pause(delays.next_s(error.retry_after_s, most_s=self._patience()), due.order)
            except NotifierRefused as error:
                await self._refused(step, due, error)
                if not error.final:
                    await self._pause(REFUSED_RETRY_S / max(1.0, self._clock.speed), None)
            else:
                self.state.accepted(self._clock.now_ms())
                delays.reset()
                await self._clear_predecessors(step)

    def _patience(self) -> float:
        """The longest pause, however long the server asks to be left alone: an urgent message is tried every minute."""
        urgent = any(due.event.priority >= URGENT_PRIORITY for _, due in self._waiting())
        return LONGEST_URGENT_PAUSE_S if urgent else LONGEST_PAUSE_S

    async def _pause(self, seconds: float, unless_before: tuple[int, int] | None) -> None:
        """Wait; a message that goes before the one that failed ends the wait."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):  # `wait_for` may swallow the cancellation of a stop
                while True:
                    self._wake.clear()
                    first = min((due.order for _, due in self._waiting()), default=None)
                    sooner = unless_before is not None and first is not None and first < unless_before
                    if sooner or self._leaving:
                        return
                    await self._wake.wait()

    def _note_failure(self, why: str) -> None:
        if not self.state.failing:
            self.state.failing_since_ms = self._clock.now_ms()
            logger.warning("a message cannot be sent yet: %s", why)
        self.state.failing = why

    def _in_doubt(self, step: Step) -> None:
        """The server may have taken it all the same: ask before it is sent again."""
        for sending in self._partitions.values():
            if sending.is_due(step):
                sending.attempted(step)

    async def _deliver(self, step: Step, due: Due) -> None:
        sending = next(sending for sending in self._partitions.values() if sending.is_due(step))
        if not (sending.is_in_doubt(step) and await self.target.was_sent(step.sequence_id, within_s=ASK_BACK_S)):
            await self._write(due, DeliveryAttempted(**names_of(step)), step)
            sending.attempted(step)
            await self.target.send(self._compose(step, due))
        await self._write(due, Delivered(**names_of(step)), step)
        sending.delivered(step)

    async def _refused(self, step: Step, due: Due, error: NotifierRefused) -> None:
        """Say loudly, once a message, that it did not go out. One that only waits for the account to be put right stays
        due.
        """
        sending = next((sending for sending in self._partitions.values() if sending.is_due(step)), None)
        if sending is None:
            return  # something newer took its place meanwhile
        if not sending.was_refused(step):
            logger.error("an alarm could not be delivered: %s", error)
            refusal = Undeliverable(**names_of(step), reason=str(error)[:300], final=error.final)
            await self._write(due, refusal, step)
        sending.refuse(step, final=error.final)
        self._note_failure(str(error))
        if not error.final:
            self.state.refused = str(error)

    async def _clear_predecessors(self, step: Step) -> None:
        """Clear what a message replaces, only now that it was accepted. An all-clear replaces everything, itself at
        last.
        """
        for sending in self._partitions.values():
            for shown in sending.shown((step.episode, step.target)):
                if shown != step:
                    await self._clear(shown)
                if shown != step or step.step == ALL_CLEAR:
                    sending.cleared(shown)

    async def _clear_ended(self) -> None:
        """Take off the phone what ended without a word. What ended longer ago than the server remembers is let be."""
        for sending in self._partitions.values():
            for key, ended_ms in sending.to_clear().items():
                if key[1] != self._name:
                    continue
                if self._clock.now_ms() - ended_ms <= ASK_BACK_S * 1000:
                    for shown in sending.shown(key):
                        await self._clear(shown)
                        sending.cleared(shown)
                sending.ended(key)

    async def _clear(self, step: Step) -> None:
        try:
            await self.target.clear(step.sequence_id)
        except StreamError as error:
            logger.info("an old notification stays on the phone: %s", error)
