"""A role: one Faust App (one consumer group) that supervises itself, so that a stuck or broken one cannot hold up another.

Every start builds a fresh App, attached to no Faust worker. At each assignment, before anything is delivered, the role folds what it needs to
know of its partitions (`fold`) and says where to start: a tenure begins. Then its agent body, `consume`, hands it records, beside whatever `work`
does in the background. Before partitions go, `lost` ends the tenure: no new work, the record in hand finished. A crash of the App, a failing
handler or an ended background task stops this App alone; after a pause it is built again.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, ClassVar

from faust.types import TP

from schemas.bookkeeping import RecordDeadLettered
from schemas.envelope import Event, Garbage, NewerVersion, decode, make
from schemas.identity import derived_id
from schemas.model import Partition
from streams.errors import Misconfigured, Permanent, Transient
from streams.ports.clock import Clock
from streams.ports.log import Log, Position, Record, append_events
from streams.runtime.assignment import AssignedLog, Assignment
from streams.runtime.consume import FIRST_DELAY_S, LONGEST_DELAY_S, Progress, consume, give_up_for_sure
from streams.runtime.dead_letters import given_up
from streams.runtime.report import Metric, RoleReport
from streams.topics import DEAD_LETTERS

logger = logging.getLogger("iv3.role")

STOP_DEADLINE_S = 4.0  # longer than an App ever took to stop (0.3 s); past it the process is in an unknown state
_CANCEL_AGAIN_S = 0.5
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_CALM_S = 30.0
_IN_HAND_S = 12.0  # an append is answered within ten
_HAND_OVER_S = 3.0  # what is in hand is finished within milliseconds; past this the new owner need not wait

MakeApp = Callable[[str], Any]


class Role:
    """What every role shares. A subclass names its topics and says what handling means."""

    name: ClassVar[str]
    topics: ClassVar[tuple[str, ...]]
    batch: ClassVar[int] = 0  # 0: one by one; otherwise the most records handled at once

    def __init__(self, log: Log, clock: Clock, make_app: MakeApp) -> None:
        self.tenure: Assignment | None = None
        self.log = AssignedLog(log, lambda: self.tenure)
        self.clock = clock
        self._make_app = make_app
        self.progress = Progress()
        self.state = "new"
        self.skip: set[Position] = set()
        self.stops: dict[Position, int] = {}
        self.holes: dict[tuple[Partition, int], int] = {}
        self.idle: asyncio.Event
        self.late_hand_overs = 0
        self._working: asyncio.Future[None] | None = None
        self.failed: asyncio.Future[BaseException]
        self.app: Any = None
        self._ready: asyncio.Event
        self._moved: asyncio.Event

    # -- what a role writes ------------------------------------------------------------------------

    async def fold(self, committed: Mapping[Partition, int]) -> Mapping[Partition, int]:
        """Forget everything, and learn what is needed of these partitions before the first record; return start offsets that differ from the
        committed ones. Called at every assignment.
        """
        del committed
        return {}

    async def handle(self, record: Record) -> None:
        """Handle one record; returning means it may be acknowledged."""
        raise NotImplementedError

    async def handle_batch(self, records: Sequence[Record]) -> None:
        """Handle several at once, all or nothing."""
        raise NotImplementedError

    async def work(self) -> None:
        """Background work, begun after each fold and cancelled before the partitions go."""
        await asyncio.Event().wait()

    async def closed(self) -> None:
        """After every stop of the App."""

    # -- what it may use ---------------------------------------------------------------------------

    def event_of(self, record: Record) -> Event:
        """The event in a record. Raises Garbage or NewerVersion, which `consume` knows how to answer."""
        event = decode(record.value)
        if record.key != event.subject.encode():
            raise Permanent(f"the record's key {record.key!r} is not its subject {event.subject!r}")
        return event

    async def fold_log(
        self, topic: str, partition: int, start: int, to: int | None, step: Callable[[Record], object]
    ) -> int:
        """Fold [start, to) without Faust, leaving out what this role gave up.

        What can never be read becomes a dead letter here too, or the role would fall at every start. Before a record of a newer release it
        waits for ever: "upgrade this worker".
        """
        unreadable: list[tuple[Record, str]] = []

        def unless_given_up(record: Record) -> None:
            if Position(record.topic, record.partition, record.offset) in self.skip:
                return
            try:
                step(record)
            except (Garbage, Permanent) as error:
                unreadable.append((record, str(error)))

        try:
            reached = await self.log.fold(topic, partition, start, to, unless_given_up)
        except NewerVersion as error:
            self.progress.paused = f"{error} (in {topic}/{partition})"
            logger.error("%s is paused: %s", self.name, self.progress.paused)  # noqa: TRY400 - the sentence says it all
            await asyncio.Event().wait()
            raise
        for record, reason in unreadable:
            await give_up_for_sure(self, record, reason)
        return reached

    async def give_up(self, record: Record, reason: str) -> None:
        """Write the record's address to the dead letters; from then on every fold of this role leaves it out."""
        now = datetime.fromtimestamp(self.clock.now_ms() / 1000, UTC)
        letter = RecordDeadLettered(
            role=self.name, topic=record.topic, partition=record.partition, offset=record.offset, reason=reason[:1000]
        )
        at = Position(record.topic, record.partition, record.offset)
        event = make(
            letter, id=derived_id("dead", self.name, self.log.log_id, *at), source=f"iv3/{self.name}", subject=self.name,
            time=now, recordedtime=now,
        )  # fmt: skip
        await append_events(self.log, DEAD_LETTERS, [event])
        self.skip.add(at)
        self.progress.dead_letters += 1
        logger.error("%s gave up %s: %s", self.name, at, reason)

    def moved(self) -> None:
        """Something was acknowledged."""
        self._moved.set()

    def begin_again(self, reason: str) -> None:
        """End this life of the role and start the next: what it stands on was exchanged."""
        if self.state == "running" and not self.failed.done():
            self.failed.set_result(RuntimeError(reason))

    async def reached(self, heads: Mapping[Partition, int], within_s: float) -> bool:
        """Whether every partition was handled up to these heads before the time was over."""

        def there() -> bool:
            return all(self.progress.next_offset.get(partition, 0) >= head for partition, head in heads.items())

        try:
            async with asyncio.timeout(within_s):
                while not there():
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    def lag(self) -> int:
        """Records of its partitions that this role has yet to handle."""
        return sum(max(0, self.log.heads.get(tp, 0) - at) for tp, at in dict(self.progress.next_offset).items())

    def report(self, person: str = "") -> RoleReport:
        """What this role says of itself now. `person` is whom a page is about; what is nobody's own says the same for each."""
        del person
        progress, label = self.progress, (("role", self.name),)
        troubles = []
        if progress.paused:
            troubles.append(f"the {self.name} waits for an upgrade of iv3")
        if progress.dead_letters:
            troubles.append(f"the {self.name} met a record it cannot handle (iv3 dead-letters list)")
        figures = {
            "iv3_role_running": int(self.state == "running"),
            "iv3_role_partitions": len(progress.next_offset),
            "iv3_role_lag": self.lag(),
            "iv3_role_handled_total": progress.handled,
            "iv3_role_retries_total": progress.retries,
            "iv3_role_restarts_total": progress.restarts,
            "iv3_role_dead_letters_total": progress.dead_letters,
            "iv3_role_assignments_total": progress.assignments,
            "iv3_role_dropped_total": progress.dropped,
            "iv3_role_late_hand_overs_total": self.late_hand_overs,
        }
        return RoleReport(tuple(troubles), metrics=tuple(Metric(n, v, label) for n, v in figures.items()))

    # -- one App -----------------------------------------------------------------------------------

    def _build(self) -> Any:  # noqa: ANN401 - Faust is untyped
        app = self._make_app(self.name)
        self.app = app
        self.failed = asyncio.get_running_loop().create_future()
        self._ready, self._moved, self.idle = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.idle.set()
        self.holes = {}
        app.start_offsets = {}
        app.before_revoke = self.lost
        app.found_hole = self._found_hole
        app.replaced = self._replaced
        # One agent over all topics: one order, one record at a time.
        channel = app.topic(*self.topics, key_serializer="raw", value_serializer="raw")

        # Awaited by Faust before it seeks and before the flow resumes, with no timeout. (`perform_seek` runs under one and dies silently.)
        @app.on_rebalance_complete.connect
        async def assigned(app: Any, **_: Any) -> None:  # noqa: ANN401 - Faust is untyped
            await self._assigned(app)

        async def body(stream: Any) -> None:  # noqa: ANN401 - Faust is untyped
            await consume(self, stream)

        app.agent(channel, name=f"iv3.{self.name}")(body)
        return app

    async def _assigned(self, app: Any) -> None:  # noqa: ANN401 - Faust is untyped
        await self.lost()
        # What hangs in the log's hands is answered within its deadline. A fold beside it would know less than what it then does.
        with suppress(TimeoutError):
            async with asyncio.timeout(_IN_HAND_S):
                await self.idle.wait()
        generation = app.consumer_generation_id
        self.state = "folding"
        delay = FIRST_DELAY_S
        while True:
            try:
                start = await self._learn(app)
                self.progress.failing = ""
                break
            except Transient as error:
                if str(error) != self.progress.failing:
                    logger.warning("%s waits before it can begin: %s", self.name, error)
                self.progress.fails(str(error), asyncio.get_running_loop().time())
                await asyncio.sleep(min(error.retry_after_s or delay, LONGEST_DELAY_S))
                delay = min(delay * 2, LONGEST_DELAY_S)
            if app.consumer_generation_id != generation or app.should_stop:
                return
        if app.consumer_generation_id != generation:
            return  # the partitions moved once more meanwhile; that assignment has a call of its own
        app.start_offsets = {TP(topic, partition): offset for (topic, partition), offset in start.items()}
        app.may_seek = True
        self.progress.next_offset = dict(start)
        self.progress.paused = ""
        self.progress.assignments += 1
        self.progress.moved_at = asyncio.get_running_loop().time()
        self.tenure = Assignment(start, app.lease_holds)
        self._working = asyncio.ensure_future(self.work())
        self._working.add_done_callback(self._work_ended)
        self.state = "running"
        self._ready.set()

    async def _learn(self, app: Any) -> dict[Partition, int]:  # noqa: ANN401 - Faust is untyped
        """Fold; the offset at which each partition starts."""
        from_group = await app.consumer.committed_offsets()
        committed: dict[Partition, int] = {
            (tp.topic, tp.partition): int(from_group.get(tp, 0)) for tp in app.consumer.assignment()
        }
        self.skip = await given_up(self.log, self.name)
        return {**committed, **await self.fold(committed)}

    async def wait_for_assignment(self) -> Assignment:
        """Wait while partitions move; the tenure that holds now."""
        while self.tenure is None:
            await self._ready.wait()
        return self.tenure

    def _replaced(self) -> None:
        if not self.failed.done():
            self.failed.set_exception(
                Misconfigured(
                    "Another worker has joined the group under this one's name, so this one stops. Give each worker a name of its own (--name)."
                )
            )

    def _found_hole(self, partition: Partition, expected: int, offset: int) -> None:
        self.holes[partition, expected] = offset

    def _work_ended(self, done: "asyncio.Future[None]") -> None:
        if not done.cancelled() and not self.failed.done():
            self.failed.set_result(done.exception() or RuntimeError("its background work ended"))

    async def lost(self) -> None:
        """The partitions go: no new work, the background stopped, what is in hand finished, or its append would land behind the new owner's fold."""
        tenure, self.tenure = self.tenure, None
        if tenure is None:
            return
        self._ready.clear()
        tenure.end()
        self.state = "handing over"
        if self._working is not None:
            await self._cancel(self._working)
            self._working = None
        try:
            async with asyncio.timeout(_HAND_OVER_S):
                await self.idle.wait()
        except TimeoutError:
            self.late_hand_overs += 1
            logger.warning("%s gives its partitions away with a record still in hand", self.name)
        if not await self.log.settled(_HAND_OVER_S):
            self.late_hand_overs += 1
        self.progress.next_offset = {}

    # -- supervision -------------------------------------------------------------------------------

    async def supervise(self, stopping: asyncio.Event) -> None:
        """Run the role until `stopping`, building it again whenever it fails."""
        pause = _FIRST_PAUSE_S
        loop = asyncio.get_running_loop()
        while not stopping.is_set():
            began, before = loop.time(), self.progress.handled
            why = await self._one_life(stopping)
            if self.failed.done() and isinstance(self.failed.exception(), Misconfigured):
                self.failed.result()  # starting again would only take the place back
            if stopping.is_set():
                break
            self.progress.restarts += 1
            logger.error("%s: %s; starting this role again", self.name, why)
            moved = self.progress.handled != before or loop.time() - began > _CALM_S
            pause = _FIRST_PAUSE_S if moved else min(pause * 2, _LONGEST_PAUSE_S)
            try:
                await asyncio.wait_for(stopping.wait(), pause)
            except TimeoutError:
                continue
        self.state = "stopped"

    async def _one_life(self, stopping: asyncio.Event) -> str:
        self.state = "starting"
        app = self._build()
        # `start` returns only after the fold, and on a standby only when it takes over.
        starting = asyncio.ensure_future(app.start())
        crashed = asyncio.ensure_future(app._crashed.wait())  # noqa: SLF001 - pinned by tests/roles
        stop = asyncio.ensure_future(stopping.wait())
        try:
            while True:
                watched: set[asyncio.Future[Any]] = {crashed, stop, self.failed}
                if not starting.done():
                    watched.add(starting)
                done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
                if done - {starting} or (starting.done() and starting.exception()):
                    return self._why(app, done)
        finally:
            self.state = "stopping"
            await self._end(app, [starting, crashed, stop])

    def _why(self, app: Any, done: set["asyncio.Future[Any]"]) -> str:  # noqa: ANN401 - Faust is untyped
        reasons = [repr(f.exception() or f.result()) for f in done if not f.cancelled()]
        return f"crashed: {app.crash_reason!r}" if app.crash_reason else ", ".join(reasons)

    async def _cancel(self, working: "asyncio.Future[Any]") -> None:
        """Cancel the background work until it has ended: a library may swallow a cancellation that comes at the wrong moment."""
        for _ in range(round(STOP_DEADLINE_S / _CANCEL_AGAIN_S)):
            working.cancel()
            done, _ = await asyncio.wait({working}, timeout=_CANCEL_AGAIN_S)
            if done:
                return
        logger.critical("%s: its background work did not stop; ending the process", self.name)
        os._exit(71)

    async def _end(self, app: Any, tasks: Sequence["asyncio.Future[Any]"]) -> None:  # noqa: ANN401 - Faust is untyped
        await self.lost()
        self.state = "stopping"
        try:
            await asyncio.wait_for(app.stop(), STOP_DEADLINE_S)
        except Exception as error:  # noqa: BLE001 - an App that will not stop leaves the process in an unknown state
            logger.critical("%s: the App did not stop (%r); ending the process", self.name, error)
            os._exit(71)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.closed()
