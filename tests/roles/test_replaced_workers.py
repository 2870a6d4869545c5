"""What a replaced worker still writes: it was stopped between its last question and its write, woken, and its record
lies behind its successor's.
"""

from pathlib import Path

from schemas.alerts import AlertEvent, AlertsDecided, Evidence
from schemas.envelope import Event, make
from schemas.model import at_ms, ms
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.adapters.series.sqlite.store import SqliteStore
from streams.ports.log import append_events
from streams.roles.projector import Projector
from streams.topics import ALERTS
from streams.views.catalog import Catalog
from streams.views.replay import replay
from tests.support.clock import SetClock
from tests.support.running import app_maker, caught_up, running
from tests.support.stores import kept_alerts

T0 = 1_795_500_000_000


def decided(number: int, pos: int, time_ms: int) -> Event:
    at = at_ms(time_ms)
    opened = AlertEvent(
        change="opened",
        episode=f"low-{pos}",
        kind="low",
        step=1,
        priority=5,
        urgency=1,
        at=at,
        evidence=Evidence(glucose_mgdl=60.0, reading_time=at),
    )
    return make(
        AlertsDecided(pos=(pos, 0, 0), events=(opened,)),
        id=f"d{number}",
        source="t",
        subject="me",
        time=at,
        recordedtime=at,
    )


async def test_leaves_no_row_in_the_series_nor_in_the_catalog_nor_in_a_replay(log: SqliteLog, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path, log.log_id)
    series = await store.open(await store.ready())
    for number, (pos, at) in enumerate([(7, T0), (7, T0 + 400), (8, T0 + 900), (7, T0 + 1_000)]):
        await append_events(log, ALERTS, [decided(number, pos, at)])
        projector = Projector(
            log, SetClock(T0), app_maker(log), lambda: series
        )  # a new one each time: it must find out what counted
        async with running(projector):
            await caught_up([projector])
    rows = await kept_alerts(series)
    assert [row[:2] for row in rows] == [(T0, "low-7/1/opened"), (T0 + 900, "low-8/1/opened")]
    catalog = Catalog(log, tmp_path / "catalog-9.db")
    await catalog.catch_up()
    episode = catalog.episode("low-7")
    assert episode is not None
    assert [ms(change.at) for change in episode.changes] == [T0]
    catalog.close()
    before = await series.digest()
    await replay(log, tmp_path, store)
    after = await store.open(await store.serving())
    assert await after.digest() == before
    for one in (series, after):
        await one.close()
    await store.close()
