"""The exam of the Series port: whatever holds the points, the same changes give the same answers, rows and digests."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from processors.entries import EntryVersion, evolve_entry
from processors.projection import Change, PutAlert, PutEntry, PutForecast, PutReading, project
from processors.readings import Reading
from schemas.envelope import Event, encode, make
from schemas.facts import (
    CarbsEaten,
    Entry,
    EntryCorrected,
    EntryDeleted,
    EntryRestored,
    ExerciseDone,
    FingerstickTaken,
    GlucoseRead,
    InsulinTaken,
    NoteWritten,
)
from schemas.forecasts import STEPS, ForecastMade
from schemas.identity import reading_id
from schemas.model import Partition, at_ms
from streams.adapters.series.influx.server import InfluxServer
from streams.adapters.series.influx.store import InfluxStore
from streams.adapters.series.sqlite.store import SqliteStore
from streams.errors import SeriesUnavailable
from streams.ports.series import RebuiltSeries, Series, SeriesStore

T0 = 1_795_500_000_000
MIN = 60_000
DAY = 86_400_000
HERE: Partition = ("iv3.journal", 3)
ODD = ["me", 'Ada, Mary="Ann" O\'Neil\\', " a b ", "50 % é\u2028\tx", "日本\n語", "\\", '"', "a=b,c d%20"]

influxdb = pytest.param("influxdb", marks=pytest.mark.servers)


def influx_store(influx: Any, log_id: str, database: str = "iv3", **more: Any) -> InfluxStore:
    server = InfluxServer(url=influx.url, token=SecretStr(influx.token), org=influx.org)
    return InfluxStore(server, database, log_id, look_s=0.05, **more)


@dataclass
class Stores:
    """Makes stores of one kind."""

    kind: str
    folder: Path
    influx: Any
    made: list[SeriesStore] = field(default_factory=list)

    def store(self, log_id: str = "log-1", name: str = "iv3") -> SeriesStore:
        """The store of a log; another name is another place."""
        if self.kind == "sqlite":
            (self.folder / name).mkdir(exist_ok=True)
            store: SeriesStore = SqliteStore(self.folder / name, log_id)
        else:
            store = influx_store(self.influx, log_id, name)
        self.made.append(store)
        return store

    async def series(self, log_id: str = "log-1", name: str = "iv3") -> Series:
        """The series that serves."""
        store = self.store(log_id, name)
        return await store.open(await store.ready())


@pytest.fixture(params=["sqlite", influxdb])
async def stores(request: Any, tmp_path: Path) -> AsyncIterator[Stores]:
    influx = request.getfixturevalue("influx") if request.param == "influxdb" else None
    made = Stores(request.param, tmp_path, influx)
    yield made
    for store in made.made:
        await store.close()


@pytest.fixture
async def series(stores: Stores) -> AsyncIterator[Series]:
    opened = await stores.series()
    yield opened
    await opened.close()


def reading(
    time_ms: int, value: float, source: str = "dexcom-share", person: str = "me", trend: Any = "Flat"
) -> PutReading:
    name = reading_id(source, person, time_ms, value, trend)
    return PutReading(person, Reading(time_ms, value, trend, source, name), time_ms + 5)


def dose(name: str, time_ms: int, units: float = 4.0, person: str = "me", insulin: str = "Humalog") -> EntryVersion:
    return EntryVersion(
        name, person, "insulin", time_ms, 1, False, InsulinTaken(units=units, insulin=insulin), time_ms + 5, "Mum"
    )


def forecast(time_ms: int, based_on: str, text: str = "{}", person: str = "me") -> PutForecast:
    return PutForecast(person, time_ms, based_on, 7, text.encode())


def alert(at: int, key: str, text: str = "{}", person: str = "me") -> PutAlert:
    return PutAlert(person, key, at, text.encode())


async def put(series: Series, *changes: Change, head: int = 0) -> None:
    await series.apply(changes, {HERE: head} if head else {})


async def all_readings(series: Series, person: str = "me") -> list[Reading]:
    return await series.readings(person, T0 - 400 * DAY, T0 + 400 * DAY, 50_000)


# -- readings --------------------------------------------------------------------------------------


async def test_numbers_and_what_is_missing_come_back_as_what_they_were(series: Series) -> None:
    known, none = reading(T0, 110.0), reading(T0 + 5 * MIN, 5.5, trend=None)
    await series.apply([known, none], {HERE: 1})
    found = await series.readings("me", T0, T0 + DAY, 10)
    assert found == [known.reading, none.reading]
    assert [[type(part) for part in row] for row in found] == [
        [int, float, str, str, str],
        [int, float, type(None), str, str],
    ]


async def test_what_was_put_is_read_back_exactly(series: Series) -> None:
    puts = [reading(T0 + n * 300_000, 100 + n / 100, trend=None if n % 2 else "SingleUp") for n in range(50)]
    await put(series, *puts, head=50)
    assert await all_readings(series) == [p.reading for p in puts]
    assert all(isinstance(r.glucose_mgdl, float) for r in await all_readings(series))
    assert await series.readings("me", T0 + 300_000, T0 + 900_000, 10) == [p.reading for p in puts[1:3]]
    assert await series.readings("you", T0, T0 + DAY, 10) == []
    assert dict(await series.position()) == {HERE: 50}


async def test_the_last_of_a_source_and_second_counts_and_a_repeat_brings_nothing_back(series: Series) -> None:
    first, second, third = reading(T0 + 100, 100), reading(T0 + 900, 101), reading(T0 + 100, 102)
    await put(series, first)
    await put(series, second)
    await put(series, first)
    assert await all_readings(series) == [second.reading]
    await put(series, third)
    await put(series, second, first)
    assert await all_readings(series) == [third.reading]
    assert (await series.digest())[0].rows == 1


async def test_so_it_is_within_one_batch(series: Series) -> None:
    first, second = reading(T0, 100), reading(T0, 101)
    await put(series, first, second, first, reading(T0, 103, source="xdrip"))
    assert (await all_readings(series))[0] == second.reading


async def test_a_repeat_that_comes_at_another_millisecond_of_its_second_changes_nothing(series: Series) -> None:
    await put(series, reading(T0 + 100, 100))
    await put(series, reading(T0 + 700, 100))
    assert [r.time_ms for r in await all_readings(series)] == [T0 + 100]


async def test_a_second_source_is_hidden_where_the_first_has_a_reading_near(series: Series) -> None:
    mine = [reading(T0 + n * 300_000, 100) for n in range(10)]
    other = [reading(T0 + n * 300_000 + 40_000, 120, source="xdrip") for n in range(20)]
    await put(series, *other, *mine)
    line = await all_readings(series)
    assert [r.source for r in line] == ["dexcom-share"] * 10 + ["xdrip"] * 10
    assert [r.time_ms for r in line] == sorted(r.time_ms for r in line)
    assert await series.newest_readings("me", 3, T0 + DAY) == line[-3:]
    assert await series.newest_readings("me", 3, line[12].time_ms) == line[9:12]
    for limit in (1, 3, 9, 10, 11, 40):
        assert await series.readings("me", T0, T0 + DAY, limit) == line[:limit]


async def test_the_newest_are_found_however_old_they_are(series: Series) -> None:
    puts = [reading(T0 - n * 100 * DAY, 90 + n) for n in reversed(range(5))]
    await put(series, *puts)
    assert await series.newest_readings("me", 1, T0 + 1) == [puts[-1].reading]
    assert await series.newest_readings("me", 5, T0 + 1) == [p.reading for p in puts]
    assert await series.newest_readings("me", 5, T0 - 399 * DAY) == [puts[0].reading]


async def test_a_long_range_is_read_whole_and_in_order_with_and_without_a_limit(series: Series) -> None:
    puts = [reading(T0 + n * 3_600_000, 60 + n % 200) for n in range(24 * 70)]
    await put(series, *puts[::2])
    await put(series, *puts[1::2])
    line = [p.reading for p in puts]
    assert await all_readings(series) == line
    assert await series.readings("me", T0 - 4000 * DAY, T0 + 4000 * DAY, 50_000) == line
    assert await series.readings("me", T0 + 5 * DAY, T0 + 60 * DAY, 50_000) == line[5 * 24 : 60 * 24]
    for limit in (1, 100, 700):
        assert await series.readings("me", T0, T0 + 70 * DAY, limit) == line[:limit]


@pytest.mark.parametrize("moment", [0, -(2**62), 2**62])
async def test_no_range_is_too_long(series: Series, moment: int) -> None:
    await put(series, reading(T0, 100))
    low, high = min(moment, T0), max(moment, T0 + 1)
    assert len(await series.readings("me", low, high, 10)) == 1
    assert await series.entries("me", low, high, 10) == []
    assert await series.forecasts("me", low, high, 10) == []
    assert await series.alerts("me", low, high, 10) == []


@pytest.mark.parametrize("name", ODD)
async def test_any_name_goes_in_and_out_unchanged(series: Series, name: str) -> None:
    entry = dose(name, T0, person=name, insulin=name)
    await put(series, reading(T0, 100, source=name, person=name), PutEntry(entry))
    await put(series, forecast(T0, name, json.dumps({"n": name}), name), alert(T0, name, json.dumps({"n": name}), name))
    assert (await all_readings(series, name))[0].source == name
    assert await series.entries(name, T0, T0 + 1, 5) == [entry]
    assert (await series.forecasts(name, T0, T0 + 1, 5))[0].based_on == name
    assert (await series.alerts(name, T0, T0 + 1, 5))[0][1:] == (name, json.dumps({"n": name}).encode())
    assert {row.person for row in await series.digest()} == {name}
    moved = entry._replace(time_ms=T0 + 5000, revision=2)
    await put(series, PutEntry(moved))
    assert await series.entries(name, T0 - DAY, T0 + DAY, 5) == [moved]


# -- entries ---------------------------------------------------------------------------------------


async def test_two_doses_of_one_second_stay_two(series: Series) -> None:
    doses = [dose(f"d{n}", T0 + n % 3) for n in range(20)]
    await put(series, *map(PutEntry, doses))
    found = await series.entries("me", T0, T0 + 1000, 100)
    assert found == sorted(doses, key=lambda d: (d.time_ms, d.id))
    assert await series.entries("me", T0 + 1, T0 + 2, 3) == [d for d in found if d.time_ms == T0 + 1][:3]


async def test_a_correction_moves_an_entry_and_a_deletion_keeps_it_marked(series: Series) -> None:
    first = dose("d", T0)
    moved = first._replace(time_ms=T0 + 7_200_000, revision=2, data=InsulinTaken(units=6, insulin="Tresiba"))
    other = moved._replace(kind="carbs", revision=3, data=CarbsEaten(grams=20.0), actor=None)
    deleted = other._replace(revision=4, deleted=True)
    back = other._replace(revision=5, time_ms=T0)
    for version in (first, moved, other, deleted, back):
        await put(series, PutEntry(version), PutEntry(version))
        assert await series.entries("me", T0 - DAY, T0 + DAY, 10) == [version]
        assert await series.entries_by_id(["d", "nobody"]) == {"d": version}
        assert [(row.kind, row.rows) for row in await series.digest()] == [("entries", 1)]


async def test_an_entry_that_goes_away_and_comes_back_in_one_batch_is_there_once(series: Series) -> None:
    first = dose("d", T0)
    await put(series, PutEntry(first))
    away = first._replace(time_ms=T0 + DAY, revision=2)
    back = first._replace(revision=3)
    await put(series, PutEntry(away), PutEntry(back))
    assert await series.entries("me", T0 - DAY, T0 + 2 * DAY, 10) == [back]


async def test_every_kind_of_entry_is_kept(series: Series) -> None:
    facts = {
        "insulin": InsulinTaken(units=0.5, insulin="Humalog", action="rapid", note='"quoted" \\ and,=\n'),
        "carbs": CarbsEaten(grams=12.25),
        "fingerstick": FingerstickTaken(glucose_mgdl=101.5),
        "exercise": ExerciseDone(minutes=30),
        "note": NoteWritten(text="x" * 2000),
    }
    versions = [EntryVersion(k, "me", k, T0 + n, 1, False, f, T0, None) for n, (k, f) in enumerate(facts.items())]
    await put(series, *map(PutEntry, versions))
    assert await series.entries("me", T0, T0 + DAY, 10) == versions
    assert set(await series.entries_by_id(list(facts))) == set(facts)


async def test_of_very_many_in_one_second_the_first_are_the_first(series: Series) -> None:
    doses = [dose(f"d{n:03}", T0 + n % 7) for n in range(300)]
    await put(series, *map(PutEntry, doses))
    ordered = sorted(doses, key=lambda d: (d.time_ms, d.id))
    for limit in (1, 10, 299, 300, 500):
        assert await series.entries("me", T0, T0 + DAY, limit) == ordered[:limit]
    assert await series.entries("me", T0 + 3, T0 + DAY, 10) == [d for d in ordered if d.time_ms >= T0 + 3][:10]


# -- forecasts and alerts --------------------------------------------------------------------------


async def test_the_first_forecast_of_a_reading_stays(series: Series) -> None:
    await put(series, forecast(T0, "r1", '{"n":1}'), forecast(T0, "r1", '{"n":2}'), forecast(T0, "r2", '{"n":3}'))
    await put(series, forecast(T0, "r1", '{"n":4}'), forecast(T0 + 300_000, "r3"))
    rows = await series.forecasts("me", T0, T0 + DAY, 10)
    assert [(r.based_on, r.body) for r in rows] == [("r1", b'{"n":1}'), ("r2", b'{"n":3}'), ("r3", b"{}")]
    assert await series.forecasts("me", T0, T0 + 1, 1) == rows[:1]


async def test_rows_of_alerts_are_kept_by_key(series: Series) -> None:
    keys = [f"low-{n}/1/opened" for n in range(120)]
    await put(series, *(alert(T0, key, json.dumps({"k": key})) for key in keys))
    await put(series, alert(T0, keys[0], '{"k":"other"}'), alert(T0 + 1, keys[0]))
    rows = await series.alerts("me", T0, T0 + DAY, 500)
    assert [r.key for r in rows] == [*sorted(keys), keys[0]]
    assert rows[0].body == json.dumps({"k": keys[0]}).encode()
    assert await series.alerts("me", T0, T0 + DAY, 7) == rows[:7]


async def test_a_long_body_is_kept_whole(series: Series) -> None:
    text = json.dumps({"text": 'a "quoted" \\ word, ' * 20_000})
    await put(series, forecast(T0, "r", text))
    assert (await series.forecasts("me", T0, T0 + 1, 1))[0].body == text.encode()


# -- position, logs, versions ----------------------------------------------------------------------


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


# -- any sequence ----------------------------------------------------------------------------------

people = st.sampled_from(["me", "you, too"])
times = st.builds(
    lambda n, ms: T0 + n * 20_000 + ms, st.integers(0, 8), st.sampled_from([0, 0, 250, 900])
)  # many share a second


@st.composite
def histories(draw: Any) -> list[Event]:
    """Events as a log may hold them: revised readings, repeats, corrections in and out of turn, moves, deletions,
    forecasts twice.
    """
    rnd = random.Random(draw(st.integers(0, 2**32)))
    events: list[Event] = []
    ids = [f"entry {n}" for n in range(4)]

    def event(data: Any, time_ms: int, name: str, person: str, source: str = "api") -> Event:
        return make(
            data, id=name, source=source, subject=person, time=at_ms(time_ms), recordedtime=at_ms(T0 + len(events))
        )

    for n in range(draw(st.integers(1, 40))):
        person, time_ms = draw(people), draw(times)
        match draw(st.sampled_from(["reading", "entry", "change", "forecast", "again"])):
            case "reading":
                source, value = rnd.choice(["dexcom-share", "up load/=,"]), float(rnd.choice([70, 71, 100.5]))
                name = reading_id(source, person, time_ms, value, None)
                events.append(event(GlucoseRead(glucose_mgdl=value), time_ms, name, person, source))
            case "entry":
                data = rnd.choice(
                    [InsulinTaken(units=4, insulin="A, b"), CarbsEaten(grams=7.5), NoteWritten(text='"\\')]
                )
                events.append(event(data, time_ms, rnd.choice(ids), "me"))
            case "change":
                name, revision = rnd.choice(ids), rnd.randint(2, 5)
                entry = Entry(
                    type=rnd.choice(["iv3.carbs.v1", "iv3.insulin.v1"]), time=at_ms(time_ms), data={"grams": 5.0}
                )
                if entry.type == "iv3.insulin.v1":
                    entry = entry.model_copy(update={"data": {"units": 2.5, "insulin": rnd.choice(["A, b", "C"])}})
                data = rnd.choice(
                    [
                        EntryCorrected(entry_id=name, revision=revision, entry=entry),
                        EntryDeleted(entry_id=name, revision=revision),
                        EntryRestored(entry_id=name, revision=revision, as_of=1, entry=entry),
                    ]
                )
                events.append(event(data, T0 + n, f"change {n}", "me"))
            case "forecast":
                events.append(event(a_forecast(f"r{rnd.randint(0, 3)}", time_ms, n), time_ms, f"f{n}", person))
            case "again" if events:
                events.append(rnd.choice(events))
    return events


def a_forecast(based_on: str, time_ms: int, n: int) -> ForecastMade:
    curve = (100.0 + n,) * STEPS
    return ForecastMade(
        based_on=based_on,
        pos=n,
        reading_time=at_ms(time_ms),
        glucose_mgdl=100.0,
        predictor="ar2",
        mean_mgdl=curve,
        p10_mgdl=curve,
        p25_mgdl=curve,
        p75_mgdl=curve,
        p90_mgdl=curve,
        p_low=0.25,
        p_urgent=0.0,
        p_high=0.5,
        shadows={},
    )


async def live(series: Series, events: Sequence[Event], sizes: Sequence[int]) -> None:
    """As the projector does it: batches from where the series is, again and again where a try failed."""
    n = failed = 0
    while (at := await reached(series)) < len(events):
        batch, n = events[at : at + sizes[n % len(sizes)]], n + 1
        try:
            entries = await series.entries_by_id({getattr(e.data, "entry_id", e.id) for e in batch})
            changes = [change for e in batch for change in project(e, entries, encode(e))]
            await series.apply(changes, {HERE: at + len(batch)})
            await series.apply(changes, {HERE: at + len(batch)})
        except SeriesUnavailable:
            failed += 1
            assert failed < 1000


async def reached(series: Series) -> int:
    """Where the series is; asked until it says."""
    while True:
        with suppress(SeriesUnavailable):
            return (await series.position()).get(HERE, 0)


async def rebuilt(series: RebuiltSeries, events: Sequence[Event], sizes: Sequence[int]) -> None:
    """As a replay does it."""
    at, n = 0, 0
    while at < len(events):
        batch = events[at : at + sizes[n % len(sizes)]]
        entries = await series.entries_by_id({getattr(e.data, "entry_id", e.id) for e in batch})
        changes = [change for e in batch for change in project(e, entries, encode(e))]
        await series.take(changes, {HERE: at + len(batch)})
        at, n = at + len(batch), n + 1
    await series.settle()


def by_hand(events: Sequence[Event]) -> tuple[dict[Any, str], dict[str, EntryVersion]]:
    """What must count, worked out without a series: the id of each person, source and second, and each entry."""
    seen: dict[Any, list[str]] = {}
    entries: dict[str, EntryVersion] = {}
    for event in events:
        if event.type == "iv3.reading.v1":
            ids = seen.setdefault((event.subject, event.source, event.time_ms // 1000), [])
            if event.id not in ids:
                ids.append(event.id)
        elif event.type != "iv3.forecast.v1":
            name = getattr(event.data, "entry_id", event.id)
            after = evolve_entry(entries.get(name), event)
            if isinstance(after, EntryVersion):
                entries[name] = after
    return {second: ids[-1] for second, ids in seen.items()}, entries


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=histories(), sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_any_sequence_of_events_gives_the_digest_of_a_fresh_series(
    tmp_path: Path, events: list[Event], sizes: list[int]
) -> None:
    async def check() -> None:
        digests = await digests_of(sqlite_places(tmp_path), events, sizes)
        assert digests[0] == digests[1]

    asyncio.run(check())


class Flaky(InfluxServer):
    """A server on a bad line: some requests never arrive, of some the answer is lost. Which ones follows from
    `seed`.
    """

    rnd: random.Random | None = None

    async def _ask(self, method: str, path: str, *more: Any) -> Any:
        fate = self.rnd.random() if self.rnd is not None else 1.0
        if fate < 0.15:
            raise SeriesUnavailable("it never arrived")
        reply = await super()._ask(method, path, *more)
        if fate < 0.3:
            raise SeriesUnavailable("the answer was lost")
        return reply


@pytest.mark.servers
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=histories(), sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4), seed=st.integers(0, 2**32))
def test_whatever_request_fails_and_whether_it_had_arrived_the_digest_is_that_of_an_uninterrupted_sqlite(
    tmp_path: Path, influx: Any, events: list[Event], sizes: list[int], seed: int
) -> None:
    async def check() -> None:
        influx.clear()
        server = Flaky(url=influx.url, token=SecretStr(influx.token), org=influx.org)
        store = InfluxStore(server, "iv3", "log-1")
        try:
            wanted = await digests_of(sqlite_places(tmp_path), events, sizes)
            series = await open_ready(store)
            server.rnd = random.Random(seed)
            await live(series, events, sizes)
            server.rnd = None
            assert await series.digest() == wanted[0]
        finally:
            await store.close()

    asyncio.run(check())


@pytest.mark.servers
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    events=histories(),
    cuts=st.lists(st.integers(0, 40), min_size=3, max_size=3),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=3),
)
def test_a_worker_that_wakes_up_after_another_took_over_changes_nothing_and_the_position_never_goes_back(
    tmp_path: Path, influx: Any, events: list[Event], cuts: list[int], sizes: list[int]
) -> None:
    """One stops just before it writes; the other goes on from where the series is; then the first writes what it had in
    hand.
    """
    begun, in_hand, late = sorted(min(cut, len(events)) for cut in cuts)

    async def check() -> None:
        influx.clear()
        store = influx_store(influx, "log-1")
        try:
            wanted = await digests_of(sqlite_places(tmp_path), events, sizes)
            first, second = await open_ready(store), await open_ready(store)
            await live(first, events[:begun], sizes)
            entries = await first.entries_by_id({getattr(e.data, "entry_id", e.id) for e in events[begun:in_hand]})
            changes = [change for e in events[begun:in_hand] for change in project(e, entries, encode(e))]
            await live(second, events[:late], sizes)
            before = await reached(second)
            if in_hand > begun:
                await first.apply(changes, {HERE: in_hand})
            assert await reached(second) == before
            await live(second, events, sizes)
            assert await second.digest() == wanted[0]
        finally:
            await store.close()

    asyncio.run(check())


@pytest.mark.servers
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    events=histories(),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    most_held=st.sampled_from([3, 10, 10_000]),
)
def test_any_sequence_of_events_gives_the_same_digest_in_sqlite_and_influxdb_live_and_replayed(
    tmp_path: Path, influx: Any, events: list[Event], sizes: list[int], most_held: int
) -> None:
    async def check() -> None:
        influx.clear()
        store = influx_store(influx, "log-1")

        async def fresh() -> RebuiltSeries:
            _, made = await store.make()
            made._most_held = most_held
            return made

        try:
            wanted = await digests_of(sqlite_places(tmp_path), events, sizes)
            found = await digests_of((lambda: open_ready(store), fresh), events, sizes)
        finally:
            await store.close()
        assert found[0] == found[1] == wanted[0]

    asyncio.run(check())


async def open_ready(store: SeriesStore) -> Series:
    return await store.open(await store.ready())


def sqlite_places(folder: Path) -> tuple[Callable[[], Awaitable[Series]], Callable[[], Awaitable[RebuiltSeries]]]:
    from streams.adapters.series.sqlite.series import SqliteSeries

    async def fresh(name: str) -> SqliteSeries:
        for path in folder.glob(f"{name}.db*"):
            path.unlink()
        return SqliteSeries(folder / f"{name}.db", "log-1")

    return (lambda: fresh("live")), (lambda: fresh("rebuilt"))


async def digests_of(
    places: tuple[Callable[[], Awaitable[Any]], Callable[[], Awaitable[Any]]], events: list[Event], sizes: list[int]
) -> list[Any]:
    """The digests of a live series and a rebuilt one, each checked against what must count."""
    found = []
    counts, entries = by_hand(events)
    for opened, fill in zip(places, (live, rebuilt), strict=True):
        series = await opened()
        await fill(series, events, sizes)
        found.append(await series.digest())
        for person in ("me", "you, too"):
            shown = await series.readings(person, T0 - DAY, T0 + DAY, 1000)
            assert {r.id for r in shown} <= {name for (who, _, _), name in counts.items() if who == person}
        kept = await series.entries("me", T0 - DAY, T0 + DAY, 1000)
        assert {e.id: e for e in kept} == entries
        rows: Mapping[str, int] = {}
        for row in found[-1]:
            rows = {**rows, row.kind: rows.get(row.kind, 0) + row.rows}
        assert rows.get("readings", 0) == len(counts)
        await series.close()
    return found
