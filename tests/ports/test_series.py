"""The exam of the Series port: whatever holds the points, the same changes give the same answers, rows and digests."""

import json

import pytest

from processors.entries import EntryVersion
from processors.projection import PutEntry
from schemas.facts import (
    CarbsEaten,
    ExerciseDone,
    FingerstickTaken,
    InsulinTaken,
    NoteWritten,
)
from streams.ports.series import Series
from tests.support.stores import (
    DAY,
    HERE,
    ODD,
    T0,
    alert,
    all_readings,
    dose,
    forecast,
    kept_alerts,
    kept_entries,
    put,
    reading,
)

MIN = 60_000


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
    assert await series.forecasts("me", low, high, 10) == []


@pytest.mark.parametrize("name", ODD)
async def test_any_name_goes_in_and_out_unchanged(series: Series, name: str) -> None:
    entry = dose(name, T0, person=name, insulin=name)
    await put(series, reading(T0, 100, source=name, person=name), PutEntry(entry))
    await put(series, forecast(T0, name, json.dumps({"n": name}), name), alert(T0, name, json.dumps({"n": name}), name))
    assert (await all_readings(series, name))[0].source == name
    assert await kept_entries(series, name) == [entry]
    assert (await series.forecasts(name, T0, T0 + 1, 5))[0].based_on == name
    assert (await kept_alerts(series, name))[0][1:] == (name, json.dumps({"n": name}).encode())
    assert {row.person for row in await series.digest()} == {name}
    moved = entry._replace(time_ms=T0 + 5000, revision=2)
    await put(series, PutEntry(moved))
    assert await kept_entries(series, name) == [moved]


async def test_two_doses_of_one_second_stay_two(series: Series) -> None:
    doses = [dose(f"d{n}", T0 + n % 3) for n in range(20)]
    await put(series, *map(PutEntry, doses))
    assert await kept_entries(series) == sorted(doses, key=lambda d: (d.time_ms, d.id))


async def test_a_correction_moves_an_entry_and_a_deletion_keeps_it_marked(series: Series) -> None:
    first = dose("d", T0)
    moved = first._replace(time_ms=T0 + 7_200_000, revision=2, data=InsulinTaken(units=6, insulin="Tresiba"))
    other = moved._replace(kind="carbs", revision=3, data=CarbsEaten(grams=20.0), actor=None)
    deleted = other._replace(revision=4, deleted=True)
    back = other._replace(revision=5, time_ms=T0)
    for version in (first, moved, other, deleted, back):
        await put(series, PutEntry(version), PutEntry(version))
        assert await kept_entries(series) == [version]
        assert await series.entries_by_id(["d", "nobody"]) == {"d": version}
        assert [(row.kind, row.rows) for row in await series.digest()] == [("entries", 1)]


async def test_an_entry_that_goes_away_and_comes_back_in_one_batch_is_there_once(series: Series) -> None:
    first = dose("d", T0)
    await put(series, PutEntry(first))
    away = first._replace(time_ms=T0 + DAY, revision=2)
    back = first._replace(revision=3)
    await put(series, PutEntry(away), PutEntry(back))
    assert await kept_entries(series) == [back]


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
    assert await kept_entries(series) == versions
    assert set(await series.entries_by_id(list(facts))) == set(facts)


async def test_of_very_many_in_one_second_the_first_are_the_first(series: Series) -> None:
    doses = [dose(f"d{n:03}", T0 + n % 7) for n in range(300)]
    await put(series, *map(PutEntry, doses))
    assert await kept_entries(series) == sorted(doses, key=lambda d: (d.time_ms, d.id))
    await put(series, *(forecast(T0 + n % 7, f"r{n:03}") for n in range(300)))
    ordered = sorted((T0 + n % 7, f"r{n:03}") for n in range(300))
    for limit in (1, 10, 299, 300, 500):
        assert [row[:2] for row in await series.forecasts("me", T0, T0 + DAY, limit)] == ordered[:limit]
    later = [row for row in ordered if row[0] >= T0 + 3]
    assert [row[:2] for row in await series.forecasts("me", T0 + 3, T0 + DAY, 10)] == later[:10]


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
    rows = await kept_alerts(series)
    assert [key for _, key, _ in rows] == [*sorted(keys), keys[0]]
    assert rows[0][2] == json.dumps({"k": keys[0]}).encode()


async def test_a_long_body_is_kept_whole(series: Series) -> None:
    text = json.dumps({"text": 'a "quoted" \\ word, ' * 20_000})
    await put(series, forecast(T0, "r", text))
    assert (await series.forecasts("me", T0, T0 + 1, 1))[0].body == text.encode()
