"""The exam of the `Log` port. Another adapter joins by one more line in `LOGS`."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from streams.adapters.logs.kafka.link import KafkaLink, brokers_of
from streams.adapters.logs.kafka.log import KafkaLog
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.errors import DiskReserve, FailedPrecondition, LogOutcomeUnknown, LogRefused
from streams.ports.log import Position
from streams.storage.files import RESERVE_BYTES
from streams.topics import ALERTS, JOURNAL, PARTITIONS, SNAPSHOTS, murmur2, partition_of

LOGS = ["sqlite", pytest.param("kafka", marks=pytest.mark.servers)]
READING = b'{"specversion":"1.0","type":"iv3.reading.v1","x":1}'


@pytest.fixture(params=LOGS)
async def any_log(request: Any, tmp_path: Path) -> AsyncIterator[Any]:
    if request.param == "sqlite":
        opened: Any = SqliteLog(tmp_path / "log.db")
    else:
        opened = KafkaLog(KafkaLink(brokers_of(request.getfixturevalue("kafka").url)))
        await opened.open()
    yield opened
    await opened.close()


def test_a_key_lies_where_kafka_puts_it() -> None:
    """The six vectors of Kafka's own Utils test."""
    words = (
        b"21",
        b"foobar",
        b"a-little-bit-long-string",
        b"a-little-bit-longer-string",
        b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
        b"abc",
    )
    signed = (-973932308, -790332482, -985981536, -1486304829, -58897971, 479470107)
    assert [murmur2(word) for word in words] == [number & 0xFFFFFFFF for number in signed]


async def test_offsets_are_dense_and_in_the_order_of_the_key(any_log: Any) -> None:
    first = await any_log.append(JOURNAL, "me", [b"a", b"b"])
    second = await any_log.append(JOURNAL, "me", [b"c"])
    where = partition_of("me")
    assert first + second == [Position(JOURNAL, where, n) for n in range(3)]
    records = await any_log.read(JOURNAL, where, 0)
    assert [(r.offset, r.key, r.value) for r in records] == [(0, b"me", b"a"), (1, b"me", b"b"), (2, b"me", b"c")]
    assert any_log.heads[JOURNAL, where] == 3


async def test_bytes_come_back_exactly_as_they_went_in(any_log: Any) -> None:
    odd = [b"", b"\x00\xff", "ümlaut".encode(), b"x" * 100_000]
    await any_log.append(JOURNAL, "me", odd)
    assert [r.value for r in await any_log.read(JOURNAL, partition_of("me"), 0)] == odd


async def test_many_writers_at_once_leave_no_hole_and_lose_nothing(any_log: Any) -> None:
    async def writer(n: int) -> list[Position]:
        done: list[Position] = []
        for i in range(20):
            done += await any_log.append(JOURNAL, f"p{n}", [b"%d" % i])
        return done

    answered = [at for positions in await asyncio.gather(*(writer(n) for n in range(50))) for at in positions]
    assert len(set(answered)) == 1000
    total = 0
    for partition in range(PARTITIONS):
        records = await any_log.read(JOURNAL, partition, 0, None, 10_000)
        assert [r.offset for r in records] == list(range(len(records)))
        total += len(records)
    assert total == 1000


async def test_a_range_is_read_up_to_its_end_and_no_further(any_log: Any) -> None:
    await any_log.append(JOURNAL, "me", [b"%d" % n for n in range(10)])
    where = partition_of("me")
    assert [r.value for r in await any_log.read(JOURNAL, where, 3, 6)] == [b"3", b"4", b"5"]
    assert [r.value for r in await any_log.read(JOURNAL, where, 3, None, 2)] == [b"3", b"4"]
    seen: list[Any] = []
    assert await any_log.fold(JOURNAL, where, 2, 9, seen.append) == 9
    assert [r.offset for r in seen] == list(range(2, 9))


async def test_whoever_waits_is_woken_once_something_is_there(any_log: Any) -> None:
    woken: list[frozenset[str]] = []
    end = any_log.subscribe(woken.append)
    await any_log.append(ALERTS, "me", [b"x"])
    await asyncio.sleep(0)
    assert woken == [frozenset({ALERTS})]
    end()
    await any_log.append(ALERTS, "me", [b"x"])
    assert len(woken) == 1


async def test_what_was_appended_is_there_after_opening_again(tmp_path: Path) -> None:
    first = SqliteLog(tmp_path / "log.db")
    await first.append(JOURNAL, "me", [b"kept"])
    name = first.log_id
    await first.close()
    again = SqliteLog(tmp_path / "log.db")
    assert again.log_id == name
    assert [r.value for r in await again.read(JOURNAL, partition_of("me"), 0)] == [b"kept"]
    await again.close()


async def test_two_processes_share_a_log_and_wake_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two objects on one file behave as two processes do: nothing but the file and the sockets connects them."""
    monkeypatch.setattr("streams.adapters.logs.sqlite.wakeups.FALLBACK_S", 3600)  # a look now and then wakes nobody
    one, two = SqliteLog(tmp_path / "log.db"), SqliteLog(tmp_path / "log.db")
    woken = asyncio.Event()
    two.subscribe(lambda grown: woken.set() if JOURNAL in grown else None)
    await asyncio.gather(*(log.append(JOURNAL, "me", [b"x"]) for log in (one, two) for _ in range(50)))
    await asyncio.wait_for(woken.wait(), 60)
    where = partition_of("me")
    assert [r.offset for r in await one.read(JOURNAL, where, 0)] == list(range(100))
    async with asyncio.timeout(60):
        while two.heads[JOURNAL, where] < 100:
            await asyncio.sleep(0.01)
    await one.close()
    await two.close()


async def test_a_log_goes_on_when_nobody_can_be_woken(tmp_path: Path) -> None:
    """The folder of the wake-ups is cleaned away, as temporary folders are."""
    log = SqliteLog(tmp_path / "log.db")
    shutil.rmtree(log._wakeups._folder)
    for n in range(3):
        async with asyncio.timeout(60):
            assert (await log.append(JOURNAL, "me", [b"%d" % n]))[0].offset == n
    await log.close()


async def test_a_writer_that_fails_in_a_way_nobody_foresaw_answers_everybody_and_ends_the_process(
    tmp_path: Path,
) -> None:
    ended: list[BaseException] = []
    log = SqliteLog(tmp_path / "log.db", on_fatal=ended.append)

    def fails() -> bool:
        raise RuntimeError("never seen before")

    log._writer._nearly_full = fails
    with pytest.raises(LogOutcomeUnknown):
        async with asyncio.timeout(60):
            await log.append(JOURNAL, "me", [b'{"type":"iv3.insulin.v1"}'])
    assert len(ended) == 1
    with pytest.raises(LogOutcomeUnknown):
        await log.append(JOURNAL, "me", [b"later"])
    await log.close()


async def test_below_the_reserve_only_readings_and_alarms_are_taken(tmp_path: Path) -> None:
    free = [RESERVE_BYTES - 1]
    log = SqliteLog(tmp_path / "log.db", free=lambda: free[0])
    with pytest.raises(DiskReserve, match="nearly full"):
        await log.append(JOURNAL, "me", [b'{"type":"iv3.insulin.v1"}'])
    await log.append(JOURNAL, "me", [READING])
    await log.append(ALERTS, "me", [b"an alarm"])
    free[0] = RESERVE_BYTES + 1
    log._space_at = 0.0
    (position,) = await log.append(JOURNAL, "me", [b'{"type":"iv3.insulin.v1"}'])
    assert position.offset == 1, "what was refused took no offset"
    await log.close()


async def test_a_full_disk_is_refused_whole_and_heals_by_itself(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db")
    pages = log._db.pragma("page_count")
    log._db.pragma("max_page_count", pages + 2)
    with pytest.raises(DiskReserve, match="disk is full"):
        await log.append(JOURNAL, "me", [b"x" * 50_000])
    log._db.pragma("max_page_count", 1 << 30)
    (position,) = await log.append(JOURNAL, "me", [b"y"])
    assert position.offset == 0
    await log.close()


async def test_a_demo_log_is_no_persons_log_and_the_other_way_round(tmp_path: Path) -> None:
    demo = SqliteLog(tmp_path / "log.db", demo=True)
    await demo.close()
    with pytest.raises(FailedPrecondition, match="a demo log"):
        SqliteLog(tmp_path / "log.db")


async def test_after_close_nothing_is_taken(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db")
    await log.close()
    with pytest.raises(LogRefused, match="closed"):
        await log.append(JOURNAL, "me", [b"late"])


async def test_compaction_keeps_the_newest_of_each_key_and_the_last_offset(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db")
    for n in range(5):
        await log.append(SNAPSHOTS, "a", [b"a%d" % n], partition=3)
        await log.append(SNAPSHOTS, "b", [b"b%d" % n], partition=3)
    await log.compact(SNAPSHOTS)
    assert [(r.offset, r.value) for r in await log.read(SNAPSHOTS, 3, 0)] == [(8, b"a4"), (9, b"b4")]
    (position,) = await log.append(SNAPSHOTS, "a", [b"a5"], partition=3)
    assert position.offset == 10
    await log.close()


async def test_one_member_holds_a_group_until_it_lets_go(log: SqliteLog) -> None:
    first, second = log.group_lock("projector"), log.group_lock("projector")
    assert first.try_acquire()
    assert not second.try_acquire()
    first.release()
    assert second.try_acquire()
    second.release()
