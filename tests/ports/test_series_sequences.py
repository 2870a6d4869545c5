"""Whatever sequence of changes comes, every series store answers the same."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from processors.entries import EntryVersion, evolve_entry
from processors.projection import project
from schemas.envelope import Event, encode, make
from schemas.facts import (
    CarbsEaten,
    Entry,
    EntryCorrected,
    EntryDeleted,
    EntryRestored,
    GlucoseRead,
    InsulinTaken,
    NoteWritten,
)
from schemas.forecasts import STEPS, ForecastMade
from schemas.identity import reading_id
from schemas.model import at_ms
from streams.adapters.series.influx.server import InfluxServer
from streams.adapters.series.influx.store import InfluxStore
from streams.errors import SeriesUnavailable
from streams.ports.series import RebuiltSeries, Series, SeriesStore
from tests.support.stores import (
    DAY,
    HERE,
    T0,
    influx_store,
    kept_entries,
)

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
        kept = await kept_entries(series)
        assert {e.id: e for e in kept} == entries
        rows: Mapping[str, int] = {}
        for row in found[-1]:
            rows = {**rows, row.kind: rows.get(row.kind, 0) + row.rows}
        assert rows.get("readings", 0) == len(counts)
        await series.close()
    return found
