"""Copies between logs: the same bytes at the same places, whole or refused."""

from pathlib import Path

import pytest

from schemas.envelope import encode
from streams.adapters.logs.kafka.link import KafkaLink, brokers_of
from streams.adapters.logs.kafka.log import KafkaLog
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.adapters.notifiers.ntfy import Ntfy
from streams.clock import SystemClock
from streams.copies.copy_log import copy
from streams.delivery.dead_man import DeadMan, put_off, switch_ids
from streams.errors import AlreadyExists, CopyFailed, NotifierRefused, NotifierUnreachable, StreamError
from streams.ports.log import Log, Record
from streams.topics import ALERTS, ARCHIVED, JOURNAL, SNAPSHOTS
from tests.servers.kafka import Kafka
from tests.standins.ntfy import NtfyStandIn
from tests.support.waves import reading


async def lived(log: Log) -> None:
    for person in ("anna", "ben", "cleo"):
        for n in range(700):
            await log.append(JOURNAL, person, [encode(reading(n, 100 + n % 50, person))])
    await log.append(ALERTS, "anna", [b"", b"\x00\xff"])
    await log.append(SNAPSHOTS, "forecaster/anna", [b"left behind"])


async def everything(log: Log) -> dict[tuple[str, int], list[Record]]:
    found = {place: await log.read(*place, 0, None, 100_000) for place in await log.latest(ARCHIVED)}
    return {place: records for place, records in found.items() if records}


async def test_a_log_goes_to_kafka_and_back_byte_for_byte(tmp_path: Path, log: SqliteLog, kafka: Kafka) -> None:
    await lived(log)
    there = KafkaLog(KafkaLink(brokers_of(kafka.url)))
    await there.open()
    report = await copy(log, there)
    assert report.records == 2102
    assert await everything(there) == await everything(log)
    with pytest.raises(AlreadyExists, match="is not empty"):
        await copy(log, there)
    back = SqliteLog(tmp_path / "back" / "log.db")
    await copy(there, back)
    assert await everything(back) == await everything(log)
    assert len({log.log_id, there.log_id, back.log_id}) == 3, "each has its own name"
    assert await back.read(SNAPSHOTS, 0, 0) == []
    await back.close()
    await there.close()


class Faltering(Ntfy):
    """A way to the server that breaks at the third message that is to be taken back, once."""

    left = 2
    error: type[StreamError] = NotifierUnreachable

    async def cancel(self, sequence_id: str) -> None:
        self.left -= 1
        if self.left == -1:
            raise self.error("the third is not taken back")
        await super().cancel(sequence_id)


async def test_the_dead_mans_switch_of_the_first_log_is_taken_back_by_whoever_runs_on_the_copy(
    tmp_path: Path, log: SqliteLog
) -> None:
    """Nobody puts it off any more: it would say that iv3 is silent while all is well."""
    clock = SystemClock()
    async with NtfyStandIn(burst=1_000) as phone:
        target = Ntfy(server=phone.url, topic="house", clock=clock)
        old = DeadMan(log, clock, target)
        assert await old.arm(target)
        assert await old.arm(target)
        await put_off(log.log_id, target, 1_800)
        assert set(await target.pending() or ()) == set(switch_ids(log.log_id))
        other = SqliteLog(tmp_path / "other" / "log.db")
        await copy(log, other)
        falters = Faltering(server=phone.url, topic="house", clock=clock)
        new = DeadMan(other, clock, target)
        assert not await new.arm(falters), "an id was not taken back"
        assert await new.arm(falters)
        assert await new.arm(target)
        assert set(await target.pending() or ()) == set(switch_ids(other.log_id))
        await target.close()
        await falters.close()
    await other.close()


async def test_an_old_switch_that_may_not_be_taken_back_keeps_nobody_from_being_on_guard(log: SqliteLog) -> None:
    clock = SystemClock()
    async with NtfyStandIn(burst=1_000) as phone:
        falters = Faltering(server=phone.url, topic="house", clock=clock)
        falters.left, falters.error = 1, NotifierRefused
        switch = DeadMan(log, clock, falters)
        assert await switch.arm(falters)
        assert await switch.arm(falters)
        assert set(await falters.pending() or ()) == set(switch_ids(log.log_id))
        await falters.close()


async def test_somebody_who_writes_meanwhile_is_noticed(tmp_path: Path, log: SqliteLog) -> None:
    await lived(log)
    target = SqliteLog(tmp_path / "other" / "log.db")
    busy = iter(range(10))

    def interfere(done: int, total: int) -> None:
        del total
        if done < 3000 and next(busy, None) == 0:
            target.submit(target.record(JOURNAL, "anna", [b"mine"], None))

    with pytest.raises(CopyFailed, match="did not arrive"):
        await copy(log, target, interfere)
    await target.close()
