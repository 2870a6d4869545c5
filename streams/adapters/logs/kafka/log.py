"""The log on Kafka: one idempotent producer for a process, reads by fetch, heads by a long poll that watches the topics
grow.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
)

from processors.archive.format import ArchivedRecord
from schemas.model import Partition
from streams.adapters.logs.kafka.link import REQUEST_TIMEOUT_S, KafkaLink, rate_limit_aiokafka_log, sentence
from streams.adapters.logs.kafka.topics import Safety, ensure_topics
from streams.adapters.logs.kafka.wire import LATEST, Wire
from streams.errors import LogOutcomeUnknown, LogRefused, LogUnavailable, NotFound
from streams.ports.log import Position, Record
from streams.topics import ALERTS, DEAD_LETTERS, FORECASTS, JOURNAL, PARTITIONS, TOPICS, partition_of

logger = logging.getLogger("iv3.log")

MOST_IN_FLIGHT = 500  # tens of thousands of sends at once starve each other
APPEND_DEADLINE_S = 10.0
# A broker takes 1 MiB unless it is told otherwise; the rest is room for key, headers and framing.
MOST_VALUE_BYTES = 900_000
_WATCHED = (JOURNAL, FORECASTS, ALERTS, DEAD_LETTERS)
_POLL_S = 0.5
_AGAIN_S = 0.2
_LOOK_S = 0.25
_LAST_WORD_S = 2.0  # what a dead broker does not take by then was never acknowledged
_FOR_GOOD = (MessageSizeTooLargeError, TopicAuthorizationFailedError, InvalidTopicError)


@dataclass
class KafkaCounters:
    """What the log did, for /metrics."""

    appends: int = 0
    records: int = 0
    refused: int = 0
    unknown: int = 0
    producers: int = 0


class Pending(asyncio.Future[Any]):
    """The answer to an append that was handed to the producer, which tries until it is written, however long a broker
    is away.
    """

    values: tuple[bytes, ...]
    sent: asyncio.Future[Any]  # as the producer has it
    began: float  # loop time
    doubtful: bool = False  # somebody waited for it in vain, and may try the same again


class KafkaLog:
    """The `Log` port. `open` it in the running loop before anything else. A log that is deleted and made anew has
    another `log_id`.
    """

    demo = False  # a demo lives in a file of its own, never on Kafka

    def __init__(self, link: KafkaLink, *, partitions: int = PARTITIONS, safety: Safety | None = None) -> None:
        self.link = link
        self._wanted, self._safety = partitions, safety or Safety()
        self.partitions: dict[str, int] = {}
        self.heads: dict[Partition, int] = {}
        self.log_id = ""
        self._counted = KafkaCounters()
        self._wire, self._tail = Wire(link, TOPICS), Wire(link, _WATCHED)
        self._producer: AIOKafkaProducer | None = None
        self._renewing = asyncio.Lock()
        self._room = asyncio.Semaphore(MOST_IN_FLIGHT)
        self._pending: dict[Partition, dict[Pending, None]] = defaultdict(dict)  # in the order in which they were sent
        # Where somebody gave up waiting; elsewhere an append need not look at those before it.
        self._stuck: set[Partition] = set()
        self._subscribers: list[Callable[[frozenset[str]], None]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self) -> None:
        """Make or check the topics, connect, learn the heads. Raises NotFound, LogUnavailable."""
        rate_limit_aiokafka_log()
        found = await ensure_topics(self.link, self._wanted, self._safety)
        self.partitions = dict.fromkeys(TOPICS, found)
        await self._wire.open()
        await self._tail.open()
        self.log_id = await self._wire.topic_id(JOURNAL)
        self.heads = await self._wire.offsets([(t, p) for t in TOPICS for p in range(found)], LATEST)
        await self._usable_producer()
        self._tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._give_up_the_slow())]

    async def close(self) -> None:
        """See `Log.close`."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        producer, self._producer = self._producer, None
        if producer is not None:
            await _stop(producer, _LAST_WORD_S)
        await self._wire.close()
        await self._tail.close()

    @property
    def counters(self) -> dict[str, int]:
        """See `Log.counters`."""
        return asdict(self._counted)

    async def tidy(self) -> None:
        """See `Log.tidy`: the brokers do it, by the topics' own settings."""

    def nearly_full(self) -> bool:
        """See `Log.nearly_full`: the brokers' disks are watched where they are."""
        return False

    # -- writing -----------------------------------------------------------------------------------

    async def append(
        self, topic: str, key: str, values: Sequence[bytes], *, partition: int | None = None
    ) -> list[Position]:
        """See `Log.append`. A prefix may have been written when it raises Unknown; what must stay together is one
        record.

        The same values again, while the first try still waits for a broker, wait with it and are written once.
        """
        if topic not in self.partitions:
            raise NotFound(f"topic {topic} does not exist; topics are made by the admin step")
        if self._closed:
            raise LogRefused("the log is closed")
        for value in values:
            if len(value) > MOST_VALUE_BYTES:
                raise LogRefused(f"a record of {len(value):,} bytes is more than Kafka takes ({MOST_VALUE_BYTES:,})")
        place = (topic, partition_of(key, self.partitions[topic]) if partition is None else partition)
        joined = self._joined(place, values) if place in self._stuck else None
        if joined is not None:
            return _positions(place, await self._waited_again(joined))
        async with self._room:
            if self._closed:  # while this waited for its turn
                raise LogRefused("the log is closed")
            pending = await self._handed_over(place, key.encode(), values)
            try:
                return _positions(place, await pending)
            except asyncio.CancelledError:
                self._doubt(place, pending)  # it is left to itself, and written all the same
                raise

    async def _handed_over(self, place: Partition, key: bytes, values: Sequence[bytes]) -> Pending:
        """Give the records to the producer."""
        producer = self._producer or await self._usable_producer()
        topic, partition = place
        sent: list[asyncio.Future[Any]] = []
        try:
            for value in values:
                sent.append(await producer.send(topic, value, key=key, partition=partition))  # noqa: PERF401 - what was sent counts if one fails
        except KafkaError as error:
            raise self._judged(producer, error, nothing_yet=not sent) from error
        loop = asyncio.get_running_loop()
        pending = Pending(loop=loop)
        pending.values, pending.began = tuple(values), loop.time()
        pending.sent = whole = sent[0] if len(sent) == 1 else asyncio.gather(*sent)
        self._pending[place][pending] = None
        whole.add_done_callback(partial(self._settled, producer, place, pending))
        return pending

    def _doubt(self, place: Partition, pending: Pending) -> None:
        """Somebody waits for it no more, and may try the same again while it is under way."""
        if not pending.sent.done():
            pending.doubtful = True
            self._stuck.add(place)

    async def _waited_again(self, pending: Pending) -> Any:  # noqa: ANN401 - aiokafka's own types
        try:
            async with asyncio.timeout(APPEND_DEADLINE_S):
                return await asyncio.shield(pending.sent)
        except TimeoutError:
            self._counted.unknown += 1
            raise LogOutcomeUnknown(self._silent()) from None
        except KafkaError as error:
            raise LogOutcomeUnknown(sentence(self.link, error)) from error

    def _silent(self) -> str:
        return (
            f"Kafka at {','.join(self.link.brokers)} has not confirmed what was written for {APPEND_DEADLINE_S:.0f} s"
        )

    def _joined(self, place: Partition, values: Sequence[bytes]) -> Pending | None:
        """The pending append of the same values. Raises LogRefused where others have been waiting for too long: nothing
        more is put behind them.
        """
        waiting = self._pending[place]
        for pending in waiting:
            if pending.doubtful and pending.values == tuple(values):
                return pending
        if not any(pending.doubtful for pending in waiting):
            self._stuck.discard(place)
        elif asyncio.get_running_loop().time() - next(iter(waiting)).began > APPEND_DEADLINE_S:
            self._counted.refused += 1
            raise LogRefused(f"Kafka at {','.join(self.link.brokers)} has been confirming nothing for a while")
        return None

    def _settled(
        self, producer: AIOKafkaProducer, place: Partition, pending: Pending, done: "asyncio.Future[Any]"
    ) -> None:
        del self._pending[place][pending]
        error = done.exception() if not done.cancelled() else asyncio.CancelledError()
        if error is None:
            found = done.result()
            self._counted.appends += 1
            self._counted.records += len(pending.values)
            last = found[-1] if isinstance(found, list) else found
            if last.offset >= self.heads.get(place, 0):
                self.heads[place] = last.offset + 1
                if self._subscribers:
                    self._wake(frozenset((place[0],)))
            if not pending.done():
                pending.set_result(found)
            return
        judged = self._judged(producer, error, nothing_yet=False) if isinstance(error, KafkaError) else error
        if not pending.done():  # else nobody waits any more
            pending.set_exception(
                judged if isinstance(judged, Exception) else LogOutcomeUnknown("the producer was stopped")
            )

    async def _give_up_the_slow(self) -> None:
        """Tell whoever has waited for too long that it is not known. One look for all is cheaper than a timer
        for each.
        """
        while True:
            await asyncio.sleep(_LOOK_S)
            before = asyncio.get_running_loop().time() - APPEND_DEADLINE_S
            for place, waiting in self._pending.items():
                for pending in waiting:
                    if pending.began > before:
                        break
                    if not pending.done():
                        self._doubt(place, pending)
                        self._counted.unknown += 1
                        pending.set_exception(LogOutcomeUnknown(self._silent()))

    def _judged(
        self, producer: AIOKafkaProducer, error: KafkaError, *, nothing_yet: bool
    ) -> LogRefused | LogOutcomeUnknown:
        said = sentence(self.link, error)
        if isinstance(error, _FOR_GOOD) or (nothing_yet and isinstance(error, KafkaTimeoutError)):
            self._counted.refused += 1
            return LogRefused(said)
        if producer is self._producer:
            self._producer = None  # its sequence is broken, or may be: the next append begins with a fresh one
            self._stopping = asyncio.create_task(_stop(producer))
        self._counted.unknown += 1
        return LogOutcomeUnknown(said)

    async def _usable_producer(self) -> AIOKafkaProducer:
        async with self._renewing:
            if self._closed:
                raise LogRefused("the log is closed")
            if self._producer is None:
                producer = AIOKafkaProducer(acks="all", enable_idempotence=True, linger_ms=0, **self.link.arguments())
                try:
                    await asyncio.wait_for(producer.start(), REQUEST_TIMEOUT_S)
                except (KafkaError, OSError, TimeoutError) as error:
                    await _stop(producer)
                    raise LogRefused(sentence(self.link, error)) from error
                self._producer = producer
                self._counted.producers += 1
            return self._producer

    async def append_as_was(self, topic: str, partition: int, records: Sequence[ArchivedRecord]) -> None:
        """See `Log.append_as_was`."""
        send = partial((await self._usable_producer()).send, topic, partition=partition)
        try:
            for at in range(0, len(records), MOST_IN_FLIGHT):
                part = records[at : at + MOST_IN_FLIGHT]
                sent = [
                    await send(r.value, key=r.key, timestamp_ms=r.timestamp_ms, headers=list(r.headers)) for r in part
                ]
                for record, answer in zip(part, sent, strict=True):
                    landed = (await answer).offset
                    if landed != record.offset:
                        raise LogRefused(
                            f"{topic}/{partition}: record {record.offset} landed at {landed}; somebody "
                            "else writes to this log"
                        )
        except KafkaError as error:
            raise LogOutcomeUnknown(sentence(self.link, error)) from error

    # -- reading -----------------------------------------------------------------------------------

    async def read(
        self, topic: str, partition: int, start: int, to: int | None = None, limit: int = 1000
    ) -> list[Record]:
        """See `Log.read`."""
        found: list[Record] = []
        async for records in self._fetched(topic, partition, start, to):
            found += records
            if len(found) >= limit:
                break
        return found[:limit]

    async def fold(
        self, topic: str, partition: int, start: int, to: int | None, step: Callable[[Record], object]
    ) -> int:
        """See `Log.fold`."""
        async for records in self._fetched(topic, partition, start, to):
            for record in records:
                step(record)
                start = record.offset + 1
            await asyncio.sleep(0)
        return start if to is None else max(start, min(to, self.heads[topic, partition]))

    async def _fetched(
        self, topic: str, partition: int, start: int, to: int | None
    ) -> AsyncGenerator[list[Record], None]:
        """The records of [start, to), one answer at a time. The high watermark that each brings is the head: no
        question of its own is needed.
        """
        while to is None or start < to:
            records, high = await self._wire.fetch(topic, partition, start)
            self._grew({(topic, partition): high})
            if not records:
                return
            yield records if to is None else [record for record in records if record.offset < to]
            start = records[-1].offset + 1
            if to is None and start >= high:
                return

    async def latest(self, topics: Iterable[str]) -> dict[Partition, int]:
        """See `Log.latest`."""
        heads = await self._wire.offsets([(t, p) for t in topics for p in range(self.partitions[t])], LATEST)
        self._grew(heads)
        return heads

    # -- growing -----------------------------------------------------------------------------------

    def subscribe(self, wake: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        """See `Log.subscribe`."""
        self._subscribers.append(wake)
        return lambda: self._subscribers.remove(wake) if wake in self._subscribers else None

    def _grew(self, heads: dict[Partition, int]) -> None:
        grown = set()
        for place, head in heads.items():
            if head > self.heads.get(place, 0):
                self.heads[place] = head
                grown.add(place[0])
        if grown:
            self._wake(frozenset(grown))

    def _wake(self, topics: frozenset[str]) -> None:
        for wake in list(self._subscribers):
            wake(topics)

    async def _watch(self) -> None:
        """Long polls, one connection for each broker; where leaders move it begins again."""
        while True:
            try:
                watched = [(t, p) for t in _WATCHED for p in range(self.partitions[t])]
                self._grew(await self._tail.offsets(watched, LATEST))
                async with asyncio.TaskGroup() as group:
                    for node, led in self._tail.by_leader(watched).items():
                        group.create_task(self._watch_one(node, led))
            except* (KafkaError, OSError, LogUnavailable):
                logger.info("the brokers changed; watching the log again")
            await asyncio.sleep(_AGAIN_S)
            with suppress(KafkaError, OSError, LogUnavailable):
                await self._tail.client.force_metadata_update()

    async def _watch_one(self, node: int, led: list[Partition]) -> None:
        while True:
            self._grew(await self._tail.grown(node, {place: self.heads[place] for place in led}, _POLL_S))


def _positions(place: Partition, found: Any) -> list[Position]:  # noqa: ANN401 - aiokafka's own types
    topic, partition = place
    positions = [Position(topic, partition, one.offset) for one in (found if isinstance(found, list) else (found,))]
    if positions[-1].offset < 0:
        raise LogOutcomeUnknown("Kafka had it already and does not say where")
    return positions


async def _stop(producer: AIOKafkaProducer, within_s: float = REQUEST_TIMEOUT_S) -> None:
    with suppress(KafkaError, OSError, TimeoutError):
        await asyncio.wait_for(producer.stop(), within_s)
