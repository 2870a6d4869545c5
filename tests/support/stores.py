"""Series stores of each kind, and rows to put into them."""

from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from processors.entries import EntryVersion, entry_of
from processors.projection import Change, PutAlert, PutForecast, PutReading
from processors.readings import Reading
from schemas.facts import (
    InsulinTaken,
)
from schemas.identity import reading_id
from schemas.model import Partition
from streams.adapters.series.canonical import ENTRY_COLUMNS
from streams.adapters.series.influx.points import ALERTS, ENTRIES, entry_from, tag
from streams.adapters.series.influx.series import InfluxSeries, rows_of
from streams.adapters.series.influx.server import InfluxServer
from streams.adapters.series.influx.store import InfluxStore
from streams.adapters.series.sqlite.series import SqliteSeries
from streams.adapters.series.sqlite.store import SqliteStore
from streams.ports.series import Series, SeriesStore
from streams.storage.sqlite import connect

T0 = 1_795_500_000_000
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


async def kept_entries(series: Series, person: str = "me") -> list[EntryVersion]:
    """Every entry of a person as it lies there, oldest first, deleted ones too."""
    if isinstance(series, InfluxSeries):
        found = await _points(series, f"SELECT {ENTRY_COLUMNS} FROM {ENTRIES} WHERE person=$p", person)
        entries = [entry_from(row[1:]) for row in found]
    else:
        entries = [
            entry_of(row) for row in _rows(series, f"SELECT {ENTRY_COLUMNS} FROM entries WHERE person=?", person)
        ]
    return sorted(entries, key=lambda entry: (entry.time_ms, entry.id))


async def kept_alerts(series: Series, person: str = "me") -> list[tuple[int, str, bytes]]:
    """Every row of a person's alert history: its time, key and body, oldest first."""
    if isinstance(series, InfluxSeries):
        found = await _points(series, f"SELECT id, body FROM {ALERTS} WHERE person=$p", person)
        return sorted((ns // 1_000_000, key, body.encode()) for ns, key, body in found)
    return sorted(_rows(series, "SELECT at_ms, key, body FROM alerts WHERE person=?", person))


async def _points(series: InfluxSeries, asked: str, person: str) -> list[tuple[Any, ...]]:
    (found,) = await series.server.query(series.bucket.name, [asked], {"p": tag(person)})
    return rows_of(found)


def _rows(series: Series, sql: str, person: str) -> list[Any]:
    assert isinstance(series, SqliteSeries)
    with closing(connect(series.path)) as connection:
        return list(connection.execute(sql, (person,)))


async def all_readings(series: Series, person: str = "me") -> list[Reading]:
    return await series.readings(person, T0 - 400 * DAY, T0 + 400 * DAY, 50_000)
