"""The few requests of Kafka's protocol that iv3 sends by itself: fetch by offset, heads and starts of partitions, and
topic ids.

A consumer per read costs 7 ms and a connection; one Fetch on a connection that is open costs a quarter of a millisecond
and tells the high watermark besides. Topic ids exist since Kafka 2.8 and are what makes a log that was deleted and made
anew another log.
"""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from io import BytesIO
from typing import TypeVar

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)
from aiokafka.record.memory_records import MemoryRecords

from schemas.model import Partition
from streams.adapters.logs.kafka.link import KafkaLink, sentence
from streams.errors import FailedPrecondition, LogUnavailable
from streams.ports.log import Record

_T = TypeVar("_T")
LATEST, EARLIEST = -1, -2
_MOST_BYTES = 1 << 20  # of one partition and fetch
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 0.5
PATIENCE_S = 8.0  # a leader election takes a few seconds; the caller tries again after that by its own rules


class _Uuid(AbstractType[uuid.UUID]):
    @classmethod
    def encode(cls, value: uuid.UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> uuid.UUID:
        return uuid.UUID(bytes=data.read(16))


_CompactString = CompactString("utf-8")


_TAGS = {"tags": TaggedFields}
_BROKER = {"node_id": Int32, "host": _CompactString, "port": Int32, "rack": _CompactString} | _TAGS
_PARTITION = (
    {"error_code": Int16, "partition": Int32, "leader": Int32, "leader_epoch": Int32}
    | dict.fromkeys(("replicas", "isr", "offline"), CompactArray(Int32))
    | _TAGS
)
_TOPIC = {
    "error_code": Int16,
    "topic": _CompactString,
    "topic_id": _Uuid,
    "is_internal": Boolean,
    "partitions": CompactArray(*_PARTITION.items()),
    "topic_operations": Int32,
} | _TAGS


class _TopicIdsResponse(Response):
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", CompactArray(*_BROKER.items())),
        ("cluster_id", _CompactString),
        ("controller_id", Int32),
        ("topics", CompactArray(*_TOPIC.items())),
        ("cluster_operations", Int32),
        *_TAGS.items(),
    )


class _TopicIdsRequestStruct(RequestStruct):
    """Metadata v10: the first that tells topic ids."""

    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 10
    RESPONSE_TYPE = _TopicIdsResponse
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("topic", _CompactString), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_operations", Boolean),
        ("include_topic_operations", Boolean),
        ("tags", TaggedFields),
    )


class _TopicIdsRequest(Request[_TopicIdsRequestStruct]):
    API_KEY = 3

    def __init__(self, topics: Iterable[str]) -> None:
        self._topics = list(topics)

    def build(self, request_struct_class: type[_TopicIdsRequestStruct]) -> _TopicIdsRequestStruct:
        asked: list[tuple[uuid.UUID, str, dict[int, bytes]]] = [(uuid.UUID(int=0), topic, {}) for topic in self._topics]
        return request_struct_class(asked, False, False, False, {})


class Wire:
    """One client without a group. Every call raises LogUnavailable when Kafka does not answer for `PATIENCE_S`."""

    def __init__(self, link: KafkaLink, topics: Iterable[str]) -> None:
        self._link, self._topics = link, list(topics)
        self._client: AIOKafkaClient | None = None

    @property
    def client(self) -> AIOKafkaClient:
        """The open client."""
        if self._client is None:
            raise LogUnavailable("the connection to Kafka is not open")
        return self._client

    async def open(self) -> None:
        """Connect. Raises LogUnavailable."""
        client = AIOKafkaClient(**self._link.arguments())
        try:
            await client.bootstrap()
            await client.set_topics(self._topics)
        except KafkaError as error:
            await client.close()
            raise LogUnavailable(sentence(self._link, error)) from error
        self._client = client

    async def close(self) -> None:
        """Disconnect."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _patiently(self, ask: Callable[[], Awaitable[_T]], within_s: float = PATIENCE_S) -> _T:
        """Ask until it is answered; leaders move, brokers come and go."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + within_s, _FIRST_PAUSE_S
        while True:
            try:
                return await ask()
            except IncompatibleBrokerVersion as error:
                raise FailedPrecondition(
                    f"{self._link!r} is too old: iv3 needs Kafka 2.8 or newer ({error})."
                ) from error
            except (KafkaError, OSError) as error:
                if loop.time() + pause > deadline:
                    raise LogUnavailable(sentence(self._link, error)) from error
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)
            await self.client.force_metadata_update()

    def leader(self, topic: str, partition: int) -> int:
        """The node that leads a partition. Raises KafkaError while there is none."""
        node = self.client.cluster.leader_for_partition(TopicPartition(topic, partition))
        if node is None or node == -1:
            raise for_code(5)  # leader not available
        return int(node)

    async def topic_id(self, topic: str) -> str:
        """The id Kafka gave the topic when it was created, 32 hexadecimal digits."""

        async def ask() -> str:
            node = self.client.get_random_node()
            if node is None:
                raise for_code(8)  # broker not available
            answer = await self.client.send(node, _TopicIdsRequest([topic]))
            (found,) = answer.topics
            if found[0]:
                raise for_code(found[0])
            return str(found[2].hex)

        said = await self._patiently(ask)
        if int(said, 16) == 0:
            raise FailedPrecondition(f"{self._link!r} gives topics no ids: iv3 needs Apache Kafka 2.8 or newer.")
        return said

    async def offsets(self, partitions: Iterable[Partition], which: int) -> dict[Partition, int]:
        """The heads (LATEST) or starts (EARLIEST) of partitions, one request a broker."""
        wanted = list(partitions)

        async def ask() -> dict[Partition, int]:
            by_node: dict[int, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
            for topic, partition in wanted:
                by_node[self.leader(topic, partition)][topic].append((partition, which))
            requests = [self.client.send(node, OffsetRequest(-1, 0, list(t.items()))) for node, t in by_node.items()]
            found: dict[Partition, int] = {}
            for answer in await asyncio.gather(*requests):
                for topic, rows in answer.topics:
                    for partition, code, _, offset in rows:
                        if code:
                            raise for_code(code)
                        found[topic, partition] = offset
            return found

        return await self._patiently(ask)

    async def fetch(self, topic: str, partition: int, start: int) -> tuple[list[Record], int]:
        """The next records from `start` on, as many as fit one answer, and the high watermark. Older than what is kept:
        from the first that is.
        """

        async def ask() -> tuple[list[Record], int]:
            node = self.leader(topic, partition)
            answer = await self.client.send(
                node, FetchRequest(0, 1, 50 * _MOST_BYTES, 0, [(topic, [(partition, start, _MOST_BYTES)])])
            )
            _, code, high, *_, packed = answer.topics[0][1][0]
            if code == 1:  # out of range
                return [], -1
            if code:
                raise for_code(code)
            return _records(topic, partition, start, packed), high

        records, high = await self._patiently(ask)
        if high == -1:
            first = (await self.offsets([(topic, partition)], EARLIEST))[topic, partition]
            if first <= start:
                head = (await self.offsets([(topic, partition)], LATEST))[topic, partition]
                raise FailedPrecondition(
                    f"{topic}/{partition} ends at {head}, but {start} was there before: Kafka lost what "
                    "it had acknowledged. "
                    "Restore from the archive (iv3 restore), or `iv3 replay` after checking what is missing."
                )
            return await self.fetch(topic, partition, first)
        return records, high

    def by_leader(self, partitions: Iterable[Partition]) -> dict[int, list[Partition]]:
        """The partitions that each node leads. Raises KafkaError while one has no leader."""
        found: dict[int, list[Partition]] = defaultdict(list)
        for topic, partition in partitions:
            found[self.leader(topic, partition)].append((topic, partition))
        return found

    async def grown(self, node: int, heads: Mapping[Partition, int], wait_s: float) -> dict[Partition, int]:
        """Wait until one of the partitions that `node` leads has grown, at most `wait_s`; the heads that moved. Raises
        KafkaError at once.
        """
        asked: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
        for (topic, partition), head in heads.items():
            asked[topic].append((partition, head, 1))
        # A single byte is asked for: only the high watermarks count, and whoever wants the records reads them.
        answer = await self.client.send(node, FetchRequest(int(wait_s * 1000), 1, 1, 0, list(asked.items())))
        found: dict[Partition, int] = {}
        for topic, rows in answer.topics:
            for partition, code, high, *_ in rows:
                if code:
                    raise for_code(code)
                if high > heads[topic, partition]:
                    found[topic, partition] = high
        return found


def _records(topic: str, partition: int, start: int, packed: bytes) -> list[Record]:
    if not packed:
        return []
    place = TopicPartition(topic, partition)
    unpacked = PartitionRecords(place, MemoryRecords(packed), None, start, None, None, True, 0)
    return [
        Record(topic, partition, r.offset, r.timestamp, r.key, r.value, tuple(r.headers))
        for r in unpacked
        if r.offset >= start
    ]
