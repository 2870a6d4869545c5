"""The one agent body, on real Faust Apps and the SQLite log: nothing is skipped, whatever fails."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import pytest

from streams.adapters.logs.sqlite.log import SqliteLog
from streams.adapters.transport.sqlite import Transport
from streams.adapters.transport.strict import _begun
from streams.clock import SystemClock
from streams.errors import Permanent, Transient
from streams.ports.log import Record
from streams.runtime.app import make_app
from streams.runtime.role import Role
from streams.topics import JOURNAL, partition_of
from tests.support.running import app_maker, caught_up, running, until

P = partition_of("me")


class Collector(Role):
    """Remembers what it was given; fails where a test says so."""

    name = "collector"
    topics = (JOURNAL,)

    def __init__(self, log: SqliteLog, make_app: Callable[[str], Any]) -> None:
        super().__init__(log, SystemClock(), make_app)
        self.seen: list[int] = []
        self.bad: dict[int, list[BaseException]] = {}

    async def handle(self, record: Record) -> None:
        if self.bad.get(record.offset):
            raise self.bad[record.offset].pop()
        self.seen.append(record.offset)


class BatchCollector(Collector):
    batch: ClassVar[int] = 50

    async def handle_batch(self, records: Any) -> None:
        for record in records:
            if self.bad.get(record.offset):
                raise self.bad[record.offset].pop()
        self.seen += [record.offset for record in records]


@pytest.fixture(params=[Collector, BatchCollector])
def role(request: Any, log: SqliteLog) -> Collector:
    made: Collector = request.param(log, app_maker(log))
    return made


async def feed(log: SqliteLog, count: int) -> None:
    await log.append(JOURNAL, "me", [b"{}"] * count)


async def test_every_record_is_handled_once_in_order_and_committed(log: SqliteLog, role: Collector) -> None:
    async with running(role):
        for _ in range(3):
            await feed(log, 100)
        await caught_up([role])
        assert role.seen == list(range(300))
        await until(lambda: log.committed("collector").get((JOURNAL, P)) == 300)


async def test_an_outage_is_waited_out_and_nothing_is_skipped(log: SqliteLog, role: Collector) -> None:
    role.bad[5] = [Transient("down"), Transient("still down"), Transient("down")]
    async with running(role):
        await feed(log, 20)
        await caught_up([role])
    assert role.seen == list(range(20))
    assert role.progress.retries > 0
    assert role.progress.restarts == 0


async def test_in_an_outage_a_batch_stays_together_and_only_a_guilty_record_takes_it_apart(log: SqliteLog) -> None:
    role, batches = BatchCollector(log, app_maker(log)), list[list[int]]()
    handle = role.handle_batch

    async def noted(records: Any) -> None:
        if not batches:
            await asyncio.sleep(0.2)  # while the others arrive
        batches.append([record.offset for record in records])
        await handle(records)

    role.handle_batch = noted  # type: ignore[method-assign]  # the test listens in
    role.bad = {30: [Transient("down")] * 3, 75: [Permanent("garbage")] * 2}
    await feed(log, 90)
    async with running(role):
        await caught_up([role])
    with_30 = [batch for batch in batches if 30 in batch]
    assert len(with_30) == 4
    assert all(batch == with_30[0] for batch in with_30)
    assert len(with_30[0]) > 1
    assert [75] in batches
    assert role.seen == [n for n in range(90) if n != 75]


async def test_a_record_that_can_never_be_handled_goes_to_the_dead_letters_and_stays_there(
    log: SqliteLog, role: Collector
) -> None:
    role.bad[5] = [Permanent("garbage")] * 3
    async with running(role):
        await feed(log, 20)
        await caught_up([role])
    assert role.seen == [n for n in range(20) if n != 5]
    assert role.progress.dead_letters == 1
    again = type(role)(log, app_maker(log))
    async with running(again):
        assert [at.offset for at in again.skip] == [5]


async def test_a_bug_rebuilds_the_role_and_the_record_comes_again(log: SqliteLog, role: Collector) -> None:
    role.bad[7] = [RuntimeError("bug")] * 2
    async with running(role):
        await feed(log, 20)
        await until(lambda: role.progress.restarts > 0)
        await until(lambda: set(role.seen) == set(range(20)))
    assert role.progress.dead_letters == 0


async def test_the_third_stop_at_one_record_makes_it_a_dead_letter(log: SqliteLog, role: Collector) -> None:
    role.bad[7] = [RuntimeError("bug")] * 100
    async with running(role):
        await feed(log, 20)
        await until(lambda: role.progress.dead_letters == 1, 20)
        await caught_up([role])
    assert set(role.seen) == set(range(20)) - {7}


async def test_a_crash_inside_faust_is_survived(log: SqliteLog, role: Collector) -> None:
    async with running(role):
        await feed(log, 50)
        await caught_up([role])
        await role.life.app.consumer.crash(RuntimeError("the consumer died"))
        await until(lambda: role.progress.restarts == 1)
        await feed(log, 50)
        await until(lambda: set(role.seen) == set(range(100)))


async def test_a_stop_between_handling_and_acknowledging_redelivers(log: SqliteLog) -> None:
    role = Collector(log, app_maker(log))
    hold = asyncio.Event()
    entered = asyncio.Event()

    async def stuck(record: Record) -> None:
        role.seen.append(record.offset)
        if record.offset == 3:
            entered.set()
            await hold.wait()

    role.handle = stuck  # type: ignore[method-assign]  # the test listens in
    async with running(role):
        await feed(log, 10)
        await entered.wait()
    assert log.committed("collector").get((JOURNAL, P), 0) == 3
    again = Collector(log, app_maker(log))
    async with running(again):
        await caught_up([again])
    assert again.seen == list(range(3, 10))


async def test_a_jump_ahead_is_never_delivered(log: SqliteLog) -> None:
    """The guard: a batch that begins at offset n + 5 is fetched again from n."""
    role = Collector(log, app_maker(log))
    async with running(role):
        await feed(log, 10)
        await caught_up([role])
        consumer = role.life.app.consumer
        for tp in list(consumer._at):
            if tp.partition == P:
                consumer._at[tp] = 15
        await feed(log, 20)
        await caught_up([role])
    assert role.seen == list(range(30))


async def test_a_delivery_that_need_not_wait_costs_no_task_of_its_own(log: SqliteLog) -> None:
    made = 0

    def counting(loop: asyncio.AbstractEventLoop, coro: Any, **more: Any) -> "asyncio.Task[Any]":
        nonlocal made
        made += 1
        return asyncio.Task(coro, loop=loop, **more)

    await feed(log, 1_500)
    asyncio.get_running_loop().set_task_factory(counting)
    role = BatchCollector(log, app_maker(log))
    async with running(role):
        await caught_up([role])
    assert role.seen == list(range(1_500))
    assert made < 1_500


async def test_a_delivery_that_waits_for_room_goes_on_where_it_was_and_can_be_called_off() -> None:
    room, noted = asyncio.Event(), list[str]()

    async def delivery(name: str) -> None:
        noted.append(f"{name} began")
        try:
            await room.wait()
            await asyncio.sleep(0)
            noted.append(f"{name} is there")
        except asyncio.CancelledError:
            noted.append(f"{name} was called off")
            raise

    one, other = asyncio.ensure_future(_begun(delivery("one"))), asyncio.ensure_future(_begun(delivery("other")))
    assert noted == ["one began", "other began"]
    await asyncio.sleep(0)
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    room.set()
    await other
    assert noted[2:] == ["one was called off", "other is there"]


async def test_a_record_from_a_newer_release_pauses_the_role_before_it(log: SqliteLog) -> None:
    role = Collector(log, app_maker(log))

    async def decode_it(record: Record) -> None:
        role.event_of(record)

    role.handle = decode_it  # type: ignore[method-assign]  # the test listens in
    async with running(role):
        await log.append(JOURNAL, "me", [b'{"type":"iv3.reading.v99"}'])
        await until(lambda: "upgrade this worker" in role.progress.paused)
        assert role.lag() == 1
    assert role.progress.dead_letters == 0
    assert log.committed("collector").get((JOURNAL, P), 0) == 0


async def test_what_was_acknowledged_is_committed_once_more_when_partitions_are_revoked(log: SqliteLog) -> None:
    """A rebalance right after a record: waiting for the next commit interval would hand it to the next owner again."""
    app = lambda group: make_app(  # noqa: E731 - one line says it
        group, partial(Transport, log), data_folder=str(log.path.parent), broker_commit_interval=3600.0
    )
    role = Collector(log, app)
    async with running(role):
        await feed(log, 7)
        await caught_up([role])
        assert log.committed("collector").get((JOURNAL, P), 0) == 0
        await role.life.app.consumer.on_partitions_revoked(set(role.life.app.consumer.assignment()))
        assert log.committed("collector")[JOURNAL, P] == 7


async def test_an_acknowledgement_from_before_a_rebalance_commits_nothing(log: SqliteLog) -> None:
    role = Collector(log, app_maker(log))
    held: list[object] = []
    release = asyncio.Event()

    async def hold(record: Record) -> None:
        role.seen.append(record.offset)
        if record.offset == 2 and not release.is_set():
            held.append(record)
            await release.wait()

    role.handle = hold  # type: ignore[method-assign]  # the test listens in
    async with running(role):
        await feed(log, 5)
        await until(lambda: bool(held))
        consumer = role.life.app.consumer
        stale = next(m for m in consumer._unacked_messages if m.offset == 2)
        role.life.app.consumer_generation_id += 1
        assert consumer.ack(stale) is False
        assert (JOURNAL, P) not in {(tp.topic, tp.partition) for tp in consumer._acked if 2 in consumer._acked[tp]}
        release.set()


async def test_nobody_sends_through_faust(log: SqliteLog) -> None:
    role = Collector(log, app_maker(log))
    async with running(role):
        with pytest.raises(NotImplementedError):
            await role.life.app.producer.send(JOURNAL, b"me", b"1", None, None, None)
        await caught_up([role])
    assert role.seen == []
