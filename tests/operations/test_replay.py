"""Replay: what is rebuilt equals what was live, whatever happened, and is swapped in while readers look on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.envelope import NewerVersion, encode, make
from schemas.facts import GlucoseRead
from schemas.model import at_ms
from streams.adapters.series.sqlite.store import SqliteStore
from streams.errors import SeriesUnavailable
from streams.ports.series import SeriesStore
from streams.storage.versions import current
from streams.topics import JOURNAL
from streams.views.replay import ReplayFailed, replay
from tests.support.serving import NOW_MS, Served, serving
from tests.support.stores import influx_store, influxdb


@pytest.fixture(params=["sqlite", influxdb])
async def iv3(request: Any, tmp_path: Path) -> AsyncIterator[Served]:
    store_of: Callable[[Path, str], SeriesStore] = SqliteStore
    if request.param == "influxdb":
        influx = request.getfixturevalue("influx")
        store_of = lambda _, log_id: influx_store(influx, log_id)  # noqa: E731 - it is chosen here
    async with serving(tmp_path, store_of) as served:
        yield served


async def digest_of(iv3: Served) -> list[Any]:
    """Of the version that serves now."""
    series = await iv3.store.open(await iv3.store.serving())
    found = await series.digest()
    await series.close()
    return found


async def live(iv3: Served) -> None:
    """A day with everything in it."""
    owner = await iv3.token("owner")
    phone = await iv3.token("uploader", "phone")
    items = [{"time": NOW_MS - n * 300_000, "glucose_mgdl": 60 + n % 120} for n in reversed(range(288))]
    await iv3.ask("POST", "/v1/readings", token=phone, json={"items": items})
    for n in range(10):
        body = {
            "kind": "insulin",
            "units": 1 + n,
            "insulin": "Humalog",
            "time": NOW_MS - n * 3_600_000,
            "confirm": True,
        }
        _, made = await iv3.ask("POST", "/v1/entries", token=owner, json=body, headers={"Idempotency-Key": f"k{n}"})
        path = f"/v1/entries/{made['id']}"
        if n % 2:
            await iv3.ask("PATCH", path, token=owner, json={"revision": 1, "units": 20, "confirm": True})
        if n % 3 == 0:
            await iv3.ask("DELETE", path, token=owner)
        if n == 6:
            await iv3.ask("POST", path + "/undo", token=owner, json={})
    await iv3.settled()


async def test_the_rebuilt_series_has_the_digest_of_the_live_one(iv3: Served, tmp_path: Path) -> None:
    await live(iv3)
    before = await iv3.context.series.adapter.digest()
    report = await replay(iv3.log, tmp_path, iv3.store)
    assert (report.series, current(tmp_path).catalog) == (2, 2)
    assert (await iv3.store.serving()).number == 2
    assert await digest_of(iv3) == before
    assert {row.kind for row in before} >= {"readings", "entries", "forecasts"}
    assert (report.readings, report.entries, report.changed) == (288, 10, ())


async def test_it_may_run_while_events_arrive(iv3: Served, tmp_path: Path) -> None:
    await live(iv3)
    phone = await iv3.token("uploader", "another phone")

    async def more() -> None:
        for n in range(20):
            items = [{"time": NOW_MS - 90_000_000 - n * 300_000, "glucose_mgdl": 100}]
            await iv3.ask("POST", "/v1/readings", token=phone, json={"items": items})

    first = await iv3.store.serving()
    await asyncio.gather(replay(iv3.log, tmp_path, iv3.store), more())
    second = await iv3.store.serving()
    await iv3.context.series.swap(await iv3.store.open(second))
    iv3.roles[0].begin_again("a replay made another version")
    await asyncio.sleep(0.3)
    await iv3.settled()
    before = await iv3.context.series.adapter.digest()
    await replay(iv3.log, tmp_path, iv3.store)
    assert await digest_of(iv3) == before
    assert (first.number, second.number, (await iv3.store.serving()).number) == (1, 2, 3)


async def test_garbage_is_left_out_and_a_newer_release_stops_it_with_the_old_serving(
    iv3: Served, tmp_path: Path
) -> None:
    await live(iv3)
    await iv3.log.append(JOURNAL, "me", [b"\xff garbage"])
    assert (await replay(iv3.log, tmp_path, iv3.store)).left_out == 1
    await iv3.log.append(JOURNAL, "me", [b'{"type":"iv3.reading.v7"}'])
    with pytest.raises((NewerVersion, ReplayFailed), match="upgrade"):
        await replay(iv3.log, tmp_path, iv3.store)
    assert ((await iv3.store.serving()).number, current(tmp_path).catalog) == (2, 2)
    version, series = await iv3.store.make()
    assert version.number == 3
    await series.close()


async def test_what_the_projector_gave_up_is_left_out_of_a_replay_too(iv3: Served, tmp_path: Path) -> None:
    await live(iv3)
    at = at_ms(NOW_MS)
    odd = make(GlucoseRead(glucose_mgdl=99.0), id="odd", source="s", subject="you", time=at, recordedtime=at)
    await iv3.log.append(JOURNAL, "me", [encode(odd)])  # under another's key, which the projector refuses
    await iv3.settled()
    assert iv3.roles[0].progress.dead_letters == 1
    report = await replay(iv3.log, tmp_path, iv3.store)
    assert (report.left_out, report.readings) == (1, 288)


async def test_what_an_interrupted_replay_left_is_cleared_away(iv3: Served, tmp_path: Path) -> None:
    await live(iv3)
    _, half = await iv3.store.make()
    await half.take([], {(JOURNAL, 0): 5})
    await half.settle()
    await half.close()
    assert (await replay(iv3.log, tmp_path, iv3.store)).series == 2
    assert current(tmp_path).catalog == 2


@pytest.mark.servers
async def test_a_series_whose_data_were_deleted_comes_back_with_the_same_digest(influx: Any, tmp_path: Path) -> None:
    async with serving(tmp_path, lambda _, log_id: influx_store(influx, log_id)) as iv3:
        await live(iv3)
        before = await iv3.context.series.adapter.digest()
        span = {"start": "1970-02-01T00:00:00Z", "stop": "2100-01-01T00:00:00Z", "predicate": '_measurement="readings"'}
        influx.ask("POST", f"/api/v2/delete?bucket=iv3_v1&orgID={influx.org_id}", span)
        assert await iv3.context.series.adapter.digest() != before
        report = await replay(iv3.log, tmp_path, iv3.store)
        assert report.changed
        assert await digest_of(iv3) == before
        influx.delete_bucket("iv3_v2")
        with pytest.raises(SeriesUnavailable):
            await digest_of(iv3)
        await replay(iv3.log, tmp_path, iv3.store)
        assert await digest_of(iv3) == before


@pytest.mark.servers
async def test_whoever_asks_for_the_name_while_versions_change_is_answered_by_one_or_the_other(
    influx: Any, tmp_path: Path
) -> None:
    async with serving(tmp_path, lambda _, log_id: influx_store(influx, log_id)) as iv3:
        await live(iv3)
        over, asked = asyncio.Event(), 0

        def count() -> int:
            (series,) = influx.query("iv3", "SELECT count(glucose_mgdl) FROM readings")
            return int(series["values"][0][1])

        async def look_on() -> None:
            nonlocal asked
            while not over.is_set():
                assert await asyncio.to_thread(count) == 288
                assert len(await iv3.context.series.readings("me", 0, 2**50, 1000)) == 288
                asked += 1

        async def change() -> None:
            for _ in range(5):
                before = await iv3.store.serving()
                rebuilt = asyncio.ensure_future(replay(iv3.log, tmp_path, iv3.store))
                while not rebuilt.done():  # as a running `iv3 up` follows
                    now = await iv3.store.serving()
                    if now != before:
                        await iv3.context.series.swap(await iv3.store.open(now))
                        before = now
                    await asyncio.sleep(0.01)
                await rebuilt
            over.set()

        await asyncio.gather(change(), look_on(), look_on())
        assert (await iv3.store.serving()).number == 6
        assert asked > 20
        assert sorted(name for name in influx.buckets() if name.startswith("iv3")) == ["iv3_v6"]
