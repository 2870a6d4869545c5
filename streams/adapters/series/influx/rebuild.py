"""Filling a bucket that is new: nothing is looked up that is still remembered, and while the server writes one batch, the next is made.

What fits in memory is known; of what was forgotten the times are, and only changes that lie there ask the server.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from processors.entries import EntryVersion
from processors.projection import Change
from schemas.model import Partition
from streams.adapters.series.influx.plan import Held, Plan, kind_of, person_of, plan, time_of
from streams.adapters.series.influx.points import MIN_NS, Place, position_line
from streams.adapters.series.influx.series import InfluxSeries
from streams.adapters.series.influx.server import MOST_LINES, Bucket, InfluxServer

_MOST_HELD = 300_000  # about 100 MB
_IN_FLIGHT = 3
_DELETES = 4


class InfluxRebuild(InfluxSeries):
    """The `RebuiltSeries` port. Use it for an empty bucket only, from the first record on."""

    def __init__(self, server: InfluxServer, bucket: Bucket, stamp: str, *, most_held: int = _MOST_HELD) -> None:
        super().__init__(server, bucket, stamp)
        self._most_held = most_held
        self._held, self._plan = Held(), Plan()
        self._forgotten: dict[
            tuple[str, str], int
        ] = {}  # measurement, person -> up to when what is there was forgotten
        self._removals: dict[Place, None] = {}
        self._ledger: dict[Place, str] = {}
        self._reached: dict[Partition, int] = {}
        self._writing: set[asyncio.Task[None]] = set()

    async def entries_by_id(self, ids: Iterable[str]) -> dict[str, EntryVersion]:
        """See `Series.entries_by_id`."""
        wanted = list(ids)
        unknown = [name for name in wanted if name not in self._held.entries]
        if unknown and self._forgotten:
            await self.settle()
            await self._load_entries(self._held, unknown)
        return {name: self._held.entries[name].version for name in wanted if name in self._held.entries}

    async def take(self, changes: Sequence[Change], position: Mapping[Partition, int]) -> None:
        """See `RebuiltSeries.take`."""
        if self._forgotten:
            late = [c for c in changes if time_of(c) <= self._forgotten.get((kind_of(c), person_of(c)), MIN_NS)]
            if late:
                await self.settle()
                await self.load(self._held, late)
        plan(changes, self._held, self._plan)
        self._reached |= position
        if len(self._plan.lines) >= MOST_LINES:
            await self._send()
        if self._held.size() > self._most_held:
            self._forgotten |= {
                at: max(time_ms, self._forgotten.get(at, MIN_NS)) for at, time_ms in self._held.newest().items()
            }
            self._held = Held()

    async def settle(self) -> None:
        """See `RebuiltSeries.settle`."""
        await self._send()
        await self._arrived()
        removals, self._removals = list(self._removals), {}
        for n in range(0, len(removals), _DELETES):
            await asyncio.gather(
                *(self.server.delete(self.bucket, p.ns, p.key.predicate) for p in removals[n : n + _DELETES])
            )
        ledger, self._ledger = self._ledger, {}
        await self.write([*ledger.values(), *(position_line(*p, head) for p, head in self._reached.items())])

    async def close(self) -> None:
        """See `Series.close`."""
        for task in self._writing:
            task.cancel()
        await asyncio.gather(*self._writing, return_exceptions=True)

    async def _send(self) -> None:
        """Begin to write what is planned. What writes over something waits until that has been written."""
        made, self._plan = self._plan, Plan()
        taken_again = self._removals.keys() & made.lines.keys()
        if made.overwrites or taken_again:
            await self._arrived()
        while len(self._writing) >= _IN_FLIGHT:
            done, self._writing = await asyncio.wait(self._writing, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        for place in taken_again:
            del self._removals[place]
        self._removals |= made.removals
        self._ledger |= made.ledger
        if made.lines:
            self._writing.add(asyncio.create_task(self.write(list(made.lines.values()))))

    async def _arrived(self) -> None:
        """Everything that was sent is on disk."""
        writing, self._writing = self._writing, set()
        await asyncio.gather(*writing)
