"""The Series in one SQLite file: changes and position in one transaction. Not synced at every commit, for the log can
rebuild it.
"""

import asyncio
import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import apsw

from processors.digest import KINDS, alert_line, entry_line, forecast_line, reading_line
from processors.entries import EntryVersion, content_json, entry_of
from processors.projection import Change, PutAlert, PutEntry, PutForecast, PutReading
from processors.readings import Reading, canonical_readings
from schemas.model import Partition
from streams.adapters.series.canonical import ENTRY_COLUMNS, MARGIN_MS, Digest, canonical_range
from streams.errors import SeriesUnavailable
from streams.ports.series import DigestRow, ForecastRow
from streams.storage.sqlite import connect, connect_derived

FORMAT = "1"
_TABLES = ("positions", "readings", "entries", "forecasts", "alerts")
_T = TypeVar("_T")
_QUICK_MS = 2 * 86_400_000 + 2 * MARGIN_MS
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta(k TEXT PRIMARY KEY, v TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS positions(topic TEXT, part INTEGER, next INTEGER NOT NULL, PRIMARY KEY(topic,
  part)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS readings(person TEXT, time_ms INTEGER, source TEXT, id TEXT, glucose REAL NOT NULL,
  trend TEXT,
  recorded_ms INTEGER NOT NULL, replaced INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(person, time_ms, source,
    id)) WITHOUT ROWID;
DROP INDEX IF EXISTS readings_by_id;
CREATE TRIGGER IF NOT EXISTS a_repeat_changes_nothing BEFORE INSERT ON readings
  WHEN EXISTS (SELECT 1 FROM readings WHERE person=NEW.person AND time_ms BETWEEN NEW.time_ms/1000*1000
    AND NEW.time_ms/1000*1000+999
  AND source=NEW.source AND id=NEW.id) BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER IF NOT EXISTS the_last_of_a_second_counts AFTER INSERT ON readings BEGIN
  UPDATE readings SET replaced=1 WHERE person=NEW.person AND time_ms BETWEEN NEW.time_ms/1000*1000
    AND NEW.time_ms/1000*1000+999
  AND source=NEW.source AND id<>NEW.id; END;
CREATE TABLE IF NOT EXISTS entries(id TEXT PRIMARY KEY, person TEXT NOT NULL, kind TEXT NOT NULL,
  time_ms INTEGER NOT NULL,
  revision INTEGER NOT NULL, deleted INTEGER NOT NULL, data BLOB NOT NULL, recorded_ms INTEGER NOT NULL,
    actor TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entries_by_time ON entries(person, time_ms);
CREATE TABLE IF NOT EXISTS forecasts(person TEXT, time_ms INTEGER, based_on TEXT, pos INTEGER NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY(person, time_ms, based_on)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS alerts(person TEXT, at_ms INTEGER, key TEXT, body BLOB NOT NULL, PRIMARY KEY(person, at_ms,
  key)) WITHOUT ROWID;
"""
_PUT_READING = "INSERT OR IGNORE INTO readings VALUES (?,?,?,?,?,?,?,0)"
_PUT_ENTRY = "INSERT OR REPLACE INTO entries VALUES (?,?,?,?,?,?,?,?,?)"
_PUT_FORECAST = "INSERT OR IGNORE INTO forecasts VALUES (?,?,?,?,?)"
_PUT_ALERT = "INSERT OR IGNORE INTO alerts VALUES (?,?,?,?)"
_REACH = "INSERT INTO positions VALUES (?,?,?) ON CONFLICT DO UPDATE SET next=max(next, excluded.next)"
_RANGE = (
    "SELECT time_ms, glucose, trend, source, id FROM readings WHERE person=? AND time_ms>=? AND time_ms<? "
    "AND replaced=0 ORDER BY time_ms, source LIMIT ?"
)
# By kind: person, time and more columns, and the line of what follows the person.
_DIGESTED: dict[str, tuple[str, Callable[..., bytes]]] = {
    "readings": (
        "person, time_ms, glucose, trend, source, id FROM readings WHERE replaced=0",
        lambda *row: reading_line(Reading._make(row)),
    ),
    "entries": (f"person, time_ms, {ENTRY_COLUMNS} FROM entries", lambda _, *row: entry_line(entry_of(row))),
    "forecasts": ("person, time_ms, body FROM forecasts", lambda _, body: forecast_line(body)),
    "alerts": ("person, at_ms, key, body FROM alerts", alert_line),
}


class SqliteSeries:
    """The `Series` port. A file that belongs to another log (by its id) is emptied when it is opened."""

    def __init__(self, path: Path, log_id: str) -> None:
        self.path = path
        self._db = connect_derived(path, _SCHEMA, _TABLES, f"{FORMAT}/{log_id}")
        self._reader = connect(path)
        self._reading = threading.Lock()
        self._write_pool = ThreadPoolExecutor(1, "series-write")
        self._read_pool = ThreadPoolExecutor(1, "series-read")

    async def _read(self, sql: str, bindings: Sequence[Any] = ()) -> list[Any]:
        def read() -> list[Any]:
            with self._reading:
                return list(self._reader.execute(sql, bindings))

        return await self._in(self._read_pool, read)

    async def _in(self, pool: ThreadPoolExecutor, work: Callable[[], _T]) -> _T:
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, work)
        except apsw.Error as error:
            raise SeriesUnavailable(f"the series file {self.path.name} cannot be used: {error}") from error

    # -- what the projector needs ------------------------------------------------------------------

    async def position(self) -> Mapping[Partition, int]:
        """See `Series.position`."""
        rows = await self._read("SELECT topic, part, next FROM positions")
        return {(topic, part): head for topic, part, head in rows}

    async def entries_by_id(self, ids: Iterable[str]) -> dict[str, EntryVersion]:
        """See `Series.entries_by_id`. Asked of the writing connection, which knows its own last transaction."""
        sql = f"SELECT {ENTRY_COLUMNS} FROM entries WHERE id IN (SELECT value FROM json_each(?))"
        wanted = json.dumps(list(ids))
        rows = await self._in(self._write_pool, lambda: list(self._db.execute(sql, (wanted,))))
        return {row[0]: entry_of(row) for row in rows}

    async def apply(self, changes: Sequence[Change], position: Mapping[Partition, int]) -> None:
        """See `Series.apply`."""
        await self._in(self._write_pool, lambda: self.apply_now(changes, position))

    def apply_now(self, changes: Sequence[Change], position: Mapping[Partition, int]) -> None:
        """As `apply`, in the calling thread. One statement for all rows of a kind; within a kind they keep
        their order.
        """
        rows: dict[str, list[Any]] = {sql: [] for sql in (_PUT_READING, _PUT_ENTRY, _PUT_FORECAST, _PUT_ALERT)}
        for change in changes:
            match change:
                case PutReading(person, r, recorded_ms):
                    row: Any = (person, r.time_ms, r.source, r.id, r.glucose_mgdl, r.trend, recorded_ms)
                    rows[_PUT_READING].append(row)
                case PutEntry(version):
                    rows[_PUT_ENTRY].append((*version[:6], content_json(version), *version[7:]))
                case PutForecast():
                    rows[_PUT_FORECAST].append(change)
                case PutAlert(person, key, at_ms, body):
                    rows[_PUT_ALERT].append((person, at_ms, key, body))
        with self._db:
            for sql, bindings in rows.items():
                if bindings:
                    self._db.executemany(sql, bindings)
            self._db.executemany(_REACH, [(topic, part, head) for (topic, part), head in position.items()])

    # -- what readers need -------------------------------------------------------------------------

    async def readings(self, person: str, from_ms: int, to_ms: int, limit: int) -> list[Reading]:
        """See `Series.readings`."""

        async def fetch(start_ms: int, end_ms: int, most: int) -> list[Reading]:
            asked = (person, start_ms, end_ms, most)
            if end_ms - start_ms <= _QUICK_MS and self._reading.acquire(blocking=False):
                # A day or two take a third of a millisecond; handing them to a thread and back takes longer.
                try:
                    rows = list(self._reader.execute(_RANGE, asked))
                except apsw.Error as error:
                    raise SeriesUnavailable(f"the series file {self.path.name} cannot be used: {error}") from error
                finally:
                    self._reading.release()
            else:
                rows = await self._read(_RANGE, asked)
            return list(map(Reading._make, rows))

        return await canonical_range(fetch, from_ms, to_ms, limit)

    async def newest_readings(self, person: str, count: int, before_ms: int) -> list[Reading]:
        """See `Series.newest_readings`."""
        sql = (
            "SELECT time_ms, glucose, trend, source, id FROM readings WHERE person=? AND time_ms<? AND replaced=0 "
            "ORDER BY time_ms DESC LIMIT ?"
        )
        rows = await self._read(sql, (person, before_ms, 3 * count + 3))
        return canonical_readings([Reading._make(row) for row in reversed(rows)])[-count:]

    async def forecasts(self, person: str, from_ms: int, to_ms: int, limit: int) -> list[ForecastRow]:
        """See `Series.forecasts`."""
        sql = (
            "SELECT time_ms, based_on, body FROM forecasts WHERE person=? AND time_ms>=? AND time_ms<? "
            "ORDER BY time_ms, based_on LIMIT ?"
        )
        return [ForecastRow(*row) for row in await self._read(sql, (person, from_ms, to_ms, limit))]

    # -- what a replay needs -----------------------------------------------------------------------

    async def take(self, changes: Sequence[Change], position: Mapping[Partition, int]) -> None:
        """See `RebuiltSeries.take`. In this thread: two that take turns at every row are slower than one."""
        self.apply_now(changes, position)

    async def settle(self) -> None:
        """See `RebuiltSeries.settle`."""

    async def counts(self) -> dict[str, int]:
        """See `RebuiltSeries.counts`."""
        return {kind: (await self._read(f"SELECT count(*) FROM {kind}"))[0][0] for kind in KINDS}

    async def digest(self) -> list[DigestRow]:
        """See `Series.digest`."""
        found = Digest()
        for kind, (columns, line_of) in _DIGESTED.items():
            found.add(kind, line_of, await self._read(f"SELECT {columns}"))
        return found.in_order()

    async def close(self) -> None:
        """See `Series.close`."""
        await asyncio.to_thread(self.close_now)

    def close_now(self) -> None:
        """As `close`, for a caller without a loop."""
        self._write_pool.shutdown(wait=True)
        self._read_pool.shutdown(wait=True)
        self._reader.close()
        self._db.close()
