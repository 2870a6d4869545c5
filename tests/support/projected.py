"""One log, one InfluxDB, and a projector that comes and goes; readings and entries for it to write."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from iv3.assembly.series import ServedSeries, follow_series
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
from streams.topics import ALERTS, FORECASTS, JOURNAL
from streams.views.rows import apply_records
from streams.views.serving_series import ServingSeries
from tests.servers.influx import Influx
from tests.support.running import app_maker, caught_up, until

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

        async with asyncio.timeout(60):
            while not await opened():
                await asyncio.sleep(0.02)

    async def settled(self, within_s: float = 60.0) -> None:
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
