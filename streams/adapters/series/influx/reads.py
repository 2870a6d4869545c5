"""Reading the Series back from InfluxDB, by InfluxQL with bound values: the same answers, in the same order, as SQLite gives."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from processors.digest import KINDS, alert_line, day_of, entry_line, fingerprint, forecast_line, reading_line
from processors.entries import EntryVersion
from processors.readings import Reading, canonical_readings
from schemas.model import Partition
from streams.adapters.series.canonical import canonical_range, first_rows
from streams.adapters.series.influx.points import (
    ALERTS,
    ENTRIES,
    ENTRY_COLUMNS,
    FORECASTS,
    LEDGER_END_NS,
    LEDGER_NS,
    MAX_NS,
    MIN_NS,
    POSITION,
    READINGS,
    REPLACED,
    STAMP,
    entry_from,
    tag,
    untag,
)
from streams.adapters.series.influx.server import Bucket, InfluxServer
from streams.errors import SeriesUnavailable
from streams.ports.series import AlertRow, DigestRow, ForecastRow

_T = TypeVar("_T")
_DAY_MS = 86_400_000
_WINDOW_MS = 2 * _DAY_MS  # of a digest
_SLICE_MS = 15 * _DAY_MS  # a long range is asked for in slices: while one is read here, the server is at the next
_WHOLE_MS = 20 * _DAY_MS
_SEARCHED_MS = 400 * _DAY_MS  # a range that is longer may be empty for most of its length
_AHEAD = 3
_NEWEST_MS = (2 * _DAY_MS, 60 * _DAY_MS)
_DIGEST_S = 120.0
_RANGE = " WHERE person=$p AND time>=$a AND time<$b"
_READINGS = f"SELECT glucose_mgdl, trend, source, id FROM {READINGS}"  # after the time: a row is a `Reading`
_FIELD = {
    READINGS: "recorded_ms",
    REPLACED: "id",
    ENTRIES: "time_ms",
    FORECASTS: "pos",
    ALERTS: "id",
}  # each point has it


class InfluxReads:
    """What can be read of one bucket. `stamp` says whose it must be."""

    def __init__(self, server: InfluxServer, bucket: Bucket, stamp: str) -> None:
        self.server, self.bucket, self.stamp = server, bucket, stamp

    async def ask(
        self, statements: list[str], params: Mapping[str, object] | None = None, *, epoch: str = "ns", timeout_s: float | None = None
    ) -> list[list[dict[str, Any]]]:  # fmt: skip
        """The series of each statement. Raises SeriesUnavailable."""
        return await self.server.query(self.bucket.name, statements, params, epoch=epoch, timeout_s=timeout_s)

    async def rows(self, statement: str, params: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
        """The rows of one statement, tags among them; times are epoch nanoseconds."""
        (series,) = await self.ask([statement], params)
        return list(rows_of(series))

    # -- the ledger --------------------------------------------------------------------------------

    async def position(self) -> Mapping[Partition, int]:
        """See `Series.position`. A bucket that is not this log's has none that could be gone by: raises SeriesUnavailable."""
        heads, stamped = await self.ask(
            [f'SELECT last(next) FROM {POSITION}{_LEDGER} GROUP BY topic, "partition"', _STAMPED]
        )
        found = [row["log"] for row in rows_of(stamped)]
        if found != [self.stamp]:
            raise SeriesUnavailable(
                f"The bucket {self.bucket.name} is not of this log any more; `iv3 up` makes another."
            )
        return positions_of(heads)

    # -- ranges ------------------------------------------------------------------------------------

    async def readings(self, person: str, from_ms: int, to_ms: int, limit: int) -> list[Reading]:
        """See `Series.readings`."""
        from_ms, to_ms = await self._narrowed(person, from_ms, to_ms)

        async def fetch(start_ms: int, end_ms: int, most: int) -> list[Reading]:
            found: list[Reading] = []
            async for part in self._slices(person, start_ms, end_ms, most):
                found += part
                if len(found) >= most:
                    return found[:most]
            return found

        return await canonical_range(fetch, from_ms, to_ms, limit)

    async def _narrowed(self, person: str, from_ms: int, to_ms: int) -> tuple[int, int]:
        """The part of a long range that holds anything."""
        if to_ms - from_ms <= _SEARCHED_MS:
            return from_ms, to_ms
        statements = [f"SELECT {end}(recorded_ms) FROM {READINGS}{_RANGE}" for end in ("first", "last")]
        found = await self.ask(statements, _bounds(person, from_ms, to_ms))
        times = [row["time"] // 1_000_000 for series in found for row in rows_of(series)]
        return (max(from_ms, min(times)), min(to_ms, max(times) + 1)) if times else (from_ms, from_ms)

    async def _slices(self, person: str, from_ms: int, to_ms: int, most: int) -> AsyncIterator[list[Reading]]:
        """The readings of a range, slice by slice."""
        if to_ms - from_ms <= _WHOLE_MS:
            yield await self._slice(person, from_ms, to_ms, most)
            return
        starts = iter(range(from_ms, to_ms, _SLICE_MS))
        waiting: list[asyncio.Task[list[Reading]]] = []

        def go_on() -> None:
            start = next(starts, None)
            if start is not None:
                end = min(start + _SLICE_MS, to_ms)
                waiting.append(asyncio.create_task(self._slice(person, start, end, most)))

        try:
            for _ in range(_AHEAD):
                go_on()
            while waiting:
                part = await waiting[0]
                waiting.pop(0)
                go_on()
                yield part
        finally:
            await _drop(waiting)

    async def _slice(self, person: str, from_ms: int, to_ms: int, most: int) -> list[Reading]:
        statement = f"{_READINGS}{_RANGE} LIMIT {most:d}"
        (series,) = await self.ask([statement], _bounds(person, from_ms, to_ms), epoch="ms")
        return _readings(series)

    async def newest_readings(self, person: str, count: int, before_ms: int) -> list[Reading]:
        """See `Series.newest_readings`."""
        most = 3 * count + 3
        found: list[Reading] = []
        # Newest first the server goes through a whole history for them, so it is asked for the last days first.
        for start_ms in (*(before_ms - back for back in _NEWEST_MS), MIN_NS // 1_000_000):
            statement = f"{_READINGS}{_RANGE} ORDER BY time DESC LIMIT {most:d}"
            (series,) = await self.ask([statement], _bounds(person, start_ms, before_ms), epoch="ms")
            found = _readings(series)
            if len(found) >= most:
                break
        return canonical_readings(sorted(found, key=_by_time_and_source))[-count:]

    async def entries(self, person: str, from_ms: int, to_ms: int, limit: int) -> list[EntryVersion]:
        """See `Series.entries`."""
        # An entry lies somewhere in its second.
        first_ms, end_ms = from_ms // 1000 * 1000, -(-to_ms // 1000) * 1000

        async def fetch(most: int) -> list[EntryVersion]:
            statement = f"SELECT {ENTRY_COLUMNS} FROM {ENTRIES}{_RANGE} LIMIT {most:d}"
            return [entry_from(row) for row in await self.rows(statement, _bounds(person, first_ms, end_ms))]

        before = sum(entry.time_ms < from_ms for entry in await fetch(1000)) if from_ms != first_ms else 0
        found = await first_rows(fetch, lambda e: e.time_ms // 1000, lambda e: (e.time_ms, e.id), limit + before)
        return [entry for entry in found if from_ms <= entry.time_ms < to_ms][:limit]

    async def forecasts(self, person: str, from_ms: int, to_ms: int, limit: int) -> list[ForecastRow]:
        """See `Series.forecasts`."""

        async def fetch(most: int) -> list[ForecastRow]:
            found = await self.rows(
                f"SELECT id, body FROM {FORECASTS}{_RANGE} LIMIT {most:d}", _bounds(person, from_ms, to_ms)
            )
            return [ForecastRow(row["time"] // 1_000_000, row["id"], row["body"].encode()) for row in found]

        return await first_rows(fetch, lambda r: r.reading_time_ms, lambda r: (r.reading_time_ms, r.based_on), limit)

    async def alerts(self, person: str, from_ms: int, to_ms: int, limit: int) -> list[AlertRow]:
        """See `Series.alerts`."""

        async def fetch(most: int) -> list[AlertRow]:
            found = await self.rows(
                f"SELECT id, body FROM {ALERTS}{_RANGE} LIMIT {most:d}", _bounds(person, from_ms, to_ms)
            )
            return [AlertRow(row["time"] // 1_000_000, row["id"], row["body"].encode()) for row in found]

        return await first_rows(fetch, lambda r: r.at_ms, lambda r: (r.at_ms, r.key), limit)

    # -- all of it ---------------------------------------------------------------------------------

    async def counts(self) -> dict[str, int]:
        """See `RebuiltSeries.counts`."""
        statements = [f"SELECT count({field}) FROM {measurement}" for measurement, field in _FIELD.items()]
        found = await self.ask(statements, timeout_s=_DIGEST_S)
        counted = {
            m: sum(int(row["count"]) for row in rows_of(series)) for m, series in zip(_FIELD, found, strict=True)
        }
        return {kind: counted[kind] + (counted[REPLACED] if kind == READINGS else 0) for kind in KINDS}

    async def digest(self) -> list[DigestRow]:
        """See `Series.digest`. Two days at a time, so that no more than those of everybody are in memory."""
        found: list[DigestRow] = []
        for kind, (columns, line_of) in _DIGESTED.items():
            async for rows in self._windows(kind, columns):
                lines: dict[tuple[str, str], list[bytes]] = {}
                for time_ns, person, *row in rows:
                    time_ms = time_ns // 1_000_000
                    lines.setdefault((untag(person), day_of(time_ms)), []).append(line_of(time_ms, *row))
                found += [DigestRow(*at, kind, *fingerprint(said)) for at, said in lines.items()]
        return sorted(found, key=lambda row: (row.person, row.day, KINDS.index(row.kind)))

    async def _windows(self, measurement: str, columns: str) -> AsyncIterator[list[list[Any]]]:
        """All rows of a measurement, window by window, each a list of time and columns. While one is read here, the server is at the next."""
        field, waiting = _FIELD[measurement], list[asyncio.Task[list[list[Any]]]]()
        at_ms = await self._next_ms(measurement, field, MIN_NS)
        start_ms = at_ms // _WINDOW_MS * _WINDOW_MS if at_ms is not None else 0
        try:
            while at_ms is not None:
                while len(waiting) < _AHEAD:
                    behind_ms = start_ms + len(waiting) * _WINDOW_MS
                    waiting.append(asyncio.create_task(self._window(measurement, columns, behind_ms)))
                rows = await waiting.pop(0)
                start_ms += _WINDOW_MS
                if rows:
                    yield rows
                    continue
                at_ms = await self._next_ms(measurement, field, _clamped(start_ms))
                if at_ms is not None and at_ms >= start_ms + len(waiting) * _WINDOW_MS:
                    await _drop(waiting)
                    start_ms = at_ms // _WINDOW_MS * _WINDOW_MS
        finally:
            await _drop(waiting)

    async def _window(self, measurement: str, columns: str, from_ms: int) -> list[list[Any]]:
        span = {"a": _clamped(from_ms), "b": _clamped(from_ms + _WINDOW_MS)}
        statement = f"SELECT {columns} FROM {measurement} WHERE time>=$a AND time<$b"
        (series,) = await self.ask([statement], span, timeout_s=_DIGEST_S)
        return [values for one in series for values in one["values"]]

    async def _next_ms(self, measurement: str, field: str, after_ns: int) -> int | None:
        (series,) = await self.ask(
            [f"SELECT first({field}) FROM {measurement} WHERE time>=$a AND time<=$b"], {"a": after_ns, "b": MAX_NS}, timeout_s=_DIGEST_S
        )  # fmt: skip
        return min((row["time"] // 1_000_000 for row in rows_of(series)), default=None)


_LEDGER = f" WHERE time>={LEDGER_NS} AND time<{LEDGER_END_NS}"
_STAMPED = f"SELECT log FROM {STAMP}{_LEDGER}"


def _reading_line(time_ms: int, glucose_mgdl: float, trend: str, source: str) -> bytes:
    return reading_line(Reading(time_ms, float(glucose_mgdl), trend or None, untag(source), ""))


def _entry_line(_: int, *row: object) -> bytes:
    return entry_line(entry_from(dict(zip(ENTRY_COLUMNS.split(", "), row, strict=True))))


# By kind: the columns after the time, and the line of what follows the person.
_DIGESTED: dict[str, tuple[str, Callable[..., bytes]]] = {
    READINGS: ("person, glucose_mgdl, trend, source", _reading_line),
    ENTRIES: (f"person, {ENTRY_COLUMNS}", _entry_line),
    FORECASTS: ("person, body", lambda _, body: forecast_line(body.encode())),
    ALERTS: ("person, id, body", lambda at_ms, key, body: alert_line(at_ms, key, body.encode())),
}


async def _drop(tasks: list[asyncio.Task[_T]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    tasks.clear()


def rows_of(series: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Every row of every series as a dictionary, its tags among the columns."""
    for one in series:
        tags, columns = one.get("tags", {}), one["columns"]
        for values in one["values"]:
            yield {**tags, **dict(zip(columns, values, strict=True))}


def positions_of(series: Iterable[dict[str, Any]]) -> dict[Partition, int]:
    """Next offsets from the answer about them."""
    return {(row["topic"], int(row["partition"])): int(row["last"]) for row in rows_of(series)}


def _clamped(time_ms: int) -> int:
    return min(max(time_ms * 1_000_000, MIN_NS), MAX_NS)


def _bounds(person: str, from_ms: int, to_ms: int) -> dict[str, object]:
    return {"p": tag(person), "a": _clamped(from_ms), "b": _clamped(to_ms)}


def _by_time_and_source(reading: Reading) -> tuple[int, str]:
    return reading.time_ms, reading.source


# A quarter of the time of `Reading._make`; a quarter of a year is 26,000 of them.
_as_reading = partial(tuple.__new__, Reading)


def _readings(series: Sequence[dict[str, Any]]) -> list[Reading]:
    """Readings from an answer to `_READINGS`."""
    rows = [row for one in series for row in one["values"]]
    sources = {row[3] for row in rows}
    if "" in {row[2] for row in rows} or any("%" in source for source in sources):
        found = [
            Reading(time_ms, value, trend or None, untag(source), name) for time_ms, value, trend, source, name in rows
        ]
    else:
        found = list(map(_as_reading, rows))
    if len(sources) > 1:
        found.sort(key=_by_time_and_source)
    return found
