"""The notifier: nobody is told twice, nobody is forgotten, and no target holds up another.

Handling a record is only folding. One scheduler per target sends, urgent first: `DeliveryAttempted` is durable before each send, the outcome after it;
an attempt without an outcome is asked about at the server before it is sent again.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from processors.alerting import words
from processors.alerting.outbox import ALL_CLEAR, Due, Outbox, Step
from schemas.alerts import Delivered, DeliveryAttempted, TargetAdded, TargetRemoved, Undeliverable
from schemas.bookkeeping import PartitionDelivered
from schemas.envelope import SYSTEM, encode, make
from schemas.identity import derived_id
from schemas.model import Fact, at_ms, ms
from streams.deadman import DeadMan, Ping
from streams.errors import NotifierRefused, NotifierUnreachable, StreamError, Transient
from streams.fallback import Fallback
from streams.ports import Clock, Log, Message, Notifier, Partition, Record, Scheduler, append_events
from streams.role import MakeApp, Role
from streams.topics import ALERTS, HEARTBEATS, partition_of

logger = logging.getLogger("iv3.notifier")

FIRST_RETRY_S, LONGEST_RETRY_S = 0.5, 30.0
LONGEST_PAUSE_S, LONGEST_URGENT_PAUSE_S = 900.0, 60.0
REFUSED_RETRY_S = 300.0  # 30 wrong tries lock a token out at ntfy; one in five minutes never does
LOUD_AFTER_S = 120.0  # an urgent message that is due for longer is trouble that must be seen
_URGENT_PRIORITY = 4
_ASK_BACK_S = 12 * 3600
_BEAT_S, _SHORTEST_BEAT_S = 60.0, 0.5
_DAY_MS = 86_400_000
_EARLIER_PRIORITY = 3  # what is over by the time it can be sent does not ring through


@dataclass
class TargetState:
    """How one target does, for pages and metrics."""

    refused: str = ""
    failing: str = ""
    failing_since_ms: int | None = None
    sent: int = 0
    accepted_ms: int | None = None
    asked_until_ms: int = 0  # the server asked to be left alone until then
    attempts: Counter[int] = field(default_factory=Counter)  # UTC day -> messages of that day, whoever sent them


@dataclass(frozen=True)
class Ways:
    """The ways out: who is told, the second way for what is urgent, who keeps the dead-man's switch, and who is pinged."""

    targets: Sequence[Notifier] = ()
    fallback: Notifier | None = None
    dead_man: Scheduler | None = None
    ping: Ping | None = None
    closers: Sequence[Callable[[], Awaitable[None]]] = ()


class AlarmNotifier(Role):
    """Alerts in, messages out."""

    name = "notifier"
    topics = (ALERTS,)

    def __init__(
        self,
        log: Log,
        clock: Clock,
        make_app: MakeApp,
        ways: Ways,
        *,
        label: str = "",
        click: str | None = None,
        shadow: bool = False,
    ) -> None:
        """In `shadow` there are no ways out, and whoever was told before is told no more until it ends."""
        super().__init__(log, clock, make_app)
        self.fallback = Fallback(clock, ways.fallback) if ways.fallback is not None else None
        self.dead_man = (
            DeadMan(self.log, clock, ways.dead_man, label=label, ping=ways.ping)
            if ways.dead_man is not None or ways.ping is not None
            else None
        )
        self._targets = {target.target: target for target in ways.targets}
        self._label, self._click, self._shadow = label, click, shadow
        self.outboxes: dict[int, Outbox] = {}
        self.states = {name: TargetState() for name in self._targets}
        self._wake: dict[str, asyncio.Event] = {}

    # -- folding -----------------------------------------------------------------------------------

    async def fold(self, committed: Mapping[Partition, int]) -> Mapping[Partition, int]:
        """Fold all alerts to the head; a target that is new is told of nothing that was decided before."""
        self._wake = {name: asyncio.Event() for name in self._targets}
        self.outboxes = {}
        for state in self.states.values():
            state.attempts.clear()
        start: dict[Partition, int] = {}
        for topic, partition in committed:
            self.outboxes[partition] = Outbox(tuple(self._targets))
            start[topic, partition] = await self.silently(topic, partition, 0, None, self._fold_one)
        return start

    def _fold_one(self, record: Record) -> None:
        outbox = self.outboxes[record.partition]
        event = self.event_of(record)
        if isinstance(event.data, DeliveryAttempted) and event.data.target in self.states:
            self.states[event.data.target].attempts[event.time_ms // _DAY_MS] += 1
        due = outbox.evolve(event)
        for target in {step.target for step in due} | {target for _, target in outbox.to_clear}:
            if target in self._wake:
                self._wake[target].set()

    async def handle(self, record: Record) -> None:
        """Fold it in; the scheduler does the rest."""
        self._fold_one(record)

    def waiting(self) -> list[tuple[Step, Due]]:
        """Every message that is due."""
        return [item for outbox in self.outboxes.values() for item in outbox.due.items()]

    # -- sending -----------------------------------------------------------------------------------

    async def work(self) -> None:
        """One scheduler per target."""
        await self._arm()
        async with asyncio.TaskGroup() as group:
            for name, target in self._targets.items():
                group.create_task(self._schedule(name, target))
            if self._targets:
                group.create_task(self._beat())
            if self.fallback is not None:
                group.create_task(self.fallback.watch(self._overdue, self.message, self._note_fallback))
            if self.dead_man is not None and partition_of(SYSTEM, self.log.partitions[ALERTS]) in self.outboxes:
                group.create_task(self.dead_man.watch(self.trouble))
            group.create_task(asyncio.Event().wait())

    async def _arm(self) -> None:
        """Write down, once and in every partition, from where on a target is told. It counts once it is read back, in the order of the log."""
        for partition, outbox in self.outboxes.items():
            if self._shadow:
                for name in sorted(outbox.armed):
                    await self._surely(partial(remove_target, self.log, self.clock, name, partition))
            for name in self._targets:
                if name not in outbox.armed:
                    await self._surely(partial(add_target, self.log, self.clock, name, partition))

    async def _surely(self, write: Callable[[], Awaitable[object]]) -> None:
        delay = FIRST_RETRY_S
        while True:
            try:
                await write()
                return
            except Transient as error:
                logger.warning("the log does not take what the notifier writes: %s", error)
                await asyncio.sleep(delay)
                delay = min(delay * 2, LONGEST_RETRY_S)

    async def _schedule(self, name: str, target: Notifier) -> None:
        state = self.states[name]
        delay = FIRST_RETRY_S
        while True:
            self._wake[name].clear()  # before looking: what comes from here on sets it again
            todo = [(step, due) for step, due in self.waiting() if step.target == name]
            if not todo:
                await self._clear_ended(name, target)
                await self._wake[name].wait()
                continue
            step, due = min(todo, key=lambda item: item[1].order)
            try:
                await self._deliver(target, step, due)
            except NotifierUnreachable as error:
                self._note_failure(state, str(error))
                state.asked_until_ms = self.clock.now_ms() + round((error.retry_after_s or 0) * self.clock.speed * 1000)
                self._in_doubt(step)
                await self._pause(name, min(error.retry_after_s or delay, self._patience(name)), due.order)
                delay = min(delay * 2, LONGEST_RETRY_S)
            except NotifierRefused as error:
                await self._refused(state, step, due, error)
                if not error.final:
                    await self._pause(name, REFUSED_RETRY_S / max(1.0, self.clock.speed), None)
            else:
                state.refused = state.failing = ""
                state.failing_since_ms, state.asked_until_ms = None, 0
                state.sent += 1
                state.accepted_ms = self.clock.now_ms()
                delay = FIRST_RETRY_S
                await self._tidy(target, step)

    def _patience(self, name: str) -> float:
        """The longest pause, however long the server asks to be left alone: an urgent message is tried every minute."""
        urgent = any(due.event.priority >= _URGENT_PRIORITY for step, due in self.waiting() if step.target == name)
        return LONGEST_URGENT_PAUSE_S if urgent else LONGEST_PAUSE_S

    async def _pause(self, name: str, seconds: float, unless_before: tuple[int, int] | None) -> None:
        """Wait; a message that goes before the one that failed ends the wait."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):  # `wait_for` may swallow the cancellation of a stop
                while True:
                    self._wake[name].clear()
                    first = min((due.order for step, due in self.waiting() if step.target == name), default=None)
                    if unless_before is not None and first is not None and first < unless_before:
                        return
                    await self._wake[name].wait()

    def _note_failure(self, state: TargetState, why: str) -> None:
        if not state.failing:
            state.failing_since_ms = self.clock.now_ms()
            logger.warning("a message cannot be sent yet: %s", why)
        state.failing = why

    def _in_doubt(self, step: Step) -> None:
        """The server may have taken it all the same: ask before it is sent again."""
        for outbox in self.outboxes.values():
            if step in outbox.due:
                outbox.attempted.add(step)

    async def _deliver(self, target: Notifier, step: Step, due: Due) -> None:
        outbox = next(box for box in self.outboxes.values() if step in box.due)
        if step in outbox.attempted and await target.was_sent(step.sequence_id, within_s=_ASK_BACK_S):
            await self._write(due, Delivered(**_names(step)), step)
        else:
            await self._write(due, DeliveryAttempted(**_names(step)), step)
            outbox.attempted.add(step)
            await target.send(self.message(step, due))
            await self._write(due, Delivered(**_names(step)), step)
        outbox.delivered(step)  # the read-back will say the same a moment later

    async def _refused(self, state: TargetState, step: Step, due: Due, error: NotifierRefused) -> None:
        """Say loudly, once a message, that it did not go out. One that only waits for the account to be put right stays due."""
        outbox = next((box for box in self.outboxes.values() if step in box.due), None)
        if outbox is None:
            return  # something newer took its place meanwhile
        if step not in outbox.refused:
            logger.error("an alarm could not be delivered: %s", error)
            refusal = Undeliverable(**_names(step), reason=str(error)[:300], final=error.final)
            await self._write(due, refusal, step)
        outbox.refuse(step, final=error.final)
        self._note_failure(state, str(error))
        if not error.final:
            state.refused = str(error)

    async def _tidy(self, target: Notifier, step: Step) -> None:
        """Clear the predecessor only once its successor was accepted."""
        for outbox in self.outboxes.values():
            shown = outbox.shown.get((step.episode, step.target), set())
            for old in sorted(shown - {step.step}):
                try:
                    await target.clear(Step(step.episode, old, step.target).sequence_id)
                except StreamError as error:
                    logger.info("an old notification stays on the phone: %s", error)
                shown.discard(old)
            if step.step == ALL_CLEAR:
                outbox.shown.pop((step.episode, step.target), None)

    async def _clear_ended(self, name: str, target: Notifier) -> None:
        """Take off the phone what ended without a word. What ended longer ago than the server remembers is let be."""
        for outbox in self.outboxes.values():
            for episode, of in [key for key in outbox.to_clear if key[1] == name]:
                ended_ms = outbox.to_clear.pop((episode, of))
                shown = outbox.shown.pop((episode, of), set())
                if self.clock.now_ms() - ended_ms > _ASK_BACK_S * 1000:
                    continue
                for step in sorted(shown):
                    try:
                        await target.clear(Step(episode, step, of).sequence_id)
                    except StreamError as error:
                        logger.info("an old notification stays on the phone: %s", error)

    # -- when the first way out is shut ------------------------------------------------------------

    def _overdue(self) -> list[tuple[Outbox, Step, Due]]:
        """Urgent messages that will not get out the first way soon: refused, put off for long, or waiting for two minutes already."""
        now_ms, loud_ms = self.clock.now_ms(), LOUD_AFTER_S * 1000
        found = []
        for outbox in self.outboxes.values():
            for step, due in outbox.due.items():
                state = self.states.get(step.target)
                if state is None or due.closed or due.event.priority < _URGENT_PRIORITY:
                    continue
                shut = state.refused or state.asked_until_ms - now_ms > loud_ms
                if shut or (state.failing and now_ms - ms(due.event.at) > loud_ms):
                    found.append((outbox, step, due))
        return found

    async def _note_fallback(self, due: Due, step: Step, delivered: bool) -> None:  # noqa: FBT001 - the signature of `Note`
        await self._write(due, (Delivered if delivered else DeliveryAttempted)(**_names(step)), step)

    async def _beat(self) -> None:
        """Say once a minute, in each partition, through when everything that was due has been sent."""
        while True:
            now_ms = self.clock.now_ms()
            beats = []
            for partition, outbox in self.outboxes.items():
                oldest = min((ms(due.event.at) for due in outbox.due.values()), default=now_ms)
                # What has just become due is on its way; only what waits for longer is trouble.
                through = oldest if now_ms - oldest > LOUD_AFTER_S * 1000 else now_ms
                said = PartitionDelivered(partition=partition, through=at_ms(through), trouble=self.trouble()[:300])
                event = make(
                    said, id=derived_id("delivered", partition, now_ms), source=f"iv3/{self.name}", subject=str(partition), time=at_ms(now_ms),
                    recordedtime=at_ms(now_ms),
                )  # fmt: skip
                beats.append(self.log.append(HEARTBEATS, str(partition), [encode(event)], partition=partition))
            for answer in await asyncio.gather(*beats, return_exceptions=True):
                if isinstance(answer, Exception) and not isinstance(answer, Transient):
                    raise answer
            await asyncio.sleep(max(_SHORTEST_BEAT_S, _BEAT_S / self.clock.speed))

    def sent_today(self, target: str) -> int:
        """Messages of this UTC day to a target, with those that set the dead-man's switch, as far as this process knows: public servers take 250."""
        day = self.clock.now_ms() // _DAY_MS
        switch = (
            self.dead_man.state.arms[day] if self.dead_man is not None and target == next(iter(self._targets)) else 0
        )
        return self.states[target].attempts[day] + switch

    async def _write(self, due: Due, data: Fact, step: Step) -> None:
        now_ms = self.clock.now_ms()
        kind = type(data).__name__
        event = make(
            data, id=derived_id(kind, *step, 0 if kind == "Delivered" else now_ms), source=f"iv3/{self.name}",
            subject=due.person, time=at_ms(now_ms), recordedtime=at_ms(now_ms),
        )  # fmt: skip
        await self._surely(lambda: append_events(self.log, ALERTS, [event]))

    def message(self, step: Step, due: Due) -> Message:
        """The message as it reads now."""
        event, now_ms = due.event, self.clock.now_ms()
        if step.step == ALL_CLEAR:
            title, body, priority = words.clear_title(event), words.clear_body(event, due.opened_ms, now_ms), 2
            tags: tuple[str, ...] = ("white_check_mark",)
        else:
            title, body, priority = words.title(event), words.body(event, now_ms), event.priority
            tags = words.TAGS[event.kind]
            if due.closed:
                title, priority = f"Earlier: {title}", min(priority, _EARLIER_PRIORITY)
        return Message(step.sequence_id, f"{self._label}{title}", body, priority, tags, self._click)

    # -- what pages ask ----------------------------------------------------------------------------

    def trouble(self) -> str:
        """Why alarms are not getting out, or an empty string."""
        now_ms = self.clock.now_ms()
        for state in self.states.values():
            if state.refused:
                return state.refused
            since = state.failing_since_ms
            if since is not None and now_ms - since > LOUD_AFTER_S * 1000 and self.waiting():
                return state.failing
        return ""


async def add_target(log: Log, clock: Clock, name: str, partition: int) -> None:
    """Append to a partition that a target is told from here on."""
    await _note_target(log, clock, TargetAdded(target=name), partition)


async def remove_target(log: Log, clock: Clock, name: str, partition: int) -> None:
    """Append to a partition that a target is told no more."""
    await _note_target(log, clock, TargetRemoved(target=name), partition)


async def _note_target(log: Log, clock: Clock, data: TargetAdded | TargetRemoved, partition: int) -> None:
    now_ms = clock.now_ms()
    name = derived_id(type(data).__name__, data.target, partition, now_ms)
    event = make(
        data, id=name, source="iv3/notifier", subject=data.target, time=at_ms(now_ms), recordedtime=at_ms(now_ms)
    )
    await log.append(ALERTS, data.target, [encode(event)], partition=partition)


def _names(step: Step) -> dict[str, Any]:
    return {"episode": step.episode, "step": step.step, "target": step.target, "sequence_id": step.sequence_id}
