"""A log dealt out to another number of partitions: everybody's history in its order, and everything that folds it goes
on as if nothing had been.
"""

import asyncio
import json
import shutil
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.alerting.outbox import Outbox
from processors.archive.format import ArchivedRecord
from processors.copies.repartition import Split, UnknownPosition
from schemas.alerts import AlertsDecided, TargetAdded, TargetRemoved
from schemas.envelope import decode, encode
from schemas.facts import GlucoseRead
from streams.adapters.logs.kafka.link import KafkaLink, brokers_of
from streams.adapters.logs.kafka.log import KafkaLog
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.adapters.logs.sqlite.writer import Statements
from streams.adapters.series.sqlite.series import SqliteSeries
from streams.adapters.series.sqlite.store import SqliteStore
from streams.copies.copy_log import copy
from streams.copies.erase_person import Erasing
from streams.delivery.channels import Channels
from streams.delivery.targets import tell_of, tell_target
from streams.errors import CopyFailed, FailedPrecondition
from streams.ports.log import Log
from streams.roles.alerter import Alerter
from streams.roles.forecaster import Forecaster
from streams.roles.notifier import AlarmNotifier
from streams.roles.projector import Projector
from streams.topics import ALERTS, DEAD_LETTERS, FORECASTS, JOURNAL, partition_of
from streams.views.replay import replay
from tests.servers.kafka import Kafka
from tests.support.clock import SetClock
from tests.support.erasing import GONE, MIN, T0, lived, said, strays, tokens, wave
from tests.support.histories import everything, histories, places_are_true
from tests.support.phone import Phone
from tests.support.running import app_maker, caught_up, running, until

PEOPLE = ("wanda-6", "bruno-15", *(f"person-{n}" for n in range(14)))
READINGS = 20  # the lows are over at the end
END = T0 + (READINGS - 1) * 5 * MIN + 20_000


def roles_on(log: Log, phone: Phone, clock: SetClock) -> list[Any]:
    apps = app_maker(log)  # type: ignore[arg-type] # it is one of the two
    ways = Channels(targets=(phone,))  # type: ignore[arg-type] # what a notifier asks of a phone here
    return [Forecaster(log, clock, apps), Alerter(log, clock, apps), AlarmNotifier(log, clock, apps, ways)]


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log's file, made once."""
    path = tmp_path_factory.mktemp("lives") / "log.db"

    async def make() -> None:
        log = SqliteLog(path)
        await many_lived(log)
        await log.close()

    asyncio.run(make())
    return path


@pytest.fixture
async def old(lives: Path, tmp_path: Path) -> AsyncIterator[SqliteLog]:
    shutil.copy(lives, tmp_path / "old.db")
    log = SqliteLog(tmp_path / "old.db")
    yield log
    await log.close()


async def many_lived(log: SqliteLog) -> None:
    """Sixteen people with lows, a phone that was told of them, tokens, and records that nobody can read."""
    clock, phone = SetClock(T0), Phone()
    await tokens(log)
    roles = roles_on(log, phone, clock)
    async with running(*roles):
        for n in range(READINGS):
            clock.set(T0 + n * 5 * MIN + 10_000)
            for person in PEOPLE:
                fact = GlucoseRead(glucose_mgdl=wave(n), trend="Flat")
                await log.append(JOURNAL, person, [encode(said(fact, person, n))])
            await caught_up(roles)
        await strays(log)
        await caught_up(roles)
    assert len(phone.sent) >= len(PEOPLE)


@pytest.mark.parametrize("partitions", [24, 60])
async def test_everybodys_history_is_the_same_and_every_place_that_is_named_is_true(
    old: SqliteLog, tmp_path: Path, partitions: int
) -> None:
    new = SqliteLog(tmp_path / "new" / "log.db", partitions=partitions)
    seen: list[tuple[int, int]] = []
    report = await copy(old, new, lambda done, total: seen.append((done, total)))
    assert report.partitions == partitions
    assert report.records == sum(dict(new.heads).values())
    assert seen[-1][1] <= seen[-1][0] + 2 * partitions
    assert await histories(new) == await histories(old)
    decisions = await places_are_true(old)
    assert len(decisions) > len(PEOPLE)
    await places_are_true(new, decisions)
    await new.close()


async def test_people_of_several_partitions_never_come_into_one(old: SqliteLog, tmp_path: Path) -> None:
    """What was said of each (a phone that is told from here on) would count for all: an old alarm could ring, a due one
    be lost.
    """
    for partitions in (1, 6, 18):
        new = SqliteLog(tmp_path / f"{partitions}.db", partitions=partitions)
        with pytest.raises(
            FailedPrecondition, match=rf"12 partitions cannot become one of {partitions}.* for instance 24"
        ):
            await copy(old, new)
        assert not any(dict(new.heads).values())
        await new.close()


async def test_charts_made_of_it_are_the_same(old: SqliteLog, tmp_path: Path) -> None:
    new = SqliteLog(tmp_path / "new" / "log.db", partitions=36)
    await copy(old, new)
    digests = []
    for number, log in enumerate((old, new)):
        folder = tmp_path / str(number)
        folder.mkdir()
        store = SqliteStore(folder, log.log_id)
        await replay(log, folder, store)
        series = await store.open(await store.serving())
        digests.append(await series.digest())
        await series.close()
        await store.close()
    assert digests[0] == digests[1] != []
    await new.close()


@pytest.mark.parametrize("partitions", [24, 60])
async def test_who_goes_on_with_it_says_nothing_twice_and_misses_nothing(
    old: SqliteLog, tmp_path: Path, partitions: int
) -> None:
    new = SqliteLog(tmp_path / "new" / "log.db", partitions=partitions)
    await copy(old, new)
    before = {topic: len([r for r in await everything(new) if r.topic == topic]) for topic in (FORECASTS, ALERTS)}
    clock, phone = SetClock(END), Phone()
    series = SqliteSeries(tmp_path / "s.db", new.log_id)
    roles = [*roles_on(new, phone, clock), Projector(new, clock, app_maker(new), lambda: series)]
    async with running(*roles):
        await caught_up(roles)
        after = {topic: len([r for r in await everything(new) if r.topic == topic]) for topic in before}
        assert after == before, "nothing is said twice"
        assert not [name for name in phone.sent if not name.startswith("clear ")], (
            "old notifications may be cleared again"
        )
        for n in range(READINGS, READINGS + 3):
            clock.set(T0 + n * 5 * MIN + 10_000)
            for person in PEOPLE:
                fact = GlucoseRead(glucose_mgdl=45.0, trend="Flat")
                await new.append(JOURNAL, person, [encode(said(fact, person, n))])
            await caught_up(roles)
        await until(lambda: len([name for name in phone.sent if name.startswith("urgent-low")]) == len(PEOPLE))
    forecasts = [r for r in await everything(new) if r.topic == FORECASTS]
    assert len(forecasts) == before[FORECASTS] + 3 * len(PEOPLE)
    await series.close()
    await new.close()


async def test_readings_that_a_crash_left_without_a_forecast_get_theirs(old: SqliteLog, tmp_path: Path) -> None:
    """In one partition the forecaster was three readings behind when it died."""
    whole = [r for r in await everything(old) if r.topic == FORECASTS]
    cut = [r for r in whole if r.partition == partition_of(GONE)][-3:]
    killed = SqliteLog(tmp_path / "killed" / "log.db")
    for record in await everything(old):
        if record not in cut:
            kept = ArchivedRecord(record.offset, record.timestamp_ms, record.key, record.value, record.headers)
            await killed.append_as_was(record.topic, record.partition, [kept])
    new = SqliteLog(tmp_path / "new" / "log.db", partitions=24)
    await copy(killed, new)
    assert len([r for r in await everything(new) if r.topic == FORECASTS]) == len(whole) - 3
    forecaster = Forecaster(new, SetClock(END), app_maker(new))
    async with running(forecaster):
        await caught_up([forecaster])
    made = await histories(new)
    for key, history in (await histories(old)).items():
        if key[0] == FORECASTS:
            assert [text for text, *_ in map(_untimed, made[key])] == [text for text, *_ in map(_untimed, history)]
    await places_are_true(new)
    await new.close()
    await killed.close()


def _untimed(said_: Any) -> tuple[str]:
    """Made again it was recorded at another moment; it is the same forecast all the same."""
    event = json.loads(said_[0])
    return (json.dumps({name: event[name] for name in ("id", "time", "data")}),)


async def test_what_is_due_to_whom_is_the_same(old: SqliteLog, tmp_path: Path) -> None:
    """Phones that come and go, one for a person alone, and alarms that were not delivered when iv3 stopped."""
    clock = SetClock(END)
    for partition in range(12):
        await tell_target(old, clock, TargetAdded(target="second phone"), partition)
        clock.set(clock.now_ms() + 60_000 * (partition % 3))
    await tell_of(old, clock, "person-3", ("an own phone",))
    roles = roles_on(old, Phone(), clock)[:2]  # nobody tells of what is decided now
    async with running(*roles):
        for n in range(READINGS, READINGS + 3):
            clock.set(T0 + n * 5 * MIN + 10_000)
            for person in PEOPLE:
                await old.append(
                    JOURNAL, person, [encode(said(GlucoseRead(glucose_mgdl=48.0, trend="Flat"), person, n))]
                )
            await caught_up(roles)
    for partition in range(0, 12, 2):
        await tell_target(old, clock, TargetRemoved(target="phone"), partition)
    new = SqliteLog(tmp_path / "new" / "log.db", partitions=36)
    await copy(old, new)
    before, after = await due(old), await due(new)
    assert len(before) > len(PEOPLE)
    assert {target for _, _, target in before} >= {"phone", "second phone"}
    assert after == before
    await new.close()


async def due(log: Log) -> set[tuple[str, int, str]]:
    """Every message that a notifier would send now."""
    found = set[tuple[str, int, str]]()
    for partition in range(log.partitions[ALERTS]):
        outbox = Outbox(("phone", "second phone"))
        for record in await log.read(ALERTS, partition, 0, None, 100_000):
            outbox.evolve(decode(record.value))
        found |= {tuple(step) for step in outbox.due}
    return found


async def test_what_an_erasure_left_stays_where_it_counts(tmp_path: Path, log: SqliteLog) -> None:
    await lived(log, 20)
    erased = SqliteLog(tmp_path / "erased" / "log.db")
    erasing = Erasing(log, GONE)
    await erasing.open()
    await erasing.write(erased, erased.log_id, END)
    new = SqliteLog(tmp_path / "new" / "log.db", partitions=24)
    report = await copy(erased, new)
    assert report.records == sum(dict(erased.heads).values())
    assert await histories(new) == await histories(erased)
    assert await places_are_true(new, await places_are_true(erased))
    holes = {(r.topic, r.partition) for r in await everything(new) if b"iv3.erased" in (r.value or b"")}
    house = partition_of("_system", 24)
    assert (JOURNAL, house) in holes, "the house's decisions stand on them"
    assert {partition for topic, partition in holes if topic != DEAD_LETTERS} == {house}
    await erased.close()
    await new.close()


@pytest.mark.parametrize(
    "value",
    [
        b'{"data":{}}',
        b"\xff",
        b"[]",
        None,
        b'{"type":"iv3.forecast.v1","data":{"pos":null}}',
        b'{"type":"iv3.alerts-decided.v1","data":{"pos":[]}}',
    ],
)
async def test_what_nobody_can_read_names_no_place_and_goes_along(
    old: SqliteLog, tmp_path: Path, value: bytes | None
) -> None:
    for topic in (JOURNAL, FORECASTS, ALERTS, DEAD_LETTERS):
        head = old.heads[topic, partition_of("anna")]
        await old.append_as_was(
            topic, partition_of("anna"), [ArchivedRecord(head, END, b"anna", value, (("h", b"x"),))]
        )
        await old.append_as_was(topic, 5, [ArchivedRecord(old.heads[topic, 5], END, None, value)])
    new = SqliteLog(tmp_path / "new" / "log.db", partitions=24)
    await copy(old, new)
    assert await histories(new) == await histories(old)
    await new.close()


async def test_a_decision_at_a_place_beyond_the_journal_is_no_copy(old: SqliteLog, tmp_path: Path) -> None:
    (last,) = [r for r in await everything(old) if r.topic == ALERTS and b"alerts-decided" in (r.value or b"")][-1:]
    event = decode(last.value)
    assert isinstance(event.data, AlertsDecided)
    beyond = event.model_copy(update={"id": "x", "data": event.data.model_copy(update={"pos": (9_999, 0, 0)})})
    await old.append(ALERTS, event.subject, [encode(beyond)])
    new = SqliteLog(tmp_path / "new" / "log.db", partitions=24)
    with pytest.raises(CopyFailed, match=r"names journal offset 9999, .* only as it is, with 12"):
        await copy(old, new)
    await new.close()


@pytest.mark.parametrize("partitions", [12, 24])
async def test_a_hole_in_the_log_is_found_and_nothing_moves_up(old: SqliteLog, tmp_path: Path, partitions: int) -> None:
    await old.submit(
        Statements(
            [("DELETE FROM log WHERE topic=(SELECT id FROM topics WHERE name=?1) AND part=3 AND off=7", (JOURNAL,))]
        )
    )
    new = SqliteLog(tmp_path / "new" / "log.db", partitions=partitions)
    with pytest.raises(CopyFailed, match=r"iv3.journal/3: a record behind"):
        await copy(old, new)
    await new.close()


@pytest.mark.parametrize("partitions", [12, 24])
async def test_what_is_written_meanwhile_makes_the_copy_fail(old: SqliteLog, tmp_path: Path, partitions: int) -> None:
    new = SqliteLog(tmp_path / "new" / "log.db", partitions=partitions)
    once = iter([None])

    def meanwhile(done: int, total: int) -> None:
        if done < total / 2 and next(once, 0) is None:
            old.submit(old.record(JOURNAL, "anna", [b"late"], None))

    with pytest.raises(CopyFailed, match="Somebody wrote to the log while it was copied"):
        await copy(old, new, meanwhile)
    await new.close()


async def test_it_goes_to_a_kafka_that_is_split_finer_and_back(old: SqliteLog, tmp_path: Path, kafka: Kafka) -> None:
    there = KafkaLog(KafkaLink(brokers_of(kafka.url)), partitions=24)
    await there.open()
    await copy(old, there)
    assert await histories(there) == await histories(old)
    back = SqliteLog(tmp_path / "back" / "log.db", partitions=48)
    await copy(there, back)
    assert await histories(back) == await histories(old)
    await places_are_true(back, await places_are_true(old))
    await back.close()
    await there.close()


KEYS = st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"_system"])


@given(st.lists(KEYS, max_size=60), st.integers(1, 4), st.integers(1, 4))
def test_places_of_one_key_stay_in_their_order(records: list[bytes], old: int, times: int) -> None:
    splits = [Split(partition, old, old * times, partition_of) for partition in range(old)]
    counts, dealt = [0] * old, [0] * (old * times)
    expected: dict[bytes, list[tuple[int, int]]] = defaultdict(list)  # key -> (old offset, new offset)
    for key in records:
        home = partition_of(key, old)
        there = splits[home].add(counts[home], key, b"x")
        assert there == partition_of(key, old * times)
        assert there in splits[home].shares
        expected[key].append((counts[home], dealt[there]))
        counts[home] += 1
        dealt[there] += 1
    for key, rows in expected.items():
        split = splits[partition_of(key, old)]
        assert [split.new_offset(offset, key) for offset, _ in rows] == [now for _, now in rows]
        assert split.new_offset(-1, key) == -1
        with pytest.raises(UnknownPosition):
            split.new_offset(counts[partition_of(key, old)], key)
