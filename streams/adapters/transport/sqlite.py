"""The Faust driver for the SQLite log: agents run on it unmodified. One member per group; a second one waits as a hot
standby.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, ClassVar

from faust.assignor.client_assignment import ClientAssignment
from faust.exceptions import ConsumerNotStarted
from faust.transport import base
from faust.transport.consumer import Consumer as FaustConsumer
from faust.transport.consumer import ensure_TP
from faust.transport.producer import Producer as FaustProducer
from faust.types import TP, ConsumerMessage

from schemas.model import Partition
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.adapters.transport.strict import StrictOffsets
from streams.ports.log import Record
from streams.topics import partition_of

STANDBY_LOOK_S = 0.25
_MOST_PER_POLL = 500
_LEAST_PER_PARTITION = 8


class SqliteConsumer(FaustConsumer):
    """Fetches by offset from the log; the group's membership is a lock that the kernel frees."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sqlite: SqliteLog = self.transport.sqlite
        self._at: dict[Any, int] = {}
        self._assigned: set[Any] = set()
        self._names: set[str] = set()
        self._member = self._ever_assigned = False
        self._grew = asyncio.Event()
        self._lock = self._sqlite.group_lock(self.app.conf.id)
        self._unsubscribe = lambda: None

    async def on_start(self) -> None:
        """Join the group; wait here, doing nothing, while another process is its member."""
        while not self.app.client_only and not self.should_stop and not self._lock.try_acquire():
            self.app.link.standby = True
            await self.sleep(STANDBY_LOOK_S)
        self.app.link.standby = False
        self._unsubscribe = self._sqlite.subscribe(self._woken)
        self._member = True

    def _woken(self, grown: frozenset[str]) -> None:
        if not grown.isdisjoint(self._names):
            self._grew.set()

    async def on_stop(self) -> None:
        """Commit, then leave the group."""
        await super().on_stop()
        self._unsubscribe()
        self._lock.release()

    def close(self) -> None:
        """Nothing of ours is open."""

    async def subscribe(self, topics: Any) -> None:
        """Assign every partition of the topics, in a task of its own: Faust's conductor waits for this call."""
        names = set(topics)
        partitions = {TP(name, p) for name in names for p in range(self._sqlite.partitions[name])}
        if partitions != self._assigned or not self._ever_assigned:
            self._ever_assigned, self._names = True, names
            self.add_future(self._rebalance(partitions))

    async def _rebalance(self, partitions: set[Any]) -> None:
        app = self.app
        app.on_rebalance_start()
        if self._assigned:
            await self.on_partitions_revoked(set(self._assigned))
        app.consumer_generation_id = generation = app.consumer_generation_id + 1
        by_topic: dict[str, list[int]] = defaultdict(list)
        for tp in sorted(partitions):
            by_topic[tp.topic].append(tp.partition)
        assignor = app.assignor
        assignor._assignment = ClientAssignment(actives=dict(by_topic), standbys={})
        assignor._active_tps, assignor._standby_tps = assignor._assignment.active_tps, set()
        assignor._topic_groups = {topic: number for number, topic in enumerate(sorted(by_topic))}
        url = str(app.conf.canonical_url)
        assignor.changelog_distribution = {url: {}}
        assignor.external_topic_distribution = {url: dict(by_topic)}
        self._assigned = set(partitions)
        await self.on_partitions_assigned(set(partitions), generation)

    def assignment(self) -> set[Any]:
        """The partitions of this member."""
        if not self._member:
            raise ConsumerNotStarted("the consumer has not joined its group yet")
        return set(self._assigned)

    async def seek_to_committed(self) -> dict[Any, int]:
        """Go to the committed offsets; those without one go to the start and are left out of the answer."""
        committed = await self.committed_offsets()
        for tp in self._assigned:
            self._at[tp] = committed.get(tp, 0)
        return committed

    async def committed_offsets(self) -> dict[Any, int]:
        """What the group committed of this member's partitions."""
        group = self.app.conf.id
        committed: dict[Partition, int] = await self._sqlite.in_pool(lambda: self._sqlite.committed(group))
        return {tp: committed[tp.topic, tp.partition] for tp in self._assigned if (tp.topic, tp.partition) in committed}

    async def _seek(self, tp: Any, offset: int) -> None:
        self._at[TP(*tp)] = offset

    async def seek_wait(self, partitions: Mapping[Any, int]) -> None:
        """Go to these offsets."""
        self._at.update({ensure_TP(tp): offset for tp, offset in partitions.items()})

    async def position(self, tp: Any) -> int | None:
        """The next offset to fetch."""
        return self._at.get(tp)

    def highwater(self, tp: Any) -> int:
        """The head of a partition."""
        return self._sqlite.heads.get((tp.topic, tp.partition), 0)

    async def highwaters(self, *partitions: Any) -> dict[Any, int]:
        """The heads of partitions."""
        return {tp: self.highwater(tp) for tp in partitions}

    async def earliest_offsets(self, *partitions: Any) -> dict[Any, int]:
        """Nothing of what is consumed is ever trimmed."""
        return dict.fromkeys(partitions, 0)

    def topic_partitions(self, topic: str) -> int | None:
        """How many partitions a topic has."""
        return self._sqlite.partitions.get(topic)

    def key_partition(self, topic: str, key: bytes | None, partition: int | None = None) -> int:
        """Where a key lies."""
        return partition if partition is not None else partition_of(key or b"", self._sqlite.partitions[topic])

    def _new_topicpartition(self, topic: str, partition: int) -> Any:
        return TP(topic, partition)

    async def create_topic(self, *_: Any, **__: Any) -> None:
        """Refused: topics are made by the admin step."""
        raise RuntimeError("topics are made by the admin step, never by an agent")

    async def _getmany(self, active_partitions: set[Any] | None, timeout: float) -> dict[Any, list[Record]]:  # noqa: ASYNC109 - the name Faust calls it by
        deadline = time.monotonic() + timeout
        while not self.should_stop and self.flow_active:
            self._grew.clear()
            wanted = self._assigned if active_partitions is None else active_partitions
            found = await self._fetch(
                [tp for tp in wanted if tp in self._expected and self.highwater(tp) > self._at.get(tp, 0)]
            )
            if found:
                return found
            left = deadline - time.monotonic()
            if left <= 0:
                break
            try:
                await asyncio.wait_for(self._grew.wait(), left)
            except TimeoutError:
                break
        return {}

    async def _fetch(self, behind: list[Any]) -> dict[Any, list[Record]]:
        if not behind:
            return {}
        # Fair shares: a long journal must not hide the short topics.
        share = max(_LEAST_PER_PARTITION, _MOST_PER_POLL // len(behind))
        at = {tp: self._at.get(tp, 0) for tp in behind}
        log = self._sqlite
        read = await log.in_pool(
            lambda: {tp: log.read_now(tp.topic, tp.partition, at[tp], None, share) for tp in behind}
        )
        if not self.flow_active:
            return {}
        found = {tp: records for tp, records in read.items() if records and self._at.get(tp, 0) == at[tp]}
        for tp, records in found.items():
            self._at[tp] = records[-1].offset + 1
        return found

    def _to_message(self, tp: Any, record: Record) -> Any:
        at_s, headers, generation = record.timestamp_ms / 1000.0, list(record.headers), self.app.consumer_generation_id
        said = (record.key, record.value, None, None, None)  # neither a checksum nor sizes
        return ConsumerMessage(*record.position, at_s, 0, headers, *said, tp, generation_id=generation)

    async def _commit(self, offsets: Mapping[Any, int]) -> bool:
        await self._sqlite.commit(self.app.conf.id, {(tp.topic, tp.partition): o for tp, o in offsets.items()})
        return True


class Consumer(StrictOffsets, SqliteConsumer):
    """The strict consumer of the SQLite log."""


class Transport(base.Transport):
    """The driver of one App on an open log: `partial(Transport, log)` is what `make_app` is given."""

    Consumer: ClassVar[type] = Consumer
    Producer: ClassVar[type] = FaustProducer  # nobody sends through Faust: what is written, the log appends
    driver_version = "iv3-sqlite"
    default_port = None

    def __init__(self, log: SqliteLog, app: Any) -> None:
        super().__init__(app.conf.broker_consumer, app)
        self.sqlite = log
