"""The notifier: nobody is told twice, nobody is forgotten, and no target holds up another.

Handling a record is only folding; the roster is reconciled with what the log says of who is told. One sender a target
(`delivery.scheduler`) sends what is due, urgent first.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from functools import partial

from processors.alerting.outbox import Due, Outbox, Step
from processors.alerting.wording import age_words
from schemas.alerts import Delivered, DeliveryAttempted, TargetAdded, TargetRemoved
from schemas.bookkeeping import PartitionDelivered
from schemas.envelope import SYSTEM
from schemas.identity import derived_id
from schemas.model import Fact, Partition, at_ms, ms
from streams.delivery.channels import Channels
from streams.delivery.dead_man import DeadMan
from streams.delivery.fallback import Fallback
from streams.delivery.messages import message_of
from streams.delivery.outbox_in_flight import OutboxInFlight
from streams.delivery.outbox_snapshots import OutboxSnapshots
from streams.delivery.scheduler import URGENT_PRIORITY, TargetSender, names_of
from streams.delivery.targets import TargetState, append_with_retry, tell_of, tell_target
from streams.errors import Transient
from streams.ports.clock import Clock
from streams.ports.log import Log, Record, append_events
from streams.ports.notifier import Message
from streams.roster import Roster
from streams.runtime.report import DeadManReport, HealthLine, Metric, RoleReport
from streams.runtime.role import MakeApp, Role
from streams.topics import ALERTS, HEARTBEATS, partition_of

LOUD_AFTER_S = 120.0  # an urgent message that is due for longer is trouble that must be seen
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
        self._snapshots = OutboxSnapshots(self.log, clock, self.roster.house)
        self._targets = self.roster.notifiers()
        self._mine: frozenset[str] = frozenset()  # of those, who is told of anybody in these partitions
        self._label, self._click, self._shadow = label, click, shadow
        self.in_flight: dict[int, OutboxInFlight] = {}  # by partition
        self.states = {name: TargetState() for name in self._targets}
        self._senders: dict[str, TargetSender] = {}

    # -- folding -----------------------------------------------------------------------------------

    async def fold(self, committed: Mapping[Partition, int]) -> Mapping[Partition, int]:
        """Fold the alerts to the head, from the last snapshot on; a target that is new is told of nothing that was
        decided before.
        """
        self._targets = self.roster.notifiers()
        self.in_flight.clear()
        start: dict[Partition, int] = {}
        self._snapshots.forget()
        for topic, partition in committed:
            outbox, offset = await self._snapshots.recall(partition)
            self.in_flight[partition] = OutboxInFlight(outbox)
            start[topic, partition] = await self.fold_log(topic, partition, offset, None, self._fold_one)
        return start

    def _fold_one(self, record: Record) -> None:
        sending = self.in_flight[record.partition]
        due = self._snapshots.take(record, self.event_of(record))
        sending.caught_up()
        for target in {step.target for step in due} | {target for _, target in sending.to_clear()}:
            if target in self._senders:
                self._senders[target].wake()

    async def handle(self, record: Record) -> None:
        """Fold it in; the senders do the rest."""
        self._fold_one(record)
        await self._snapshots.keep((record.partition,))

    @property
    def outboxes(self) -> dict[int, Outbox]:
        """The outbox of each partition, as the log says it."""
        return {partition: sending.outbox for partition, sending in self.in_flight.items()}

    def waiting(self) -> list[tuple[Step, Due]]:
        """Every message that is due."""
        return [item for sending in self.in_flight.values() for item in sending.due().items()]

    # -- sending -----------------------------------------------------------------------------------

    async def work(self) -> None:
        """One sender a target, also for those that the roster gains while this runs."""
        changed = asyncio.Event()
        end = self.roster.subscribe(changed.set)
        tasks: dict[str, asyncio.Task[None]] = {}
        self._senders.clear()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._snapshots.keep(tuple(self.in_flight)))
                await self._arm()
                self._reconcile(group, tasks)
                group.create_task(self._beat())
                for way, overdue in (
                    (self.fallback, self._beyond_house),
                    (self.operator, partial(self._overdue, own=True)),
                ):
                    if way is not None:
                        group.create_task(way.watch(overdue, self.message, self._note_fallback))
                if self.dead_man is not None and partition_of(SYSTEM, self.log.partitions[ALERTS]) in self.in_flight:
                    group.create_task(self.dead_man.watch(self.trouble))
                while True:
                    await changed.wait()
                    changed.clear()
                    await self._let_finish(tasks)
                    await self._arm()
                    self._reconcile(group, tasks)
        finally:
            end()

    async def _let_finish(self, tasks: dict[str, asyncio.Task[None]]) -> None:
        """Whoever leaves ends what is being sent, so that what arrived is noted before it is handed on to another
        phone.
        """
        names = self.roster.notifiers()
        leaving = []
        for name in [name for name, sender in self._senders.items() if names.get(name) is not sender.target]:
            self._senders.pop(name).leave()
            leaving.append(tasks.pop(name))
        if leaving:  # together: nobody new has a sender meanwhile
            await asyncio.wait(leaving, timeout=_LAST_SEND_S)
        for task in leaving:
            task.cancel()

    def _reconcile(self, group: asyncio.TaskGroup, tasks: dict[str, asyncio.Task[None]]) -> None:
        """A sender for each target of these partitions, and for no other."""
        partitions = self.log.partitions[ALERTS]
        mine = frozenset[str]().union(*(self.roster.targets_in(partition, partitions) for partition in self.in_flight))
        self._targets, self._mine = self.roster.notifiers(), mine
        wanted = {name: target for name, target in self._targets.items() if name in mine}
        for name in [name for name in tasks if name not in wanted]:
            del self._senders[name]
            tasks.pop(name).cancel()
        for name, target in wanted.items():
            if name not in tasks:
                state = self.states.setdefault(name, TargetState())
                sender = TargetSender(target, self.in_flight, self.clock, self.message, self._write, state)
                self._senders[name], tasks[name] = sender, group.create_task(sender.run())

    async def _arm(self) -> None:
        """Write down, once and in every partition, from where on the house's phones are told, and who has phones of
        their own. It counts once it is read back, in the order of the log; until then those are told who were.
        """
        partitions = self.log.partitions[ALERTS]
        for partition, outbox in self.outboxes.items():
            facts: list[TargetAdded | TargetRemoved] = []
            if self._shadow:
                facts += [TargetRemoved(target=name) for name in sorted(outbox.armed)]
            facts += [TargetAdded(target=name) for name in self.roster.house if name not in outbox.armed]
            for fact in facts:
                await append_with_retry(partial(tell_target, self.log, self.clock, fact, partition))
            for person in sorted({*outbox.told, *self.roster.with_phones(partition, partitions)}):
                own = self.roster.own(person)
                if outbox.told.get(person, ()) != own:
                    await append_with_retry(partial(tell_of, self.log, self.clock, person, own))

    # -- when the first way out is shut ------------------------------------------------------------

    def _overdue(self, *, own: bool) -> list[tuple[OutboxInFlight, Step, Due]]:
        """Urgent messages that will not get out the first way soon: refused, put off for long, or waiting for two
        minutes already.

        `own`: those to people's own phones; otherwise those to the house's.
        """
        now_ms, loud_ms = self.clock.now_ms(), LOUD_AFTER_S * 1000
        found = []
        for sending in self.in_flight.values():
            for step, due in sending.due().items():
                state = self.states.get(step.target)
                if (step.target not in self.roster.house) is not own:
                    continue
                if state is None or due.closed or due.event.priority < URGENT_PRIORITY:
                    continue
                shut = state.refused or state.asked_until_ms - now_ms > loud_ms
                if shut or (state.failing and now_ms - ms(due.event.at) > loud_ms):
                    found.append((sending, step, due))
        return found

    def _beyond_house(self) -> list[tuple[OutboxInFlight, Step, Due]]:
        """What the second way takes: what the house's phones do not, and what people's own do not where the house's
        cannot stand in.
        """
        shut = not self.roster.house or any(
            self.states[name].failing for name in self.roster.house if name in self.states
        )
        return self._overdue(own=False) + (self._overdue(own=True) if shut else [])

    async def _note_fallback(self, due: Due, step: Step, delivered: bool) -> None:  # noqa: FBT001 - the signature of `Note`
        await self._write(due, (Delivered if delivered else DeliveryAttempted)(**names_of(step)), step)

    async def _beat(self) -> None:
        """Say once a minute, in each partition, through when everything that was due has been sent."""
        while True:
            now_ms = self.clock.now_ms()
            beats: list[Awaitable[object]] = []
            for partition, sending in self.in_flight.items() if self._targets else ():
                # A phone of somebody's own that fails is told to the house, and is not the whole house's silence.
                waits = (
                    ms(d.event.at)
                    for step, d in sending.due().items()
                    if step.target in self.roster.house or not self.operator
                )
                oldest = min(waits, default=now_ms)
                # What has just become due is on its way; only what waits for longer is trouble.
                through = oldest if now_ms - oldest > LOUD_AFTER_S * 1000 else now_ms
                said = PartitionDelivered(partition=partition, through=at_ms(through), trouble=self.trouble()[:300])
                event = self.author.say(said, derived_id("delivered", partition, now_ms), str(partition), now_ms)
                beats.append(append_events(self.log, HEARTBEATS, [event], partition=partition))
            for answer in await asyncio.gather(*beats, return_exceptions=True):
                if isinstance(answer, Exception) and not isinstance(answer, Transient):
                    raise answer
            await asyncio.sleep(max(_SHORTEST_BEAT_S, _BEAT_S / self.clock.speed))

    def sent_today(self, target: str) -> int:
        """Messages of this UTC day to a target, with those that set the dead-man's switch, as far as this process
        knows: public servers take 250.
        """
        day = self.clock.now_ms() // _DAY_MS
        sent, first = self._snapshots.sent(target, day), self.roster.house[:1]
        return sent + (self.dead_man.state.arms[day] if self.dead_man is not None and (target,) == first else 0)

    async def _write(self, due: Due, data: Fact, step: Step) -> None:
        now_ms = self.clock.now_ms()
        kind = type(data).__name__
        name = derived_id(kind, *step, 0 if kind == "Delivered" else now_ms)
        event = self.author.say(data, name, due.person, now_ms)
        await append_with_retry(lambda: append_events(self.log, ALERTS, [event]))

    def message(self, step: Step, due: Due) -> Message:
        """The message as it reads now."""
        return message_of(step, due, self.clock.now_ms(), label=self._label, click=self._click)

    # -- what pages ask ----------------------------------------------------------------------------

    def trouble(self, person: str | None = None) -> str:
        """Why a person's alarms are not getting out, or an empty string. Without a person: the house's, or those of
        most people.
        """
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
