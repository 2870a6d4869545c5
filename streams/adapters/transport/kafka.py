"""The Faust driver for the Kafka log: upstream's, with the strict guard, partitions of one number kept together, and a
lease.

Upstream loses records at a rebalance on a real broker (docs/decisions); `StrictOffsets` closes that. What differs from
SQLite: partitions come and go while the App lives, so only the role's own fold says where each starts, and a worker
that was cut off must know that it may have been replaced before the broker tells it.
"""

import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, ClassVar

import aiokafka
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError, UnknownMemberIdError
from aiokafka.protocol.commit import OffsetCommitResponse_v2, OffsetCommitResponse_v3
from aiokafka.protocol.group import HeartbeatResponse_v0, HeartbeatResponse_v1
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as upstream
from faust.transport.producer import Producer as FaustProducer
from faust.types import TP

from streams.adapters.logs.kafka.log import KafkaLog
from streams.adapters.transport.strict import StrictOffsets

_LONG_POLL_MS = 200  # upstream hard-codes 1500, and every other request of a rebalance waits behind it
_BEATS = (HeartbeatResponse_v0, HeartbeatResponse_v1)
_COMMITS = (OffsetCommitResponse_v2, OffsetCommitResponse_v3)
_EMPTY_SLEEP_S = 0.02  # upstream sleeps a second while no partition is active


class CoPartitioned(RoundRobinPartitionAssignor):
    """Partition p of every topic goes to the same member: a person's readings, forecasts and alerts are decided in one
    place.

    Round robin over all topics does so only for some numbers of members. Members are sorted by their ids, which begin
    with the worker's name, so a worker that comes back gets what it had.
    """

    name = "iv3-co"

    @classmethod
    def assign(cls, cluster: Any, members: Mapping[str, Any]) -> dict[str, Any]:
        """See aiokafka's `AbstractPartitionAssignor`."""
        order = sorted(members)
        shares: dict[str, dict[str, list[int]]] = {member: defaultdict(list) for member in members}
        for topic in sorted({topic for metadata in members.values() for topic in metadata.subscription}):
            for partition in sorted(cluster.partitions_for_topic(topic) or ()):
                shares[order[partition % len(order)]][topic].append(partition)
        return {
            member: ConsumerProtocolMemberAssignment(cls.version, sorted((t, sorted(p)) for t, p in share.items()), b"")
            for member, share in shares.items()
        }


class ConsumerThread(upstream.AIOKafkaConsumerThread):
    """Upstream's, with a client made as the log says, and heartbeats that extend the lease."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        conf, log = self.app.conf, transport.kafka
        return aiokafka.AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            partition_assignment_strategy=[CoPartitioned],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=conf.broker_max_poll_records,
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_max_wait_ms=_LONG_POLL_MS,
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            **log.link.arguments(),
        )

    async def on_start(self) -> None:
        """Begin; from here on each heartbeat that is answered extends the lease, from the moment it was sent."""
        await super().on_start()
        coordinator, consumer = self._consumer._coordinator, self.consumer
        heartbeat, send = coordinator._do_heartbeat, coordinator._send_req

        async def extending_heartbeat() -> bool:
            sent = time.monotonic()
            answered = bool(await heartbeat())
            if answered:
                consumer.extend_lease(sent)
            return answered

        async def watchful_send(request: Any) -> Any:
            answer = await send(request)
            if _is_unknown_member(answer) and consumer.holds_lease():
                # The group forgot this member long before its session was over: somebody else joined under its name.
                # Joining again, as upstream would, only took the place back, and so on for ever.
                consumer.replaced()
                raise KafkaError("another worker has this one's name")
            return answer

        coordinator._do_heartbeat, coordinator._send_req = extending_heartbeat, watchful_send

    async def on_thread_stop(self) -> None:
        """A planned stop leaves the group, or its people wait a session for alarms. A crash does not come here, and
        stays static.
        """
        if self._consumer is not None:
            self._consumer._coordinator._group_instance_id = None
        await super().on_thread_stop()

    async def committed(self) -> dict[Any, int]:
        """What the group committed of the partitions assigned now, in one request."""
        assigned = list(self._consumer.assignment())
        if not assigned:
            return {}
        found = await self.call_thread(self._consumer._coordinator.fetch_committed_offsets, assigned)
        return {ensure_TP(tp): meta.offset for tp, meta in found.items() if meta.offset >= 0}


def _is_unknown_member(answer: Any) -> bool:
    """Whether the group does not know who beats or commits."""
    if isinstance(answer, _BEATS):
        return bool(answer.error_code == UnknownMemberIdError.errno)
    if isinstance(answer, _COMMITS):
        return any(code == UnknownMemberIdError.errno for _, rows in answer.topics for _, code in rows)
    return False


class Consumer(StrictOffsets, upstream.Consumer):
    """The strict consumer of the Kafka log."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lease_until = 0.0
        self.app.link.lease_holds = self.holds_lease

    def _new_consumer_thread(self) -> Any:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def extend_lease(self, from_s: float) -> None:
        """The broker gives nothing away before a session has passed since it last heard of us."""
        self._lease_until = max(self._lease_until, from_s + self.app.conf.broker_session_timeout)

    def holds_lease(self) -> bool:
        """Whether the partitions are surely still this member's."""
        return time.monotonic() < self._lease_until

    def replaced(self) -> None:
        """Another worker took this one's place under its name."""
        self._lease_until = 0.0
        self.loop.call_soon_threadsafe(self.app.link.replaced)

    async def sleep(self, n: Any, **kwargs: Any) -> None:
        """As upstream's, but for its pause of a whole second."""
        await super().sleep(_EMPTY_SLEEP_S if n == 1 else n, **kwargs)

    async def committed_offsets(self) -> dict[Any, int]:
        """What the group committed of this member's partitions."""
        found: dict[Any, int] = await self._thread.committed()
        return found

    async def perform_seek(self) -> None:
        """Go where the role's fold says. Upstream's fetcher also calls this whenever it meets a stopped flow: then it
        must not seek back.
        """
        if not self.app.link.may_seek:
            return
        self.app.link.may_seek = False
        start = {TP(*partition): offset for partition, offset in self.app.link.start_offsets.items()}
        self._forget(list(self._expected))
        self._forget(start)
        for tp, offset in start.items():
            self._committed_offset[tp] = self._read_offset[tp] = offset or None
        if start:
            await self.seek_wait(start)
        self._forget(start)
        self._expected.update(start)

    async def on_partitions_assigned(self, assigned: Any, generation_id: int = 0) -> None:
        """A new lease: the join was answered just now."""
        self.extend_lease(time.monotonic() - self.app.conf.broker_session_timeout / 2)
        await super().on_partitions_assigned(assigned, generation_id)

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """See `StrictOffsets`; nothing may seek until the next fold."""
        self.app.link.may_seek = False
        await super().on_partitions_revoked(revoked)


class Transport(upstream.Transport):
    """The driver of one App on an open log: `partial(Transport, log)` is what `make_app` is given."""

    Consumer: ClassVar[type] = Consumer
    Producer: ClassVar[type] = FaustProducer  # nobody sends through Faust: the process has one producer, the log's
    driver_version = "iv3-kafka"

    def __init__(self, log: KafkaLog, app: Any) -> None:
        super().__init__(app.conf.broker_consumer, app)
        self.kafka = log
