"""The dead-man's switch: a message that goes out by itself when iv3 falls silent.

A message "iv3 is silent" lies scheduled at ntfy, 40 minutes ahead, and is put off every ten while all is well. Two ids
alternate, because putting one off is a deletion and an insertion, and a power cut between the two would lose it. All is
well when every partition's alarms were decided through five minutes ago and nothing that is due waits to be sent, so a
source that is away, or a sensor that warms up, never reads as silence. One per deployment: whoever holds the partition
of `_system` runs it. A stop never disarms it.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from schemas.bookkeeping import DeadManArmed
from schemas.envelope import SYSTEM
from schemas.identity import derived_id
from schemas.model import at_ms
from streams.delivery.targets import AUTHOR
from streams.errors import NotifierRefused, NotifierUnreachable, Transient
from streams.ports.clock import Clock
from streams.ports.log import AppendableLog, append_events
from streams.ports.notifier import Message, Scheduler
from streams.runtime.heartbeats import Heartbeats
from streams.topics import HEARTBEATS

logger = logging.getLogger("iv3.deadman")

# Of the clock; the delay is more than twice the interval, so that both ids always lie ahead.
EVERY_S, DELAY_S = 600.0, 2_400
EVALUATED_WITHIN_S = 300.0
_LOOK_S = 30.0
_DAY_MS = 86_400_000
_SHORTEST_LOOK_S = 0.2  # real seconds, however fast the clock
_BODY = (
    "Nothing was heard of iv3 for half an hour: no alarm would come from it now. Check by "
    "finger-stick, and look whether its machine runs."
)

Ping = Callable[[str], Awaitable[None]]  # called with "" while all is well, else with what is wrong


@dataclass
class SwitchState:
    """How the switch stands, for pages and metrics."""

    armed_ms: int = 0  # when it was last put off; 0: not yet by this process
    fires_ms: int = 0
    off: str = ""  # why it is not armed at all
    waits: str = ""  # why it is not being put off now
    # UTC day -> messages that setting it took, since this process began
    arms: Counter[int] = field(default_factory=Counter)


def switch_ids(log_id: str) -> list[str]:
    """The two ids of a deployment's switch at ntfy."""
    return [f"iv3-dead-{log_id[:12]}-{which}" for which in "ab"]


def switch_message(name: str, label: str, delay_s: int) -> Message:
    """The message that goes out by itself."""
    return Message(name, f"{label}iv3 is silent", _BODY, 5, ("skull",), delay_s=delay_s)


async def put_off(log_id: str, target: Scheduler, by_s: float) -> None:
    """Put both messages off beyond a planned pause of iv3. Raises NotifierUnreachable, NotifierRefused."""
    for number, name in enumerate(switch_ids(log_id)):
        await target.send(switch_message(name, "", round(by_s + DELAY_S + number * EVERY_S)))


class DeadMan:
    """Runs in whichever process holds the partition of `_system`; `watch` until it is cancelled."""

    def __init__(
        self, log: AppendableLog, clock: Clock, target: Scheduler | None, *, label: str = "", ping: Ping | None = None
    ) -> None:
        self._log, self._clock, self._target, self._label, self._ping = log, clock, target, label, ping
        self._ids = switch_ids(log.log_id)
        self._laid: set[str] = set()  # the ids that this process scheduled
        self._tidied = False  # what earlier processes scheduled was taken back
        self._asked = False
        self.state = SwitchState()

    async def watch(self, trouble: Callable[[], str]) -> None:
        """Put the switch off for as long as all is well. `trouble` says in words what is not, or nothing."""
        pulse = Heartbeats(self._log)
        due_ms = 0
        while True:
            why = await self._why_not(pulse, trouble)
            if why and why != self.state.waits and self.state.armed_ms:
                logger.warning("the dead-man's switch is not put off: %s", why)
            self.state.waits = why
            due = not why and not self.state.off and self._clock.now_ms() >= due_ms
            if due and self._target is not None and await self.arm(self._target):
                due_ms = self._clock.now_ms() + round(EVERY_S * 1000)
            if self._ping is not None:
                await self._ping(why or self.state.off)
            await asyncio.sleep(max(_SHORTEST_LOOK_S, _LOOK_S / self._clock.speed))

    async def _why_not(self, pulse: Heartbeats, trouble: Callable[[], str]) -> str:
        try:
            await pulse.refresh()
        except Transient as error:
            return str(error)
        now = self._clock.now_ms()
        within = EVALUATED_WITHIN_S * 1000 * max(1.0, self._clock.speed / 60)  # a heartbeat takes real time to be read
        if now - pulse.evaluated_ms() > within:
            return "alarms are not decided in time"
        if now - pulse.delivered_ms() > within:
            return pulse.trouble() or "something that is due could not be sent"
        return trouble()

    async def arm(self, target: Scheduler) -> bool:
        """Schedule the id whose turn it is, see that it lies there, and only then note it. One request is in flight at
        a time.
        """
        name = self._ids[0]
        try:
            if not self._asked and not await target.probe():
                self.state.off = (
                    "the ntfy server is older than 2.16: it would add up scheduled messages instead of putting them off"
                )
                return False
            self._asked = True
            if not self._laid:
                await target.cancel(name)  # it may have fired, and lie on the phone
            await target.send(switch_message(name, self._label, DELAY_S))
            self._laid.add(name)
            self.state.arms[self._clock.now_ms() // _DAY_MS] += 1
            if not await self._lies_there(target):
                return False
            if not self._tidied:
                await self._tidy(target)
        except Transient as error:
            self.state.waits = str(error)
            return False
        except NotifierRefused as error:
            self.state.waits = f"the dead-man's switch was refused: {error}"
            return False
        self._ids.reverse()
        await self._note(name)
        return True

    async def _tidy(self, target: Scheduler) -> None:
        """Take back what earlier processes scheduled, and say it if that rang: once, and until the server has answered
        all of it.
        """
        pulse = Heartbeats(self._log)
        await pulse.refresh()
        # Nobody puts off the switch of a log that this one is a copy of any more: it would ring for nothing.
        earlier = {name.rpartition("-")[0] for name in pulse.switches} - {self._ids[0].rpartition("-")[0]}
        with suppress(NotifierRefused):  # what may not be taken back rings; that is no reason not to be on guard
            for other in (self._ids[1], *sorted(f"{name}-{which}" for name in earlier for which in "ab")):
                await target.cancel(other)
        if pulse.fires_ms and pulse.fires_ms < self._clock.now_ms():
            name, title = f"iv3-dead-{self._log.log_id[:12]}-back", f"{self._label}iv3 is back"
            await target.send(Message(name, title, "Alarms are watched again.", 3, ("white_check_mark",)))
        self._tidied = True

    async def _lies_there(self, target: Scheduler) -> bool:
        """Whether exactly the messages that this process scheduled wait at the server: none lost, none twice."""
        pending = await target.pending()
        if pending is None:
            self.state.off = (
                "ntfy.token may not read the topic, so nobody can see whether the switch is set: give it read access"
            )
        else:
            ours = sorted(name for name in pending if name in self._ids)
            if set(ours) == self._laid and len(ours) == len(self._laid):
                return True
            if len(ours) > len(set(ours)):
                self.state.off = (
                    "the ntfy server keeps scheduled messages that were put off "
                    "(cache-batch-*): the switch would ring for nothing"
                )
            else:
                self._laid = set(ours)  # one fired, or was lost: go on from what is there
                return bool(ours)
        with suppress(NotifierUnreachable, NotifierRefused):
            for name in self._ids:
                await target.cancel(name)
        logger.error("the dead-man's switch is off: %s", self.state.off)
        return False

    async def _note(self, name: str) -> None:
        now = self._clock.now_ms()
        fires_ms = now + DELAY_S * 1000
        self.state.armed_ms, self.state.fires_ms = now, fires_ms
        armed = DeadManArmed(sequence_id=name, fires=at_ms(fires_ms))
        with suppress(Transient):
            await append_events(
                self._log, HEARTBEATS, [AUTHOR.say(armed, derived_id("dead-man", name, now), SYSTEM, now)]
            )
