"""`consume`: the one body that every agent has. Decode nothing, decide nothing: handle, and acknowledge last.

A failing record gets one of three answers. *Retry*: an outage, tried again with backoff for ever (an attempt counts as
progress). *Record*: it can never be handled, so its address goes to the dead letters and the rest flows on. *Stop*: a
bug; the role alone is rebuilt and replays, and the third stop at one record makes it a dead letter. A record of a newer
release is none of these: the role waits before it, not ready, until it is upgraded. `consume` never raises into Faust,
whose own crash handling would acknowledge what failed.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

from schemas.envelope import Garbage, NewerVersion
from streams.errors import Permanent, Transient
from streams.ports.log import Position, Record
from streams.runtime.app_lifetime import AppLifetime
from streams.runtime.assignment import Assignment
from streams.runtime.backoff import Backoff
from streams.runtime.role import Role

logger = logging.getLogger("iv3.consume")

LONGEST_ASKED_DELAY_S = 60.0  # however long the other side asks to be left alone
MOST_STOPS = 3


def as_record(message: Any) -> Record:  # noqa: ANN401 - Faust's own type
    """The record in a Faust message."""
    at_ms, headers = round(message.timestamp * 1000), tuple(message.headers or ())
    return Record(message.topic, message.partition, message.offset, at_ms, message.key, message.value, headers)


async def consume(role: Role, life: AppLifetime, stream: Any) -> None:  # noqa: ANN401 - Faust's own type
    """Feed the role every record of the stream, one by one or in batches of what is already there, and acknowledge what
    it handled.
    """
    events: AsyncIterator[Any] = stream.noack().events().__aiter__()
    waiting = stream.channel.queue
    while True:
        try:
            batch = [await events.__anext__()]
            while len(batch) < role.batch and not waiting.empty():
                batch.append(await events.__anext__())
        except StopAsyncIteration:
            return
        assignment = await life.wait_for_assignment()
        due = _in_sequence(role, life, batch)
        if not due:
            continue
        life.idle.clear()
        try:
            handled = await _handle(role, life, [record for _, record in due], assignment)
            if life.assignment not in (None, assignment):
                continue  # the next assignment has folded from where this batch began, and is given it again
            for event, record in due[:handled]:
                role.progress.next_offset[record.topic, record.partition] = record.offset + 1
                role.progress.handled += 1
                event.ack()
        finally:
            life.idle.set()
        role.progress.moved_at = asyncio.get_running_loop().time()
        role.moved()


def _in_sequence(role: Role, life: AppLifetime, batch: Sequence[Any]) -> list[tuple[Any, Record]]:
    """What comes next in each partition. A record that was taken off the stream before its partition moved is dropped
    here: the new owner, or this one after its fold, is given it again in order.
    """
    following = dict(role.progress.next_offset)
    due = []
    for event in batch:
        record = as_record(event.message)
        place = (record.topic, record.partition)
        expected = following.get(place)
        if expected is not None and life.holes.get((place, expected)) == record.offset:
            expected = record.offset  # the log itself has nothing in between
        if expected == record.offset:
            following[place] = record.offset + 1
            due.append((event, record))
            continue
        role.progress.dropped += 1
        if expected is not None and record.offset < expected:
            event.ack()  # it was handled before
    return due


async def _handle(role: Role, life: AppLifetime, records: Sequence[Record], assignment: Assignment) -> int:
    """How many of the records, from the first on, were handled before the assignment ended."""
    if len(records) > 1 and await _together(role, records, assignment):
        return len(records)
    for number, record in enumerate(records):
        if not await attempt(role, life, record, assignment):
            return number
    return len(records)


async def _together(role: Role, records: Sequence[Record], assignment: Assignment) -> bool:
    """Whether the whole batch was handled at once. If not, each record is tried alone, so that only the guilty one
    pays.

    An outage is nobody's guilt: the batch is tried again as it is, for as long as the assignment lasts.
    """
    wanted = [r for r in records if r.position not in role.skip]
    delays = Backoff()
    while not assignment.over:
        try:
            await role.handle_batch(wanted)
        except Transient as error:
            at = records[0].position
            await _wait(role, error, delays, at, assignment)
        except Exception:  # noqa: BLE001 - whatever it is, it is met again alone and answered there
            return False
        else:
            role.progress.failing = ""
            return True
    return False


async def _wait(role: Role, error: Transient, delays: Backoff, at: Position, assignment: Assignment) -> None:
    """Wait before the next try, as long as is asked for."""
    role.progress.fails(str(error), asyncio.get_running_loop().time())
    logger.warning("%s waits at %s: %s", role.name, at, error)
    await assignment.rest(delays.next_s(error.retry_after_s, most_s=LONGEST_ASKED_DELAY_S))


async def attempt(role: Role, life: AppLifetime, record: Record, assignment: Assignment) -> bool:
    """Handle one record by the three answers. True: it may be acknowledged. False: the assignment ended before that."""
    at = record.position
    if at in role.skip:
        return True
    delays = Backoff()
    while not assignment.over:
        try:
            await (role.handle_batch([record]) if role.batch else role.handle(record))
        except Transient as error:
            await _wait(role, error, delays, at, assignment)
        except NewerVersion as error:
            role.progress.paused = f"{error} (at {at.topic}/{at.partition}/{at.offset})"
            logger.error("%s is paused: %s", role.name, role.progress.paused)  # noqa: TRY400 - the sentence says it all
            await assignment.ended()
        except (Garbage, Permanent) as error:
            await role.give_up_for_sure(record, str(error))
            return True
        except Exception as error:
            life.stops[at] = life.stops.get(at, 0) + 1
            logger.exception("%s failed at %s (stop %d of %d)", role.name, at, life.stops[at], MOST_STOPS)
            if life.stops[at] >= MOST_STOPS:
                await role.give_up_for_sure(record, f"{type(error).__name__}: {error}")
                return True
            life.fail(error)
            await assignment.ended()  # un-acknowledged, until the supervisor builds the role again
        else:
            role.progress.failing = ""
            return True
    return False
