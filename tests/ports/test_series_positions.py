"""Positions, logs and versions of a series: what it says it holds is what it holds."""

from typing import Any

import pytest

from processors.projection import Change, PutEntry
from schemas.model import Partition
from streams.errors import SeriesUnavailable
from streams.ports.series import Series
from tests.support.stores import (
    HERE,
    T0,
    Stores,
    alert,
    all_readings,
    dose,
    forecast,
    influx_store,
    put,
    reading,
)


async def test_the_position_never_goes_back(series: Series) -> None:
    other: Partition = ("iv3.alerts", 11)
    await series.apply([reading(T0, 100)], {HERE: 10, other: 5})
    await series.apply([reading(T0 + 300_000, 100)], {HERE: 7})
    assert dict(await series.position()) == {HERE: 10, other: 5}
    await series.apply([], {("iv3.forecasts", n): 2**40 + n for n in range(12)} | {HERE: 11})
    assert len(await series.position()) == 14
    assert (await series.position())[HERE] == 11
    assert (await series.position())["iv3.forecasts", 11] == 2**40 + 11


async def test_applying_again_changes_nothing(series: Series) -> None:
    batch: list[Change] = [reading(T0, 100), PutEntry(dose("d", T0)), forecast(T0, "r"), alert(T0, "k")]
    await series.apply(batch, {HERE: 4})
    before = await series.digest()
    await series.apply(batch, {HERE: 4})
    await series.apply(batch, {HERE: 5})
    assert await series.digest() == before
    assert [row.rows for row in before] == [1, 1, 1, 1]


async def test_the_series_of_another_log_is_not_ours(stores: Stores) -> None:
    mine = await stores.series("log-1")
    await put(mine, reading(T0, 100), head=1)
    theirs = await stores.series("log-2")
    assert dict(await theirs.position()) == {}
    assert await theirs.digest() == []
    await mine.close()
    await theirs.close()


@pytest.mark.servers
async def test_two_logs_under_one_name_never_use_or_delete_each_others_and_come_back_to_their_own(influx: Any) -> None:
    mine, theirs = influx_store(influx, "log-1"), influx_store(influx, "log-2")
    first = await mine.ready()
    await put(await mine.open(first), reading(T0, 100), head=1)
    other = await theirs.ready()
    assert other.number == 2
    with pytest.raises(SeriesUnavailable, match="another iv3 uses the database name iv3"):
        await mine.ready(first)
    with pytest.raises(SeriesUnavailable, match="of another log"):
        await mine.serving()
    assert await theirs.serving() == other
    assert await mine.ready() == first, "at a start it takes the name back, and its own bucket"
    assert dict(await (await mine.open(first)).position()) == {HERE: 1}
    version, fresh = await theirs.make()
    await fresh.close()
    await theirs.serve(version)
    await theirs.remove(first)
    assert {name for name in influx.buckets() if name.startswith("iv3")} == {"iv3_v1", "iv3_v2", "iv3_v3"}
    await theirs.make()
    assert {name for name in influx.buckets() if name.startswith("iv3")} == {"iv3_v1", "iv3_v3", "iv3_v4"}
    for store in (mine, theirs):
        await store.close()


@pytest.mark.servers
async def test_a_bucket_that_nobody_stamped_is_taken_only_if_it_is_empty(influx: Any) -> None:
    for name in ("a_v1", "b_v1"):
        influx.ask("POST", "/api/v2/buckets", {"orgID": influx.org_id, "name": name, "retentionRules": []})
    influx.ask("POST", f"/api/v2/write?bucket=b_v1&org={influx.org}", b"somebody elses=1")
    for name, number in (("a", 1), ("b", 2)):
        store = influx_store(influx, "log-1", name)
        assert (await store.ready()).number == number
        await store.close()
    (series,) = influx.query("b_v1", "SELECT elses FROM somebody")
    assert len(series["values"]) == 1


async def test_opened_again_it_is_where_it_was(stores: Stores) -> None:
    first = await stores.series()
    await put(first, reading(T0, 100), head=1)
    await first.close()
    again = await stores.series()
    assert dict(await again.position()) == {HERE: 1}
    assert len(await all_readings(again)) == 1
    await again.close()


async def test_a_version_is_made_beside_the_one_that_serves_and_takes_its_place(stores: Stores) -> None:
    store = stores.store()
    first = await store.ready()
    old = await store.open(first)
    await put(old, reading(T0, 100), head=1)
    second, fresh = await store.make()
    assert second.number == first.number + 1
    assert dict(await fresh.position()) == {}
    await fresh.take([reading(T0, 100), reading(T0 + 300_000, 90)], {HERE: 2})
    await fresh.settle()
    assert await store.serving() == first
    assert (await fresh.counts())["readings"] == 2
    await fresh.close()
    await store.serve(second)
    assert await store.serving() == second
    await old.close()
    await store.remove(first)
    opened = await store.open(second)
    assert dict(await opened.position()) == {HERE: 2}
    await opened.close()


async def test_what_an_interrupted_replay_left_is_made_anew(stores: Stores) -> None:
    store = stores.store()
    await store.ready()
    half, fresh = await store.make()
    await fresh.take([reading(T0, 100)], {HERE: 1})
    await fresh.settle()
    await fresh.close()
    again, fresh = await store.make()
    assert again.number == half.number
    assert dict(await fresh.position()) == {}
    assert await fresh.digest() == []
    await fresh.close()
