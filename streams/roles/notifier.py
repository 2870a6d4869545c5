"""The notifier: nobody is told twice, nobody is forgotten, and no target holds up another.

Handling a record is only folding. One scheduler per target sends, urgent first: `DeliveryAttempted` is durable before each send, the outcome after it;
an attempt without an outcome is asked about at the server before it is sent again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from processors.alerting.outbox import ALL_CLEAR, Due, Outbox, Step
from processors.alerting.wording import age_words
from schemas.alerts import Delivered, DeliveryAttempted, Undeliverable
from schemas.bookkeeping import PartitionDelivered
from schemas.envelope import SYSTEM, encode, make
from schemas.identity import derived_id
from schemas.model import Fact, Partition, at_ms, ms
from streams.delivery.channels import Channels
from streams.delivery.dead_man import DeadMan
from streams.delivery.fallback import Fallback
from streams.delivery.messages import message_of
from streams.delivery.outbox_snapshots import OutboxSnapshots
from streams.delivery.targets import TargetState, add_target, append_with_retry, remove_target, tell_of
from streams.errors import NotifierRefused, NotifierUnreachable, StreamError, Transient
from streams.ports.clock import Clock
from streams.ports.log import Log, Record, append_events
from streams.ports.notifier import Message, Notifier
from streams.roster import Roster
from streams.runtime.report import DeadManReport, HealthLine, Metric, RoleReport
from streams.runtime.role import MakeApp, Role
from streams.topics import ALERTS, HEARTBEATS, partition_of

logger = logging.getLogger("iv3.notifier")

FIRST_RETRY_S, LONGEST_RETRY_S = 0.5, 30.0
LONGEST_PAUSE_S, LONGEST_URGENT_PAUSE_S = 900.0, 60.0
REFUSED_RETRY_S = 300.0  # 30 wrong tries lock a token out at ntfy; one in five minutes never does
LOUD_AFTER_S = 120.0  # an urgent message that is due for longer is trouble that must be seen
_URGENT_PRIORITY = 4
_ASK_BACK_S = 12 * 3600
_LAST_SEND_S = 15.0  # a request takes at most 10, its note a moment more
_BEAT_S, _SHORTEST_BEAT_S = 60.0, 0.5
_DAY_MS = 86_400_000
DAILY_BUDGET = 250  # messages of one address at the public ntfy.sh without a plan


class AlarmNotifier(Role):
    """Alerts in, messages out."""

    name = "notifier"
    topics = (ALERTS,)

    def __init__(
        self,
        log: Log,
        clock: Clock,
        make_app: MakeApp,
        ways: Channels,
        *,
        label: str = "",
        click: str | None = None,
        shadow: bool = False,
        roster: Roster | None = None,
    ) -> None:
        """In `shadow` there are no ways out, and whoever was told before is told no more until it ends.

        `roster` says who has a phone of their own; without one everybody's alarms go to the house's.
        """
        super().__init__(log, clock, make_app)
        self.fallback = Fallback(clock, ways.fallback) if ways.fallback is not None else None
        self.dead_man = (
            DeadMan(self.log, clock, ways.dead_man, label=label, ping=ways.ping)
            if ways.dead_man is not None or ways.ping is not None
            else None
        )
        self.roster = roster or Roster(house=ways.targets)
        # What a person's own phone does not take goes to the first of the house's.
        self.operator = Fallback(clock, ways.targets[0]) if ways.targets else None
        self._remembered = OutboxSnapshots(self.log, clock, self.roster.house)
        self._targets = self.roster.notifiers()
        self._leaving: set[str] = set()
        self._mine: frozenset[str] = frozenset()  # of those, who is told of anybody in these partitions
        self._label, self._click, self._shadow = label, click, shadow
        self.outboxes: dict[int, Outbox] = {}
        self.states = {name: TargetState() for name in self._targets}
        self._wake: dict[str, asyncio.Event] = {}

    # -- folding -----------------------------------------------------------------------------------

    async def fold(self, committed: Mapping[Partition, int]) -> Mapping[Partition, int]:
        """Fold the alerts to the head, from the last snapshot on; a target that is new is told of nothing that was decided before."""
        self._targets = self.roster.notifiers()
        self._wake = {name: asyncio.Event() for name in self._targets}
        self.outboxes = {}
        for name in self._targets:
            self.states.setdefault(name, TargetState())
        start: dict[Partition, int] = {}
        self._remembered.forget()
        for topic, partition in committed:
            self.outboxes[partition], offset = await self._remembered.recall(partition)
            start[topic, partition] = await self.fold_log(topic, partition, offset, None, self._fold_one)
        return start

    def _fold_one(self, record: Record) -> None:
        outbox = self.outboxes[record.partition]
        event = self.event_of(record)
        self._remembered.take(record, event)
        due = outbox.evolve(event)
        for target in {step.target for step in due} | {target for _, target in outbox.to_clear}:
            if target in self._wake:
                self._wake[target].set()

    async def handle(self, record: Record) -> None:
        """Fold it in; the scheduler does the rest."""
        self._fold_one(record)
        await self._remembered.keep((record.partition,))

    def waiting(self) -> list[tuple[Step, Due]]:
        """Every message that is due."""
        return [item for outbox in self.outboxes.values() for item in outbox.due.items()]

    # -- sending -----------------------------------------------------------------------------------

    async def work(self) -> None:
        """One scheduler per target, also for those that the roster gains while this runs."""
        changed = asyncio.Event()
        end = self.roster.subscribe(changed.set)
        tasks: dict[str, tuple[Notifier, asyncio.Task[None]]] = {}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._remembered.keep(tuple(self.outboxes)))
                await self._arm()
                self._reconcile(group, tasks)
                group.create_task(self._beat())
                for way, overdue in (
                    (self.fallback, self._beyond_house),
                    (self.operator, partial(self._overdue, own=True)),
                ):
                    if way is not None:
                        group.create_task(way.watch(overdue, self.message, self._note_fallback))
                if self.dead_man is not None and partition_of(SYSTEM, self.log.partitions[ALERTS]) in self.outboxes:
                    group.create_task(self.dead_man.watch(self.trouble))
                while True:
                    await changed.wait()
                    changed.clear()
                    await self._let_finish(tasks)
                    await self._arm()
                    self._reconcile(group, tasks)
        finally:
            end()

    async def _let_finish(self, tasks: dict[str, tuple[Notifier, asyncio.Task[None]]]) -> None:
        """Whoever leaves ends what is being sent, so that what arrived is noted before it is handed on to another phone."""
        names = self.roster.notifiers()
        leaving = {name: task for name, (target, task) in tasks.items() if names.get(name) is not target}
        self._leaving |= leaving.keys()
        for name, task in leaving.items():
            self._wake[name].set()
            await asyncio.wait([task], timeout=_LAST_SEND_S)
            task.cancel()
            del tasks[name]
        self._leaving -= leaving.keys()

    def _reconcile(self, group: asyncio.TaskGroup, tasks: dict[str, tuple[Notifier, asyncio.Task[None]]]) -> None:
        """A scheduler for each target of these partitions, and for no other."""
        partitions = self.log.partitions[ALERTS]
        mine = frozenset[str]().union(*(self.roster.targets_in(partition, partitions) for partition in self.outboxes))
        self._targets, self._mine = self.roster.notifiers(), mine
        wanted = {name: target for name, target in self._targets.items() if name in mine}
        for name in [name for name in tasks if name not in wanted]:
            tasks.pop(name)[1].cancel()
        for name in [name for name in wanted if name not in tasks]:
            self.states.setdefault(name, TargetState())
            self._wake.setdefault(name, asyncio.Event())
            tasks[name] = (wanted[name], group.create_task(self._schedule(name, wanted[name])))

    async def _arm(self) -> None:
        """Write down, once and in every partition, from where on the house's phones are told, and who has phones of their own. It counts once it is
        read back, in the order of the log; until then those are told who were.
        """
        partitions = self.log.partitions[ALERTS]
        for partition, outbox in self.outboxes.items():
            if self._shadow:
                for name in sorted(outbox.armed):
                    await append_with_retry(partial(remove_target, self.log, self.clock, name, partition))
            for name in self.roster.house:
                if name not in outbox.armed:
                    await append_with_retry(partial(add_target, self.log, self.clock, name, partition))
            for person in sorted({*outbox.told, *self.roster.with_phones(partition, partitions)}):
                own = self.roster.own(person)
                if outbox.told.get(person, ()) != own:
                    await append_with_retry(partial(tell_of, self.log, self.clock, person, own))

    async def _schedule(self, name: str, target: Notifier) -> None:
        state = self.states[name]
        delay = FIRST_RETRY_S
        while name not in self._leaving:
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
                state.accepted(self.clock.now_ms())
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
                    sooner = unless_before is not None and first is not None and first < unless_before
                    if sooner or name in self._leaving:
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
                ended_ms = outbox.to_clear.pop((episode, of), 0)
                shown = outbox.shown.pop((episode, of), set())
                if self.clock.now_ms() - ended_ms > _ASK_BACK_S * 1000:
                    continue
                for step in sorted(shown):
                    try:
                        await target.clear(Step(episode, step, of).sequence_id)
                    except StreamError as error:
                        logger.info("an old notification stays on the phone: %s", error)

    # -- when the first way out is shut ------------------------------------------------------------

    def _overdue(self, *, own: bool) -> list[tuple[Outbox, Step, Due]]:
        """Urgent messages that will not get out the first way soon: refused, put off for long, or waiting for two minutes already.

        `own`: those to people's own phones; otherwise those to the house's.
        """
        now_ms, loud_ms = self.clock.now_ms(), LOUD_AFTER_S * 1000
        found = []
        for outbox in self.outboxes.values():
            for step, due in outbox.due.items():
                state = self.states.get(step.target)
                if (step.target not in self.roster.house) is not own:
                    continue
                if state is None or due.closed or due.event.priority < _URGENT_PRIORITY:
                    continue
                shut = state.refused or state.asked_until_ms - now_ms > loud_ms
                if shut or (state.failing and now_ms - ms(due.event.at) > loud_ms):
                    found.append((outbox, step, due))
        return found

    def _beyond_house(self) -> list[tuple[Outbox, Step, Due]]:
        """What the second way takes: what the house's phones do not, and what people's own do not where the house's cannot stand in."""
        shut = not self.roster.house or any(
            self.states[name].failing for name in self.roster.house if name in self.states
        )
        return self._overdue(own=False) + (self._overdue(own=True) if shut else [])

    async def _note_fallback(self, due: Due, step: Step, delivered: bool) -> None:  # noqa: FBT001 - the signature of `Note`
        await self._write(due, (Delivered if delivered else DeliveryAttempted)(**_names(step)), step)

    async def _beat(self) -> None:
        """Say once a minute, in each partition, through when everything that was due has been sent."""
        while True:
            now_ms = self.clock.now_ms()
            beats: list[Awaitable[object]] = []
            for partition, outbox in self.outboxes.items() if self._targets else ():
                # A phone of somebody's own that fails is told to the house, and is not the whole house's silence.
                waits = (
                    ms(d.event.at)
                    for step, d in outbox.due.items()
                    if step.target in self.roster.house or not self.operator
                )
                oldest = min(waits, default=now_ms)
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
        sent, first = self._remembered.sent(target, day), self.roster.house[:1]
        return sent + (self.dead_man.state.arms[day] if self.dead_man is not None and (target,) == first else 0)

    async def _write(self, due: Due, data: Fact, step: Step) -> None:
        now_ms = self.clock.now_ms()
        kind = type(data).__name__
        event = make(
            data, id=derived_id(kind, *step, 0 if kind == "Delivered" else now_ms), source=f"iv3/{self.name}",
            subject=due.person, time=at_ms(now_ms), recordedtime=at_ms(now_ms),
        )  # fmt: skip
        await append_with_retry(lambda: append_events(self.log, ALERTS, [event]))

    def message(self, step: Step, due: Due) -> Message:
        """The message as it reads now."""
        return message_of(step, due, self.clock.now_ms(), label=self._label, click=self._click)

    # -- what pages ask ----------------------------------------------------------------------------

    def trouble(self, person: str | None = None) -> str:
        """Why a person's alarms are not getting out, or an empty string. Without a person: the house's, or those of most people."""
        if person is not None:
            return next(filter(None, map(self._trouble_of, self.roster.targets_of(person))), "")
        house = next(filter(None, map(self._trouble_of, self.roster.house)), "")
        own = [self._trouble_of(name) for name in self._mine if name not in self.roster.house]
        failing = [trouble for trouble in own if trouble]
        return house or (failing[0] if 2 * len(failing) > len(own) else "")

    def report(self, person: str = "") -> RoleReport:
        """See `Role.report`: whether a person's alarms get out, and how the dead-man's switch stands."""
        common, trouble = super().report(person), self.trouble()
        undelivered = (self.trouble(person) if person else "") or trouble
        second, switch = self.fallback, self.dead_man
        metrics = (
            Metric("iv3_notifier_waiting", len(self.waiting())),
            Metric("iv3_notifier_sent_today", sum(map(self.sent_today, self.states))),
            Metric("iv3_notifier_fallback_sent_total", second.state.sent if second is not None else 0),
            Metric("iv3_dead_man_fires_ms", switch.state.fires_ms if switch is not None else 0),
        )
        return replace(
            common,
            troubles=(*(["alarms are not getting out"] if trouble else []), *common.troubles),
            lines=(self._line(person, undelivered),),
            metrics=(*common.metrics, *metrics),
            undelivered=undelivered,
            dead_man=DeadManReport(switch.state.fires_ms, switch.state.off, switch.state.waits) if switch else None,
        )

    def _line(self, person: str, undelivered: str) -> HealthLine:
        if self._shadow:
            return HealthLine("Notifier", False, "in shadow", "decided, not sent", missing=True)
        told = self.roster.targets_of(person)
        if not told:
            return HealthLine("Notifier", False, "not set up", "no phone can be told", missing=True)
        if undelivered:
            return HealthLine("Notifier", False, "not getting out", undelivered)
        waiting = sum(step.target in told for step, _ in self.waiting())
        today = sum(map(self.sent_today, told))
        last = max((s.accepted_ms or 0 for name, s in self.states.items() if name in told), default=0)
        accepted = f"accepted {age_words(self.clock.now_ms() - last)}" if last else "nothing sent yet"
        said = f"{waiting} waiting, {today} messages today (ntfy.sh takes {DAILY_BUDGET})"
        return HealthLine("Notifier", True, accepted, said)

    def _trouble_of(self, name: str) -> str:
        state = self.states.get(name)
        if state is None or state.refused:
            return state.refused if state is not None else ""
        since = state.failing_since_ms
        waits = since is not None and self.clock.now_ms() - since > LOUD_AFTER_S * 1000
        return state.failing if waits and any(step.target == name for step, _ in self.waiting()) else ""


def _names(step: Step) -> dict[str, Any]:
    return {"episode": step.episode, "step": step.step, "target": step.target, "sequence_id": step.sequence_id}
