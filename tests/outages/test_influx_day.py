"""Twenty-four hours in which InfluxDB fails in every way it can, hour after hour: each low is told on time, and at the
end nothing is missing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.envelope import make
from schemas.facts import GlucoseRead, InsulinTaken
from schemas.identity import reading_id
from schemas.model import at_ms
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.delivery.channels import Channels
from streams.ports.log import append_events
from streams.roles.alerter import Alerter
from streams.roles.forecaster import Forecaster
from streams.roles.notifier import AlarmNotifier
from streams.runtime.role import Role
from streams.topics import JOURNAL
from streams.views.replay import replay
from tests.servers.influx import Influx
from tests.servers.proxy import FaultProxy
from tests.support.clock import SetClock
from tests.support.phone import Phone
from tests.support.projected import World
from tests.support.running import caught_up, until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

MIN = 60_000
# a Sunday, 04:00 UTC: with Monday InfluxDB begins another shard, in which another program may be the first to write
BEGAN_MS = 1_795_924_800_000
ON_TIME_S = 2.0  # from the append to the phone, with the series away
HOUR = (120, 100, 84, 66, 58, 52, 60, 78, 92, 105, 118, 124)  # a low, an urgent low, and their end


class Day(World):
    """Somebody whose every hour has a low in it, with all roles that tell of it."""

    def __init__(self, log: SqliteLog, influx: Influx, folder: Path, phone: Phone) -> None:
        super().__init__(log, influx, folder)
        self.began_ms = BEGAN_MS
        self.clock = self.set_clock = SetClock(self.began_ms)
        self.phone, self.hour = phone, 0
        self.waits: list[float] = []
        self.token = ""

    def roles(self, make_app: Callable[[str], Any]) -> list[Role]:
        ways = Channels(targets=(self.phone,))  # type: ignore[arg-type] # what a notifier asks of a phone here
        made = (Forecaster, Alerter)
        return [
            *(kind(self.log, self.clock, make_app) for kind in made),
            AlarmNotifier(self.log, self.clock, make_app, ways),
        ]

    async def an_hour(self) -> None:
        """Twelve readings and a dose; how long the phone waited for each of the two alarms is kept."""
        for number, value in enumerate(HOUR):
            at = self.began_ms + (self.hour * 12 + number) * 5 * MIN
            self.set_clock.set(at + 10_000)
            reading = make(
                GlucoseRead(glucose_mgdl=float(value), trend="Flat"),
                id=reading_id("s", "a", at, value, "Flat"),
                source="s",
                subject="me",
                time=at_ms(at),
                recordedtime=at_ms(at),
            )
            before = len(self.rung("low")) + len(self.rung("urgent-low"))
            began = asyncio.get_running_loop().time()
            await append_events(self.log, JOURNAL, [reading])
            if value in (66, 52):
                await until(lambda known=before: len(self.rung("low")) + len(self.rung("urgent-low")) > known)  # type: ignore[misc] # a default of a lambda
                self.waits.append(asyncio.get_running_loop().time() - began)
            await caught_up(self.others)
            if number == 2:
                dose = InsulinTaken(units=1.5, insulin="Humalog")
                await append_events(
                    self.log,
                    JOURNAL,
                    [make(dose, id=f"dose {at}", source="api", subject="me", time=at_ms(at), recordedtime=at_ms(at))],
                )
        self.hour += 1

    def rung(self, kind: str) -> list[str]:
        """First steps of episodes of a kind that went out."""
        return [name for name in self.phone.sent if name.startswith(f"{kind}-") and name.endswith("-1")]

    async def fails_with(self, *words: str) -> None:
        """The projector says what is the matter."""
        await until(lambda: any(word in self.projector.progress.failing + self.series.why for word in words))


def token_of(influx: Influx) -> Any:
    """A token that may do what iv3 does, and can be switched off."""
    permissions = [
        {"action": action, "resource": {"type": kind}}
        for kind in ("buckets", "orgs", "dbrp")
        for action in ("read", "write")
    ]
    return influx.ask("POST", "/api/v2/authorizations", {"orgID": influx.org_id, "permissions": permissions})


async def test_in_every_hour_of_a_day_of_failures_the_lows_are_told_and_no_point_is_lost(
    log: SqliteLog, influx: Influx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.runtime.backoff.LONGEST_DELAY_S", 0.3)
    day = Day(log, influx, tmp_path, Phone())
    always, token = 1_000_000, token_of(influx)

    async def down() -> None:
        influx.stop()
        await day.an_hour()
        await day.fails_with("broke off")
        await day.an_hour()
        influx.start()

    async def killed() -> None:
        living = asyncio.ensure_future(day.an_hour())
        await asyncio.sleep(0.1)
        influx.kill()
        await living
        await day.fails_with("broke off")
        await day.an_hour()
        influx.start()

    async def frozen() -> None:
        influx.freeze()
        await day.an_hour()
        await day.fails_with("did not answer")
        await day.an_hour()
        influx.thaw()

    async def token_off() -> None:
        influx.ask("PATCH", f"/api/v2/authorizations/{token['id']}", {"status": "inactive"})
        await day.an_hour()
        await day.fails_with("influxdb.token")
        await day.an_hour()
        influx.ask("PATCH", f"/api/v2/authorizations/{token['id']}", {"status": "active"})

    async def bucket_gone() -> None:
        influx.delete_bucket("iv3_v1")
        await day.an_hour()
        await until(day.has_readings, within_s=60)
        await day.an_hour()

    async def spoiled() -> None:
        await day.settled()
        line = f"readings,person=x,source=y glucose_mgdl=5i {BEGAN_MS + 21 * 60 * MIN}000000"
        influx.ask("POST", f"/api/v2/write?bucket=iv3_v1&org={influx.org}&precision=ns", line.encode())
        await day.an_hour()
        await day.fails_with("field type conflict")
        await day.an_hour()

    def line(fault: Callable[[], None]) -> Callable[[], Awaitable[None]]:
        async def for_two_hours() -> None:
            fault()
            await day.an_hour()
            await until(lambda: bool(day.projector.progress.failing))
            await day.an_hour()
            proxy.faults.clear()

        return for_two_hours

    async with (
        FaultProxy(influx.url) as proxy,
        day.projecting(url=proxy.url, token=token["token"], timeout_s=0.5),
    ):
        await day.settled()
        for trouble in (
            down,
            killed,
            frozen,
            line(lambda: proxy.refuse(503, always)),
            line(lambda: proxy.refuse(429, always, {"Retry-After": "1"})),
            line(lambda: proxy.cut(always)),
            line(lambda: proxy.lose_answers(always)),
            line(lambda: proxy.say_nothing(always, 5.0)),
            token_off,
            bucket_gone,
            spoiled,
        ):
            await trouble()
            if trouble is not spoiled:
                await day.settled()
                assert await day.series.adapter.digest() == await day.expected(), trouble.__name__
        await day.an_hour()
        await replay(log, tmp_path, day.store)
        await day.an_hour()
        await day.nothing_is_lost()
        assert day.projector.progress.dead_letters == 0
    rows = [row for row in await day.expected() if row.person == "me"]
    assert sum(row.rows for row in rows if row.kind == "readings") == 288
    assert day.hour == 24
    assert len(day.rung("low")) == len(day.rung("urgent-low")) == 24
    assert max(day.waits) < ON_TIME_S, day.waits
    told = sorted(day.waits)
    slowest, half = f"{max(told) * 1000:.0f} ms", f"{told[len(told) // 2] * 1000:.0f} ms"
    print(
        f"\n{len(told)} alarms, to the phone in {half} (median), {slowest} (slowest); "
        f"{sum(row.rows for row in rows)} rows, 0 lost"
    )
