"""Replay: the rebuilt files equal the live ones, whatever happened, and are swapped in while readers look on."""

import asyncio
from pathlib import Path

import pytest

from schemas.envelope import NewerVersion
from streams.generations import Generation, current, series_path
from streams.replay import ReplayFailed, replay
from streams.series.sqlite import SqliteSeries
from streams.topics import JOURNAL
from tests.contract.serving import NOW_MS, Served, serving


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


async def test_the_rebuilt_series_has_the_digest_of_the_live_one(tmp_path: Path) -> None:
    async with serving(tmp_path) as iv3:
        await live(iv3)
        before = await iv3.where.series.digest()
        report = await replay(iv3.log, tmp_path)
        assert current(tmp_path) == Generation(2, 2)
        fresh = SqliteSeries(series_path(tmp_path, 2), iv3.log.log_id)
        assert await fresh.digest() == before
        await fresh.close()
        assert {row.kind for row in before} >= {"readings", "entries", "forecasts"}
        assert (report.readings, report.entries) == (288, 10)


async def test_it_may_run_while_events_arrive(tmp_path: Path) -> None:
    async with serving(tmp_path) as iv3:
        await live(iv3)
        phone = await iv3.token("uploader", "another phone")

        async def more() -> None:
            for n in range(20):
                items = [{"time": NOW_MS - 90_000_000 - n * 300_000, "glucose_mgdl": 100}]
                await iv3.ask("POST", "/v1/readings", token=phone, json={"items": items})

        await asyncio.gather(replay(iv3.log, tmp_path), more())
        await iv3.settled()
        await replay(iv3.log, tmp_path)
        fresh = SqliteSeries(series_path(tmp_path, 3), iv3.log.log_id)
        assert await fresh.digest() == await iv3.where.series.digest()
        await fresh.close()
        assert not series_path(tmp_path, 2).exists()


async def test_garbage_is_left_out_and_a_newer_release_stops_it_with_the_old_files_serving(tmp_path: Path) -> None:
    async with serving(tmp_path) as iv3:
        await live(iv3)
        await iv3.log.append(JOURNAL, "me", [b"\xff garbage"])
        assert (await replay(iv3.log, tmp_path)).left_out == 1
        await iv3.log.append(JOURNAL, "me", [b'{"type":"iv3.reading.v7"}'])
        with pytest.raises((NewerVersion, ReplayFailed), match="upgrade"):
            await replay(iv3.log, tmp_path)
        assert current(tmp_path) == Generation(2, 2)
        assert not series_path(tmp_path, 3).exists()


async def test_what_an_interrupted_replay_left_is_cleared_away(tmp_path: Path) -> None:
    async with serving(tmp_path) as iv3:
        await live(iv3)
        series_path(tmp_path, 2).write_bytes(b"half a file")
        await replay(iv3.log, tmp_path)
        assert current(tmp_path) == Generation(2, 2)
