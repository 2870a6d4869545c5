"""Filling a new bucket: what is remembered is not looked up; while the server writes one batch, the next is made.

What fits in memory is known; of what was forgotten the times are, and only changes that lie there ask the server.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from processors.digest import KINDS
from processors.entries import EntryVersion
from processors.projection import Change
from schemas.model import Partition
from streams.adapters.series.influx.plan import WritePlan, where
from streams.adapters.series.influx.points import MIN_NS, READINGS, REPLACED
from streams.adapters.series.influx.series import DIGEST_S, InfluxSeries
from streams.adapters.series.influx.server import MOST_LINES, Bucket, InfluxServer

_IN_FLIGHT, _DELETES = 3, 4


class InfluxRebuild(InfluxSeries):
    """The `RebuiltSeries` port. Use it for an empty bucket only, from the first record on."""

    _most_held = 300_000  # about 100 MB

    def __init__(self, server: InfluxServer, bucket: Bucket, stamp: str) -> None:
        super().__init__(server, bucket, stamp)
        self._plan = WritePlan()
        # Up to when (ms) rows of a measurement and person were taken; and may have been forgotten, in whole seconds.
        self._taken: dict[tuple[str, str], int] = {}
        self._forgotten: dict[tuple[str, str], int] = defaultdict(lambda: MIN_NS)
        self._reached: dict[Partition, int] = {}
        self._writing: set[asyncio.Task[None]] = set()

    async def entries_by_id(self, ids: Iterable[str]) -> dict[str, EntryVersion]:
        """See `Series.entries_by_id`."""
        wanted = list(ids)
        unknown = [name for name in wanted if name not in self._plan.entries]
        if unknown and self._forgotten:
            await self.settle()
            await self.load(self._plan, ids=unknown)
        return {name: self._plan.entries[name][0] for name in wanted if name in self._plan.entries}

    async def take(self, changes: Sequence[Change], position: Mapping[Partition, int]) -> None:
        """See `RebuiltSeries.take`."""
        for measurement, person, time_ms in map(where, changes):
            if time_ms > self._taken.get((measurement, person), time_ms - 1):
                self._taken[measurement, person] = time_ms
        late = [c for c in changes if where(c)[2] <= self._forgotten[where(c)[:2]]] if self._forgotten else []
        if late:
            await self.settle()
            await self.load(self._plan, late)
        self._plan.add(changes)
        self._reached |= position
        if len(self._plan.lines) >= MOST_LINES:
            await self._send()
        if len(self._plan.readings) + len(self._plan.occupants) > self._most_held:
            do = self._plan
            self._plan = WritePlan(lines=do.lines, removals=do.removals, ledger=do.ledger, overwrites=do.overwrites)
            self._forgotten.update({at: time_ms // 1000 * 1000 + 999 for at, time_ms in self._taken.items()})

    async def settle(self) -> None:
        """See `RebuiltSeries.settle`."""
        await self._send()
        await self._arrived()
        await self.finish(self._plan, self._reached, _DELETES)
        self._plan.removals, self._plan.ledger = {}, {}

    async def counts(self) -> dict[str, int]:
        """See `RebuiltSeries.counts`."""
        asked = f"SELECT count(id) FROM {', '.join([*KINDS, REPLACED])}"
        (found,) = await self.server.query(self.bucket.name, [asked], timeout_s=DIGEST_S)
        rows = {one["name"]: int(one["values"][0][1]) for one in found}
        return {kind: rows.get(kind, 0) + (rows.get(REPLACED, 0) if kind == READINGS else 0) for kind in KINDS}

    async def close(self) -> None:
        """See `Series.close`."""
        for task in self._writing:
            task.cancel()
        await asyncio.gather(*self._writing, return_exceptions=True)

    async def _send(self) -> None:
        """Begin to write what is planned. What writes over something waits until that has been written."""
        lines, most = list(self._plan.lines.values()), 0 if self._plan.overwrites else _IN_FLIGHT - 1
        self._plan.lines, self._plan.overwrites = {}, False
        await self._arrived(most)
        if lines:
            self._writing.add(asyncio.create_task(self.server.write(self.bucket, lines)))

    async def _arrived(self, most: int = 0) -> None:
        """Wait until at most so many of the writes are on their way."""
        while len(self._writing) > most:
            done, self._writing = await asyncio.wait(self._writing, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
