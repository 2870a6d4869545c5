"""The Series in one bucket of an InfluxDB 2 server.

One batch is: look up what it may touch, write its points, remove what it moved away from, write the ledger (entries by id, position). The position
is written last, so what a crash cut off comes again; and all of it may come again, for points are themselves by their place.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from processors.entries import EntryVersion
from processors.projection import Change, PutEntry
from schemas.model import Partition
from streams.adapters.series.influx.plan import Held, Plan, Stretch, kind_of, plan, stretches
from streams.adapters.series.influx.points import (
    ALERTS,
    BY_ID,
    ENTRIES,
    ENTRY_COLUMNS,
    FORECASTS,
    LEDGER_END_NS,
    LEDGER_NS,
    MAX_NS,
    MIN_NS,
    POSITION,
    PROBES,
    READINGS,
    REPLACED,
    Place,
    by_id_place,
    entry_tags,
    kept_from,
    key_of,
    position_line,
    tag,
    untag,
)
from streams.adapters.series.influx.reads import InfluxReads, positions_of, rows_of
from streams.adapters.series.influx.server import Bucket, InfluxServer

_FEW = 8  # partitions: more are asked for all at once


class InfluxSeries(InfluxReads):
    """The `Series` port, bound to one bucket by its id: a bucket that was deleted and made again is another one."""

    def __init__(self, server: InfluxServer, bucket: Bucket, stamp: str) -> None:
        super().__init__(server, bucket, stamp)
        self._applying = asyncio.Lock()

    async def entries_by_id(self, ids: Iterable[str]) -> dict[str, EntryVersion]:
        """See `Series.entries_by_id`."""
        held = Held()
        await self._load_entries(held, list(ids))
        return {name: kept.version for name, kept in held.entries.items()}

    async def apply(self, changes: Sequence[Change], position: Mapping[Partition, int]) -> None:
        """See `Series.apply`. Not at once, but the position comes last, and what comes again changes nothing.

        Raises SeriesUnavailable, and Permanent where the server will never take a point.
        """
        async with self._applying:
            held = Held()
            reached = await self._look_up(held, changes, position)
            if position and all(reached.get(partition, 0) >= head for partition, head in position.items()):
                return  # an earlier try got further than its answer, or another worker was here
            made = plan(changes, held)
            await self.carry_out(made)
            heads = [position_line(*p, head) for p, head in position.items() if head > reached.get(p, 0)]
            await self.write([*made.ledger.values(), *heads])

    async def carry_out(self, made: Plan) -> None:
        """Write and remove what a plan says; not its ledger."""
        await self.write(list(made.lines.values()))
        for place in made.removals:
            await self.server.delete(self.bucket, place.ns, place.key.predicate)

    async def write(self, lines: Sequence[str]) -> None:
        """Write lines, if there are any."""
        if lines:
            await self.server.write(self.bucket, lines)

    async def close(self) -> None:
        """See `Series.close`. The connections are the store's."""

    # -- looking up --------------------------------------------------------------------------------

    async def _look_up(
        self, held: Held, changes: Sequence[Change], position: Mapping[Partition, int]
    ) -> Mapping[Partition, int]:
        """Hold what the changes may touch, and say where the bucket is."""
        heads = _where_it_is(position)
        found = await self.load(held, changes, heads)
        return positions_of(one for series in found for one in series)

    async def load(self, held: Held, changes: Sequence[Change], more: Sequence[str] = ()) -> list[list[dict[str, Any]]]:
        """Hold what the changes may touch; answer `more` statements on the way."""
        spans = stretches(changes)
        kinds = {kind_of(change) for change in changes}
        measurements = [m for m in (READINGS, ENTRIES, FORECASTS, ALERTS) if m in kinds] + [REPLACED] * (
            READINGS in kinds
        )
        params: dict[str, object] = {}
        statements = list(more)
        for n, span in enumerate(spans):
            params |= {f"p{n}": tag(span.person), f"a{n}": _ns(span.from_ms), f"b{n}": _ns(span.to_ms)}
            statements.append(
                f"SELECT id FROM {', '.join(measurements)} WHERE person=$p{n} AND time>=$a{n} AND time<$b{n} GROUP BY source, kind, insulin"
            )
        ids = [c.version.id for c in changes if isinstance(c, PutEntry)]
        found = await self._ask_for_entries(ids, statements, params, held)
        for span, series in zip(spans, found[len(more) :], strict=True):
            _hold(held, span, series)
        return found[: len(more)]

    async def _load_entries(self, held: Held, ids: Sequence[str]) -> None:
        await self._ask_for_entries(ids, [], {}, held)

    async def _ask_for_entries(
        self, ids: Sequence[str], statements: Sequence[str], params: dict[str, object], held: Held
    ) -> list[list[dict[str, Any]]]:
        """Hold the entries; answer the other statements. All in one request, for a request costs more than what most ask for."""
        asked = list(statements)
        for n, name in enumerate(ids):
            key, ns = by_id_place(name)
            params[f"s{n}"] = key.rpartition("=")[2]
            asked.append(
                f"SELECT {ENTRY_COLUMNS}, slot FROM {BY_ID} WHERE shelf=$s{n} AND time>={ns} AND time<{ns + PROBES}"
            )
        found = await self.ask(asked, params)
        for name, series in zip(ids, found[len(statements) :], strict=True):
            for row in rows_of(series):
                held.occupants[Place(by_id_place(name).key, row["time"])] = row["id"]
                if row["id"] == name:
                    held.entries[name] = kept_from(row)
        return found[: len(statements)]


def _where_it_is(position: Mapping[Partition, int]) -> list[str]:
    ledger = f"time>={LEDGER_NS} AND time<{LEDGER_END_NS}"
    if len(position) > _FEW:
        return [f'SELECT last(next) FROM {POSITION} WHERE {ledger} GROUP BY topic, "partition"']
    return [
        f"SELECT last(next) FROM {POSITION} WHERE topic='{topic}' AND \"partition\"='{partition}' AND {ledger} GROUP BY topic, \"partition\""
        for topic, partition in position
    ]


def _hold(held: Held, span: Stretch, series: Sequence[dict[str, Any]]) -> None:
    """Take in the ids that a stretch of time holds; the replaced readings first, for what counts depends on them."""
    for one in sorted(series, key=lambda one: one["name"] != REPLACED):
        measurement, tags = str(one["name"]), one["tags"]
        source, kind, insulin = (untag(tags[name]) for name in ("source", "kind", "insulin"))
        key = (
            entry_tags(span.person, kind, insulin)
            if measurement == ENTRIES
            else key_of(measurement, ("person", span.person))
        )
        for ns, name in one["values"]:
            if measurement == READINGS:
                held.hold_reading(span.person, source, ns // 1_000_000, name)
            elif measurement == REPLACED:
                place = Place(key_of(REPLACED, ("person", span.person), ("source", source)), ns)
                held.hold_replaced(span.person, source, ns // 1_000_000, place, name)
            else:
                held.occupants[Place(key, ns)] = name


def _ns(time_ms: int) -> int:
    return min(max(time_ms * 1_000_000, MIN_NS), MAX_NS)
