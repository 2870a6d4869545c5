"""A role: what is done with the records of some topics. How it is run, `supervision` knows.

At each assignment, before anything is delivered, the role folds what it needs to know of its partitions (`fold`) and
says where to start. Then it is handed records, one by one or in batches, beside whatever `work` does in the background.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from schemas.bookkeeping import RecordDeadLettered
from schemas.envelope import Author, Event, Garbage, NewerVersion, decode
from schemas.identity import derived_id
from schemas.model import Partition
from streams.errors import Permanent, Transient
from streams.ports.clock import Clock
from streams.ports.log import Log, Position, Record, append_events
from streams.runtime.app_lifetime import AppLifetime, Progress, RoleState
from streams.runtime.assignment import AssignedLog, Assignment
from streams.runtime.backoff import keep_trying
from streams.runtime.report import Metric, RoleReport
from streams.topics import DEAD_LETTERS

logger = logging.getLogger("iv3.role")

MakeApp = Callable[[str], Any]


class Role:
    """What every role shares. A subclass names its topics and says what handling means."""

    name: ClassVar[str]
    topics: ClassVar[tuple[str, ...]]
    batch: ClassVar[int] = 0  # 0: one by one; otherwise the most records handled at once

    def __init__(self, log: Log, clock: Clock, make_app: MakeApp) -> None:
        self.life: AppLifetime | None = None  # the App that runs it now
        self.log = AssignedLog(log, lambda: self.assignment)
        self.clock = clock
        self.author = Author(f"iv3/{self.name}")
        self.make_app = make_app
        self.progress = Progress()
        self.state: RoleState = "new"
        self.skip: set[Position] = set()  # what it gave up, and every fold of it leaves out
        self._moved = asyncio.Event()

    @property
    def assignment(self) -> Assignment | None:
        """The partitions that are this member's now; None while they move."""
        return self.life.assignment if self.life is not None else None

    # -- what a role writes ------------------------------------------------------------------------

    async def fold(self, committed: Mapping[Partition, int]) -> Mapping[Partition, int]:
        """Forget everything, and learn what is needed of these partitions before the first record; return start offsets
        that differ from the committed ones. Called at every assignment.
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

        What can never be read becomes a dead letter here too, or the role would fall at every start. Before a record of
        a newer release it waits for ever: "upgrade this worker".
        """
        unreadable: list[tuple[Record, str]] = []

        def unless_given_up(record: Record) -> None:
            if record.position in self.skip:
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
            await self.give_up_for_sure(record, reason)
        return reached

    async def give_up_for_sure(self, record: Record, reason: str) -> None:
        """Give a record up, trying until the log takes the dead letter: it must be durable before the record is
        acknowledged.
        """

        def failed(error: Transient) -> None:
            self.progress.retries += 1
            self.progress.moved_at = asyncio.get_running_loop().time()
            logger.warning("%s cannot write a dead letter yet: %s", self.name, error)

        await keep_trying(lambda: self.give_up(record, reason), failed)

    async def give_up(self, record: Record, reason: str) -> None:
        """Write the record's address to the dead letters; from then on every fold of this role leaves it out."""
        letter = RecordDeadLettered(
            role=self.name, topic=record.topic, partition=record.partition, offset=record.offset, reason=reason[:1000]
        )
        at = record.position
        name = derived_id("dead", self.name, self.log.log_id, *at)
        event = self.author.say(letter, name, self.name, self.clock.now_ms())
        await append_events(self.log, DEAD_LETTERS, [event])
        self.skip.add(at)
        self.progress.dead_letters += 1
        logger.error("%s gave up %s: %s", self.name, at, reason)

    def moved(self) -> None:
        """Something was acknowledged."""
        self._moved.set()

    def begin_again(self, reason: str) -> None:
        """End this life of the role and start the next: what it stands on was exchanged."""
        if self.state == "running" and self.life is not None:
            self.life.fail(RuntimeError(reason))

    def series_exchanged(self, reason: str) -> None:
        """Another version of the Series serves. Matters to whoever writes it."""
        del reason

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
        """What this role says of itself now. `person` is whom a page is about; what is nobody's own says the same for
        each.
        """
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
            "iv3_role_late_hand_overs_total": progress.late_hand_overs,
        }
        return RoleReport(tuple(troubles), metrics=tuple(Metric(n, v, label) for n, v in figures.items()))
