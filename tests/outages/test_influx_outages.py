"""The projector against an InfluxDB that is down, killed, frozen, overrun, closed, emptied or spoiled: no point is
lost, none counts twice, and alarms are decided all the while.
"""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from iv3.assembly.series import ServedSeries, follow_series
from schemas.bookkeeping import RecordDeadLettered
from schemas.envelope import Garbage, decode, encode, make
from schemas.facts import CarbsEaten, Entry, EntryCorrected, GlucoseRead, InsulinTaken
from schemas.identity import reading_id
from schemas.model import at_ms
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.adapters.series.influx.server import InfluxServer
from streams.adapters.series.influx.store import InfluxStore
from streams.adapters.series.sqlite.series import SqliteSeries
from streams.clock import SystemClock
from streams.ports.clock import Clock
from streams.ports.log import Position, append_events
from streams.ports.series import DigestRow
from streams.roles.alerter import Alerter
from streams.roles.projector import Projector
from streams.runtime.dead_letters import given_up
from streams.runtime.role import Role
from streams.runtime.supervision import Supervision
from streams.topics import ALERTS, DEAD_LETTERS, FORECASTS, JOURNAL
from streams.views.replay import replay
from streams.views.rows import apply_records
from streams.views.serving_series import ServingSeries
from tests.servers.influx import Influx
from tests.servers.proxy import FaultProxy
from tests.support.running import app_maker, caught_up, until

pytestmark = pytest.mark.servers
DAY_MS = 86_400_000


def now_ms() -> int:
    return int(time.time() * 1000)


class World:
    """A log, a projector that writes to InfluxDB, an alerter, and somebody who goes on living."""

    def __init__(self, log: SqliteLog, influx: Influx, folder: Path) -> None:
        self.log, self.influx, self.folder = log, influx, folder
        self.numbers = itertools.count(1)
        self.began_ms = now_ms() // DAY_MS * DAY_MS - DAY_MS  # a whole day lies in one shard, whatever day it is
        self.clock: Clock = SystemClock()
        self.projector: Projector
        self.others: list[Role] = []
        self.store: InfluxStore
        self.series: ServingSeries

    def roles(self, make_app: Callable[[str], Any]) -> list[Role]:
        """Those beside the projector."""
        return [Alerter(self.log, self.clock, make_app)]

    @asynccontextmanager
    async def projecting(self, *, url: str = "", token: str = "", timeout_s: float = 2.0) -> AsyncIterator[None]:
        """Roles and the follower of versions, as `iv3 up` runs them."""
        server = InfluxServer(
            url=url or self.influx.url,
            token=SecretStr(token or self.influx.token),
            org=self.influx.org,
            timeout_s=timeout_s,
        )
        self.store = InfluxStore(server, "iv3", self.log.log_id, look_s=0.1)
        self.series = ServingSeries(None)
        make_app = app_maker(self.log)
        self.projector = Projector(self.log, self.clock, make_app, lambda: self.series.adapter)
        self.others = self.roles(make_app)
        roles = [self.projector, *self.others]
        stopping = asyncio.Event()
        tasks = [asyncio.ensure_future(Supervision(role).run(stopping)) for role in roles]
        tasks.append(
            asyncio.ensure_future(
                follow_series(ServedSeries(self.store, self.series, None), [self.projector])(stopping)
            )
        )
        try:
            await until(lambda: all(role.state == "running" for role in self.others))
            yield
        finally:
            stopping.set()
            await asyncio.gather(*tasks)
            await self.series.close()
            await self.store.close()

    async def live(self, count: int = 60, pace_s: float = 0.0) -> None:
        """Readings, doses, and corrections that move them; some records twice, as a retry of an append leaves them."""
        for _ in range(count):
            await asyncio.sleep(pace_s)
            n = next(self.numbers)
            at = self.began_ms + n * 60_000
            value = 120.0 + n % 40
            reading = make(
                GlucoseRead(glucose_mgdl=value, trend="Flat"),
                id=reading_id("s", "a", at, value, "Flat"),
                source="s",
                subject="me",
                time=at_ms(at),
                recordedtime=at_ms(at),
            )
            await self.log.append(JOURNAL, "me", [encode(reading)] * (1 + (n % 10 == 0)))
            if n % 5 == 0:
                name = f"dose {n}"
                dose = InsulinTaken(units=1.5, insulin="Humalog")
                made = make(dose, id=name, source="api", subject="me", time=at_ms(at), recordedtime=at_ms(at))
                moved = EntryCorrected(
                    entry_id=name,
                    revision=2,
                    entry=Entry(type=CarbsEaten.TYPE, time=at_ms(at + 5000), data={"grams": 9.5}),
                )
                change = make(
                    moved, id=f"change {n}", source="api", subject="me", time=at_ms(at), recordedtime=at_ms(at)
                )
                await append_events(self.log, JOURNAL, [made, change] if n % 2 else [made])

    async def somebody_goes_low(self) -> None:
        """An alarm is decided for them within seconds, whatever InfluxDB does."""
        person = f"person{next(self.numbers)}"
        moment = at_ms(now_ms())
        low = make(
            GlucoseRead(glucose_mgdl=60.0, trend="Flat"),
            id=f"low of {person}",
            source="s",
            subject=person,
            time=moment,
            recordedtime=moment,
        )
        (at,) = await append_events(self.log, JOURNAL, [low])

        async def opened() -> bool:
            records = await self.log.read(ALERTS, at.partition, 0, None, 10_000)
            return any(b'"opened"' in (r.value or b"") and r.key == person.encode() for r in records)

        async with asyncio.timeout(5):
            while not await opened():
                await asyncio.sleep(0.02)

    async def settled(self, within_s: float = 30.0) -> None:
        await caught_up([self.projector], within_s)

    async def expected(self) -> list[DigestRow]:
        """The digest of an SQLite series that was made from the same log in one go."""
        path = self.folder / f"expected-{next(self.numbers)}.db"
        series = SqliteSeries(path, self.log.log_id)
        skipped = await given_up(self.log, "projector")
        for topic in (JOURNAL, FORECASTS, ALERTS):
            for partition in range(self.log.partitions[topic]):
                pairs = []
                for record in await self.log.read(topic, partition, 0, None, 100_000):
                    if Position(*record[:3]) in skipped:
                        continue
                    try:
                        pairs.append((record, decode(record.value)))
                    except Garbage:
                        continue
                await apply_records(series, pairs)
        found = await series.digest()
        await series.close()
        return found

    def has_readings(self) -> bool:
        """Whether InfluxDB has any; while the bucket is away there is no database of the name either."""
        try:
            return bool(self.influx.query("iv3", "SELECT first(glucose_mgdl) FROM readings"))
        except ValueError:
            return False

    async def nothing_is_lost(self) -> None:
        await self.settled()
        assert await self.series.adapter.digest() == await self.expected()
        assert sum(row.rows for row in await self.series.adapter.digest() if row.kind == "readings") > 100


@pytest.fixture
async def world(log: SqliteLog, influx: Influx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("streams.runtime.backoff.LONGEST_DELAY_S", 0.3)
    return World(log, influx, tmp_path)


# -- the server ------------------------------------------------------------------------------------


async def test_a_server_that_is_down_is_waited_for(world: World) -> None:
    async with world.projecting():
        await world.live()
        await world.settled()
        world.influx.stop()
        await world.live()
        await world.somebody_goes_low()
        await until(lambda: "could not be reached" in world.projector.progress.failing)
        await world.live()
        world.influx.start()
        await world.nothing_is_lost()
        assert world.projector.progress.restarts == 0
        assert world.projector.progress.dead_letters == 0


async def test_a_server_that_is_down_at_the_start_keeps_nobody_from_being_told(world: World) -> None:
    world.influx.stop()
    async with world.projecting():
        await world.live(120)
        await world.somebody_goes_low()
        assert world.projector.state != "running"
        world.influx.start()
        await world.nothing_is_lost()


async def test_a_server_that_is_killed_while_it_is_written_to_loses_nothing(world: World) -> None:
    async with world.projecting():
        for pause_s in (0.05, 0.2, 0.4, 0.1):
            living = asyncio.ensure_future(world.live(200, 0.003))
            await asyncio.sleep(pause_s)
            world.influx.kill()
            await world.somebody_goes_low()
            world.influx.start()  # in this thread: the server dies with the one that starts it
            await living
        await world.nothing_is_lost()


async def test_a_server_that_is_frozen_is_not_waited_for_longer_than_a_request_may_take(world: World) -> None:
    async with world.projecting(timeout_s=0.4):
        await world.live()
        await world.settled()
        world.influx.freeze()
        try:
            await world.live()
            await world.somebody_goes_low()
            await until(lambda: "did not answer within 0.4 s" in world.projector.progress.failing)
            await asyncio.sleep(2)
        finally:
            world.influx.thaw()
        await world.live()
        await world.nothing_is_lost()


# -- what it says ----------------------------------------------------------------------------------


async def test_a_wrong_token_is_named_and_everything_comes_in_once_it_is_right(world: World) -> None:
    async with world.projecting(token="wrong"):
        await world.live(120)
        await world.somebody_goes_low()
        await until(lambda: "influxdb.token" in world.series.why)
        assert "wrong" not in world.series.why.replace("is wrong", "")
    async with world.projecting():
        await world.nothing_is_lost()


async def test_a_token_that_is_taken_away_while_it_is_used_is_named(world: World) -> None:
    permissions = [{"action": action, "resource": {"type": "buckets"}} for action in ("read", "write")]
    permissions += [
        {"action": action, "resource": {"type": kind}} for kind in ("orgs", "dbrp") for action in ("read", "write")
    ]
    made = world.influx.ask(
        "POST", "/api/v2/authorizations", {"orgID": world.influx.org_id, "permissions": permissions}
    )
    async with world.projecting(token=made["token"]):
        await world.live()
        await world.settled()
        world.influx.ask("DELETE", f"/api/v2/authorizations/{made['id']}")
        await world.live()
        await until(lambda: "influxdb.token" in world.projector.progress.failing)
        await world.somebody_goes_low()
        assert world.projector.progress.dead_letters == 0
    async with world.projecting():
        await world.nothing_is_lost()


async def test_a_token_that_may_only_read_is_told_what_it_lacks(world: World) -> None:
    async with world.projecting():
        await world.live()
        await world.settled()
    permissions = [{"action": "read", "resource": {"type": kind}} for kind in ("buckets", "orgs", "dbrp")]
    made = world.influx.ask(
        "POST", "/api/v2/authorizations", {"orgID": world.influx.org_id, "permissions": permissions}
    )
    async with world.projecting(token=made["token"]):
        await world.live()
        await until(lambda: "read and write buckets" in world.projector.progress.failing)
        await world.somebody_goes_low()
    async with world.projecting():
        await world.nothing_is_lost()


async def test_a_bucket_that_somebody_deletes_is_made_anew_from_the_log(world: World) -> None:
    async with world.projecting():
        await world.live(120)
        await world.settled()
        world.influx.delete_bucket("iv3_v1")
        await world.live()
        await world.somebody_goes_low()
        await until(world.has_readings, within_s=20)
        await world.nothing_is_lost()


async def test_a_bucket_that_somebody_made_of_the_same_name_is_not_taken_for_the_old_one(world: World) -> None:
    async with world.projecting():
        await world.live(120)
        await world.settled()
        world.influx.delete_bucket("iv3_v1")
        world.influx.ask(
            "POST", "/api/v2/buckets", {"orgID": world.influx.org_id, "name": "iv3_v1", "retentionRules": []}
        )
        await world.live()
        await asyncio.sleep(1)
        await world.nothing_is_lost()


async def test_where_another_program_wrote_another_type_it_says_so_waits_and_a_replay_puts_it_right(
    world: World,
) -> None:
    async with world.projecting():
        await until(lambda: world.projector.state == "running")
        spoiled = f"readings,person=x,source=y glucose_mgdl=5i {world.began_ms + 3_600_000}000000"
        world.influx.ask("POST", f"/api/v2/write?bucket=iv3_v1&org={world.influx.org}&precision=ns", spoiled.encode())
        await world.live(120)
        await until(lambda: "iv3 replay" in world.projector.progress.failing)
        assert "field type conflict" in world.projector.progress.failing
        await world.somebody_goes_low()
        assert world.projector.progress.dead_letters == 0
        await replay(world.log, world.folder, world.store)
        await world.nothing_is_lost()


@pytest.mark.parametrize("retention", [3600 * 24])
async def test_a_bucket_that_forgets_is_not_used(world: World, retention: int) -> None:
    rules = [{"type": "expire", "everySeconds": retention}]
    world.influx.ask(
        "POST", "/api/v2/buckets", {"orgID": world.influx.org_id, "name": "iv3_v1", "retentionRules": rules}
    )
    async with world.projecting():
        await world.live(120)
        await until(lambda: "forgets after 1 days" in world.series.why)
        await world.somebody_goes_low()
        world.influx.delete_bucket("iv3_v1")
        await world.nothing_is_lost()


async def test_a_record_that_influxdb_can_never_hold_is_given_up_with_its_words_and_the_others_land(
    world: World,
) -> None:
    late = at_ms(16_725_225_600_000)  # the year 2500: nanoseconds end in 2262
    odd = make(GlucoseRead(glucose_mgdl=99.0), id="odd", source="s", subject="me", time=late, recordedtime=late)
    async with world.projecting():
        await world.live(60)
        await append_events(world.log, JOURNAL, [odd])
        await world.live(60)
        await world.nothing_is_lost()
        assert world.projector.progress.dead_letters == 1
    letters = [
        decode(record.value).data
        for partition in range(world.log.partitions[DEAD_LETTERS])
        for record in await world.log.read(DEAD_LETTERS, partition, 0)
    ]
    (letter,) = letters
    assert isinstance(letter, RecordDeadLettered)
    assert "unable to parse" in letter.reason
    async with world.projecting():
        await until(lambda: world.projector.state == "running")
        report = await replay(world.log, world.folder, world.store)
    assert report.left_out == 1


# -- the line --------------------------------------------------------------------------------------

Trouble = Callable[[FaultProxy], None]
TROUBLES: dict[str, Trouble] = {
    "503": lambda p: p.refuse(503, 8, body=b'{"code":"unavailable","message":"shutting down"}'),
    "a proxy's 502": lambda p: p.refuse(502, 8, body=b"<html>bad gateway"),
    "a proxy's 400": lambda p: p.refuse(400, 8, body=b"<html>plain HTTP to an HTTPS port"),
    "a proxy's 413": lambda p: p.refuse(413, 8, body=b"<html>too large"),
    "a log-in page": lambda p: p.refuse(200, 8, body=b"<html>welcome to the hotel"),
    "resets": lambda p: p.cut(8),
    "lost answers": lambda p: p.lose_answers(12),
    "lost answers to writes": lambda p: p.faults.extend([*_lost_writes()]),
    "silence": lambda p: p.say_nothing(3, 1.0),
}


def _lost_writes() -> list[Any]:
    from tests.servers.proxy import Fault

    return [Fault(10, reaches=True, hits=lambda line: "/write" in line)]


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
async def test_what_a_bad_line_swallows_is_written_again_and_counts_once(world: World, trouble: Trouble) -> None:
    async with FaultProxy(world.influx.url) as proxy, world.projecting(url=proxy.url, timeout_s=0.5):
        await world.live(60)
        await world.settled()
        trouble(proxy)
        await world.live(60)
        await world.somebody_goes_low()
        await until(lambda: not any(fault.times for fault in proxy.faults), within_s=20)
        await world.nothing_is_lost()
        assert world.projector.progress.dead_letters == 0
        assert world.projector.progress.restarts == 0


async def test_a_server_that_asks_to_be_left_alone_is_left_alone_for_as_long(world: World) -> None:
    async with FaultProxy(world.influx.url) as proxy, world.projecting(url=proxy.url):
        await world.live(60)
        await world.settled()
        body = json.dumps({"code": "too many requests", "message": "slow down"}).encode()
        proxy.refuse(429, 2, {"Retry-After": "1"}, body, hits=lambda line: "/write" in line)
        seen = len(proxy.seen)
        await world.live(60)
        await until(lambda: "1 s" in world.projector.progress.failing)
        assert "slow down" in world.projector.progress.failing
        await world.nothing_is_lost()
        writes = [s for s in proxy.seen[seen:] if "/write" in s.line]
        refused = [s for s in writes if not s.passed]
        assert len(refused) == 2
        assert all(later.at - s.at >= 0.95 for s, later in itertools.pairwise(writes) if not s.passed)


async def test_a_day_away_is_caught_up_within_a_minute(world: World) -> None:
    async with FaultProxy(world.influx.url) as proxy, world.projecting(url=proxy.url):
        await world.live(60)
        await world.settled()
        proxy.cut(10_000)
        day = []
        for n in range(288):
            at = at_ms(world.began_ms + n * 300_000 + 7)
            data = GlucoseRead(glucose_mgdl=100.0 + n % 50)
            day.append(make(data, id=f"day {n}", source="t", subject="me", time=at, recordedtime=at))
        await append_events(world.log, JOURNAL, day)
        await until(lambda: bool(world.projector.progress.failing))
        proxy.faults.clear()
        began = asyncio.get_running_loop().time()
        await world.nothing_is_lost()
        assert asyncio.get_running_loop().time() - began < 60
