"""The Series in one bucket of an InfluxDB 2 server, read by InfluxQL with bound values: it answers as SQLite does.

One batch: look up what it may touch, write its points, remove what it moved away from, write the ledger (entries by id,
position). The position comes last, so what a crash cut off comes again; and it may, for points are what their place is.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from operator import attrgetter
from typing import Any

from processors.digest import alert_line, entry_line, forecast_line, reading_line
from processors.entries import EntryVersion
from processors.projection import Change, PutEntry
from processors.readings import Reading, canonical_readings
from schemas.model import Partition
from streams.adapters.series.canonical import ENTRY_COLUMNS, Digest, canonical_range, first_forecasts
from streams.adapters.series.influx import points
from streams.adapters.series.influx.plan import WritePlan, stretches, where
from streams.adapters.series.influx.server import Bucket, InfluxServer
from streams.errors import SeriesUnavailable
from streams.ports.series import DigestRow, ForecastRow
from streams.prefetch import prefetched

_Params = Mapping[str, object]
_Rows = list[tuple[Any, ...]]  # each the time and what was selected
_DAY_MS = 86_400_000
_SLICE_MS = 15 * _DAY_MS  # a long range is asked for in slices: while one is read here, the server is at the next
_WINDOW_MS = 2 * _DAY_MS  # of a digest: no more than those of everybody are in memory
_SEARCHED_MS = 400 * _DAY_MS  # a range that is longer may be empty for most of its length
_AHEAD = 3
DIGEST_S = 120.0
_FEW = 8  # partitions: more are asked for all at once
_TIME = "time>=$a AND time<$b"
_RANGE = f"person=$p AND {_TIME}"
STAMPED = f"SELECT log FROM {points.STAMP} WHERE {points.IN_LEDGER}"


class InfluxSeries:
    """The `Series` port on one bucket, by id: one deleted and made again is another. `stamp` says whose it must be."""

    def __init__(self, server: InfluxServer, bucket: Bucket, stamp: str) -> None:
        self.server, self.bucket, self.stamp = server, bucket, stamp
        self._applying = asyncio.Lock()

    async def close(self) -> None:
        """See `Series.close`. The connections are the store's."""

    async def position(self) -> Mapping[Partition, int]:
        """See `Series.position`. Raises SeriesUnavailable for a bucket that is not this log's: it has none to go by."""
        name = self.bucket.name
        heads, stamped = await self.server.query(name, [_asked_heads(), STAMPED])
        if [log for _, log in rows_of(stamped)] != [self.stamp]:
            raise SeriesUnavailable(f"The bucket {name} is not of this log any more; `iv3 up` makes another.")
        return _positions(heads)

    async def entries_by_id(self, ids: Iterable[str]) -> dict[str, EntryVersion]:
        """See `Series.entries_by_id`."""
        plan = WritePlan()
        await self.load(plan, ids=list(ids))
        return {name: version for name, (version, _) in plan.entries.items()}

    async def apply(self, changes: Sequence[Change], position: Mapping[Partition, int]) -> None:
        """See `Series.apply`: the position comes last. Raises SeriesUnavailable; Permanent for a point never taken."""
        async with self._applying:
            plan = WritePlan()
            reached = await self.load(plan, changes, heads=list(position))
            heads = {partition: head for partition, head in position.items() if head > reached.get(partition, 0)}
            if position and not heads:
                return  # an earlier try got further than its answer, or another worker was here
            plan.add(changes)
            await self.server.write(self.bucket, list(plan.lines.values()))
            await self.finish(plan, heads)

    async def finish(self, plan: WritePlan, heads: Mapping[Partition, int], at_once: int = 1) -> None:
        """Remove what lies at places that were left; then write where entries are, and up to where the log is in."""
        places = list(plan.removals)
        for n in range(0, len(places), at_once):
            await asyncio.gather(*(self.server.delete(self.bucket, place) for place in places[n : n + at_once]))
        lines = [*plan.ledger.values(), *(points.position_line(*head) for head in heads.items())]
        await self.server.write(self.bucket, lines)

    async def load(
        self,
        plan: WritePlan,
        changes: Sequence[Change] = (),
        *,
        ids: Sequence[str] = (),
        heads: Sequence[Partition] = (),
    ) -> Mapping[Partition, int]:
        """Tell the plan what changes may touch and entries of ids; where partitions are. Raises SeriesUnavailable."""
        # All in one request, for a request costs more than what most ask for.
        ids = [*ids, *(change.version.id for change in changes if isinstance(change, PutEntry))]
        spans, params = stretches(changes), dict[str, object]()
        asked = [_asked_heads(heads)] * bool(heads)
        kinds = {where(change)[0] for change in changes}
        kinds |= {points.REPLACED} if points.READINGS in kinds else set()
        for n, (person, from_ms, to_ms) in enumerate(spans):
            params |= {f"{name}{n}": value for name, value in _bounds(from_ms, to_ms, person).items()}
            within = f"person=$p{n} AND time>=$a{n} AND time<$b{n} GROUP BY source, kind, insulin"
            asked.append(f"SELECT id FROM {', '.join(sorted(kinds))} WHERE {within}")
        places = [points.by_id_place(name) for name in ids]
        for key, ns in places:
            within = f"shelf='{key.text[-1]}' AND time>={ns} AND time<{ns + points.PROBES}"
            asked.append(f"SELECT {ENTRY_COLUMNS}, slot FROM {points.BY_ID} WHERE {within}")
        found = iter(await self.server.query(self.bucket.name, asked, params))
        reached = _positions(next(found)) if heads else {}
        for person, _, _ in spans:
            plan.hold(person, next(found))
        for name, place, series in zip(ids, places, found, strict=True):
            for ns, *row in rows_of(series):
                plan.occupants[place._replace(ns=ns)] = row[0]
                if row[0] == name:
                    plan.entries[name] = points.kept_from(row)
        return reached

    async def readings(self, person: str, from_ms: int, to_ms: int, limit: int) -> list[Reading]:
        """See `Series.readings`."""

        async def fetch(start_ms: int, end_ms: int, most: int) -> list[Reading]:
            asked, found = f"{_READINGS} LIMIT {most:d}", list[Reading]()
            async with aclosing(self._slices(points.READINGS, asked, (start_ms, end_ms, _SLICE_MS), person)) as slices:
                async for part in slices:
                    found += part
                    if len(found) >= most:
                        break
            return found[:most]

        return await canonical_range(fetch, from_ms, to_ms, limit)

    async def newest_readings(self, person: str, count: int, before_ms: int) -> list[Reading]:
        """See `Series.newest_readings`."""
        most, found = 3 * count + 3, list[Reading]()
        # Newest first the server goes through a whole history for them, so it is asked for the last days first.
        for start_ms in (*(before_ms - days * _DAY_MS for days in (2, 60)), points.MIN_NS // 1_000_000):
            asked = f"{_READINGS} ORDER BY time DESC LIMIT {most:d}"
            found = _readings(await self._rows(asked, _bounds(start_ms, before_ms, person), "ms"))
            if len(found) >= most:
                break
        return canonical_readings(sorted(found, key=_by_time_and_source))[-count:]

    async def forecasts(self, person: str, from_ms: int, to_ms: int, limit: int) -> list[ForecastRow]:
        """See `Series.forecasts`."""
        bounds = _bounds(from_ms, to_ms, person)

        async def fetch(most: int) -> list[ForecastRow]:
            found = await self._rows(f"SELECT id, body FROM {points.FORECASTS} WHERE {_RANGE} LIMIT {most:d}", bounds)
            return [ForecastRow(ns // 1_000_000, name, body.encode()) for ns, name, body in found]

        return await first_forecasts(fetch, limit)

    async def digest(self) -> list[DigestRow]:
        """See `Series.digest`."""
        found = Digest()
        ever = (points.MIN_NS // 1_000_000, points.MAX_NS // 1_000_000 + 1, _WINDOW_MS)
        for kind, (columns, line_of) in _DIGESTED.items():
            async for rows in self._slices(kind, f"SELECT {columns} FROM {kind} WHERE {_TIME}", ever):
                found.add(kind, line_of, ((points.untag(who), ns // 1_000_000, *row) for ns, who, *row in rows))
        return found.in_order()

    async def _slices(self, kind: str, asked: str, span: tuple[int, int, int], person: str = "") -> AsyncGenerator[Any]:
        """Somebody's readings in `span` (from, to, slice; ms), or everybody's rows. A long emptiness is jumped over."""
        from_ms, to_ms, step_ms = span
        first = f"SELECT first(id) FROM {kind} WHERE {_RANGE if person else _TIME}"
        epoch, wait_s = ("ms", None) if person else ("ns", DIGEST_S)

        async def slice_of(at_ms: int) -> list[Any]:
            rows = await self._rows(asked, _bounds(at_ms, min(at_ms + step_ms, to_ms), person), epoch, wait_s)
            return _readings(rows) if person else rows  # at once: what it came in need not be kept

        while from_ms < to_ms:
            if to_ms - from_ms > _SEARCHED_MS:
                begins = await self._rows(first, _bounds(from_ms, to_ms, person), "ns", wait_s)
                begin_ms = min((row[0] // 1_000_000 for row in begins), default=to_ms)
                from_ms = max(from_ms, begin_ms // step_ms * step_ms)
            empty, starts = 0, range(from_ms, to_ms, step_ms)
            async with aclosing(prefetched(map(slice_of, starts), _AHEAD)) as slices:
                async for rows in slices:
                    from_ms += step_ms
                    yield rows
                    empty = 0 if rows else empty + 1
                    if empty > _AHEAD:
                        break

    async def _rows(self, asked: str, params: _Params, epoch: str = "ns", wait_s: float | None = None) -> _Rows:
        (series,) = await self.server.query(self.bucket.name, [asked], params, epoch=epoch, timeout_s=wait_s)
        return rows_of(series)


def rows_of(series: Iterable[Mapping[str, Any]]) -> _Rows:
    """The rows of every series."""
    return [row for one in series for row in one["values"]]


def _asked_heads(partitions: Sequence[Partition] = ()) -> str:
    """The question for the positions of these partitions, where they are few; of all otherwise."""
    of = " OR ".join(f"topic='{topic}' AND \"partition\"='{number}'" for topic, number in partitions[:_FEW])
    which = f"({of}) AND " if len(partitions) in range(1, _FEW + 1) else ""
    return f'SELECT last(next) FROM {points.POSITION} WHERE {which}{points.IN_LEDGER} GROUP BY topic, "partition"'


def _positions(series: Iterable[Mapping[str, Any]]) -> dict[Partition, int]:
    """Next offsets from the answer to `_asked_heads`."""
    return {(one["tags"]["topic"], int(one["tags"]["partition"])): int(one["values"][0][1]) for one in series}


def _bounds(from_ms: int, to_ms: int, person: str) -> _Params:
    """A range as a question's bound values; a moment that InfluxDB does not know is the nearest that it does."""
    from_ns, to_ns = (min(max(ms * 1_000_000, points.MIN_NS), points.MAX_NS) for ms in (from_ms, to_ms))
    return {"p": points.tag(person), "a": from_ns, "b": to_ns}


# After the time: a row is a `Reading`. A quarter of the time of `Reading._make`; a quarter of a year is 26,000 of them.
_READINGS = f"SELECT glucose_mgdl, trend, source, id FROM {points.READINGS} WHERE {_RANGE}"
_as_reading = partial(tuple.__new__, Reading)
_by_time_and_source = attrgetter("time_ms", "source")


def _readings(rows: _Rows) -> list[Reading]:
    """Readings from the answer to `_READINGS`."""
    sources = {row[3] for row in rows}
    if "" in {row[2] for row in rows} or any("%" in source for source in sources):
        found = [Reading(ms, value, trend or None, points.untag(of), name) for ms, value, trend, of, name in rows]
    else:
        found = list(map(_as_reading, rows))
    if len(sources) > 1:
        found.sort(key=_by_time_and_source)
    return found


# By kind: the columns after the time, and the line of what follows the person.
_DIGESTED: dict[str, tuple[str, Callable[..., bytes]]] = {
    points.READINGS: ("person, glucose_mgdl, trend, source", lambda *row: reading_line(*_readings([(*row, "")]))),
    points.ENTRIES: (f"person, {ENTRY_COLUMNS}", lambda _, *row: entry_line(points.entry_from(row))),
    points.FORECASTS: ("person, body", lambda _, body: forecast_line(body.encode())),
    points.ALERTS: ("person, id, body", lambda at_ms, key, body: alert_line(at_ms, key, body.encode())),
}
