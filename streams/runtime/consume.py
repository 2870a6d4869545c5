"""`consume`: the one body that every agent has. Decode nothing, decide nothing: handle, and acknowledge last.

A failing record gets one of three answers. *Retry*: an outage, tried again with backoff for ever (an attempt counts as progress). *Record*: it
can never be handled, so its address goes to the dead letters and the rest flows on. *Stop*: a bug; the role alone is rebuilt and replays, and
the third stop at one record makes it a dead letter. A record of a newer release is none of these: the role waits before it, not ready,
until it is upgraded. `consume` never raises into Faust, whose own crash handling would acknowledge what failed.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from schemas.envelope import Garbage, NewerVersion
from schemas.model import Partition
from streams.errors import Permanent, Transient
from streams.ports.log import Position, Record
from streams.runtime.assignment import Assignment

logger = logging.getLogger("iv3.consume")

FIRST_DELAY_S = 0.05
LONGEST_DELAY_S = 5.0  # an outage that ends is noticed within this
LONGEST_ASKED_DELAY_S = 60.0  # however long the other side asks to be left alone
MOST_STOPS = 3

Handle = Callable[[Record], Awaitable[None]]


@dataclass
class Progress:
    """What a role did, for /metrics, /readyz and the watchdog."""

    next_offset: dict[Partition, int] = field(default_factory=dict)  # of the partitions held now
    handled: int = 0
    retries: int = 0
    dead_letters: int = 0
    restarts: int = 0
    assignments: int = 0
    dropped: int = 0  # records that were in hand when their partition moved, and came again
    moved_at: float = 0.0  # loop time of the last ack or retry
    paused: str = ""  # why the role waits for an upgrade
    failing: str = ""  # the last reason for a retry, until something is handled
    failing_since: float = 0.0  # loop time

    def fails(self, reason: str, now: float) -> None:
        """A try failed; another follows."""
        if not self.failing:
            self.failing_since = now
        self.failing = reason
        self.retries += 1
        self.moved_at = now


class Consumer(Protocol):
    """What `consume` needs of a role."""

    name: ClassVar[str]
    batch: ClassVar[int]
    progress: Progress
    tenure: Assignment | None
    skip: set[Position]
    stops: dict[Position, int]
    holes: dict[tuple[Partition, int], int]
    failed: "asyncio.Future[BaseException]"
    idle: asyncio.Event

    async def wait_for_assignment(self) -> Assignment:
        """Wait while partitions move; the tenure that holds now."""
        ...

    async def handle(self, record: Record) -> None:
        """Handle one record; returning means it may be acknowledged."""
        ...

    async def handle_batch(self, records: Sequence[Record]) -> None:
        """Handle several at once, all or nothing."""
        ...

    async def give_up(self, record: Record, reason: str) -> None:
        """Write the record's address to the dead letters."""
        ...

    def moved(self) -> None:
        """Something was acknowledged."""
        ...


def as_record(message: Any) -> Record:  # noqa: ANN401 - Faust's own type
    """The record in a Faust message."""
    return Record(
        message.topic,
        message.partition,
        message.offset,
        round(message.timestamp * 1000),
        message.key,
        message.value,
        tuple(message.headers or ()),
    )


async def consume(role: Consumer, stream: Any) -> None:  # noqa: ANN401 - Faust's own type
    """Feed the role every record of the stream, one by one or in batches of what is already there, and acknowledge what it handled."""
    events: AsyncIterator[Any] = stream.noack().events().__aiter__()
    waiting = stream.channel.queue
    while True:
        try:
            batch = [await events.__anext__()]
            while len(batch) < role.batch and not waiting.empty():
                batch.append(await events.__anext__())
        except StopAsyncIteration:
            return
        tenure = await role.wait_for_assignment()
        due = _in_sequence(role, batch)
        if not due:
            continue
        role.idle.clear()
        try:
            handled = await _handle(role, [record for _, record in due], tenure)
            if role.tenure not in (None, tenure):
                continue  # the next tenure has folded from where this batch began, and is given it again
            for event, record in due[:handled]:
                role.progress.next_offset[record.topic, record.partition] = record.offset + 1
                role.progress.handled += 1
                event.ack()
        finally:
            role.idle.set()
        role.progress.moved_at = asyncio.get_running_loop().time()
        role.moved()


def _in_sequence(role: Consumer, batch: Sequence[Any]) -> list[tuple[Any, Record]]:
    """What comes next in each partition. A record that was taken off the stream before its partition moved is dropped here: the new owner, or
    this one after its fold, is given it again in order.
    """
    following = dict(role.progress.next_offset)
    due = []
    for event in batch:
        record = as_record(event.message)
        place = (record.topic, record.partition)
        expected = following.get(place)
        if expected is not None and role.holes.get((place, expected)) == record.offset:
            expected = record.offset  # the log itself has nothing in between
        if expected == record.offset:
            following[place] = record.offset + 1
            due.append((event, record))
            continue
        role.progress.dropped += 1
        if expected is not None and record.offset < expected:
            event.ack()  # it was handled before
    return due


async def _handle(role: Consumer, records: Sequence[Record], tenure: Assignment) -> int:
    """How many of the records, from the first on, were handled before the tenure ended."""
    if len(records) > 1 and await _together(role, records, tenure):
        return len(records)
    for number, record in enumerate(records):
        if not await attempt(role, record, _alone(role), tenure):
            return number
    return len(records)


def _alone(role: Consumer) -> Handle:
    if not role.batch:
        return role.handle

    async def alone(record: Record) -> None:
        await role.handle_batch([record])

    return alone


async def _together(role: Consumer, records: Sequence[Record], tenure: Assignment) -> bool:
    """Whether the whole batch was handled at once. If not, each record is tried alone, so that only the guilty one pays.

    An outage is nobody's guilt: the batch is tried again as it is, for as long as the tenure lasts.
    """
    wanted = [r for r in records if Position(r.topic, r.partition, r.offset) not in role.skip]
    delay = FIRST_DELAY_S
    while not tenure.over:
        try:
            await role.handle_batch(wanted)
        except Transient as error:
            at = Position(records[0].topic, records[0].partition, records[0].offset)
            delay = await _wait(role, error, delay, at, tenure)
        except Exception:  # noqa: BLE001 - whatever it is, it is met again alone and answered there
            return False
        else:
            role.progress.failing = ""
            return True
    return False


async def _wait(role: Consumer, error: Transient, delay: float, at: Position, tenure: Assignment) -> float:
    """Wait before the next try, as long as is asked for; return how long to wait the next time."""
    role.progress.fails(str(error), asyncio.get_running_loop().time())
    logger.warning("%s waits at %s: %s", role.name, at, error)
    await tenure.rest(min(error.retry_after_s or delay, LONGEST_ASKED_DELAY_S))
    return min(delay * 2, LONGEST_DELAY_S)


async def attempt(role: Consumer, record: Record, handle: Handle, tenure: Assignment) -> bool:
    """Handle one record by the three answers. True: it may be acknowledged. False: the tenure ended before that."""
    at = Position(record.topic, record.partition, record.offset)
    if at in role.skip:
        return True
    delay = FIRST_DELAY_S
    while not tenure.over:
        try:
            await handle(record)
        except Transient as error:
            delay = await _wait(role, error, delay, at, tenure)
        except NewerVersion as error:
            role.progress.paused = f"{error} (at {at.topic}/{at.partition}/{at.offset})"
            logger.error("%s is paused: %s", role.name, role.progress.paused)  # noqa: TRY400 - the sentence says it all
            await tenure.ended()
        except (Garbage, Permanent) as error:
            await give_up_for_sure(role, record, str(error))
            return True
        except Exception as error:
            role.stops[at] = role.stops.get(at, 0) + 1
            logger.exception("%s failed at %s (stop %d of %d)", role.name, at, role.stops[at], MOST_STOPS)
            if role.stops[at] >= MOST_STOPS:
                await give_up_for_sure(role, record, f"{type(error).__name__}: {error}")
                return True
            if not role.failed.done():
                role.failed.set_result(error)
            await tenure.ended()  # un-acknowledged, until the supervisor builds the role again
        else:
            role.progress.failing = ""
            return True
    return False


async def give_up_for_sure(role: Consumer, record: Record, reason: str) -> None:
    """The dead letter must be durable before the record is acknowledged."""
    delay = FIRST_DELAY_S
    while True:
        try:
            await role.give_up(record, reason)
            return
        except Transient as error:
            role.progress.retries += 1
            role.progress.moved_at = asyncio.get_running_loop().time()
            logger.warning("%s cannot write a dead letter yet: %s", role.name, error)
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_DELAY_S)
