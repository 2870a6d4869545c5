"""A Series whose adapter can be exchanged while others use it: a replay made the next version, and from one call to the
next it serves.
"""

import asyncio
from collections.abc import Mapping

from processors.readings import Reading
from schemas.model import Partition
from streams.errors import SeriesUnavailable
from streams.ports.series import ForecastRow, Series

GRACE_S = 5.0  # calls that began before the swap are over by then


class ServingSeries:
    """The `ReadableSeries` port, handed through to the adapter of the moment. Until there is one, everything raises
    SeriesUnavailable.
    """

    def __init__(self, series: Series | None, why: str = "the series was not reached yet") -> None:
        self._adapter, self.why = series, why
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def adapter(self) -> Series:
        """The adapter of the moment. Whoever writes with a position must stay with one: another's position is
        another's.

        Raises SeriesUnavailable.
        """
        if self._adapter is None:
            raise SeriesUnavailable(self.why)
        return self._adapter

    async def swap(self, series: Series) -> None:
        """Serve from `series` from now on; the old one is closed when nobody can still be using it."""
        old, self._adapter = self._adapter, series
        if old is None:
            return

        async def leave() -> None:
            await asyncio.sleep(GRACE_S)
            await old.close()

        task = asyncio.create_task(leave())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def position(self) -> Mapping[Partition, int]:
        """See `Series`."""
        return await self.adapter.position()

    async def readings(self, person: str, from_ms: int, to_ms: int, limit: int) -> list[Reading]:
        """See `Series`."""
        return await self.adapter.readings(person, from_ms, to_ms, limit)

    async def newest_readings(self, person: str, count: int, before_ms: int) -> list[Reading]:
        """See `Series`."""
        return await self.adapter.newest_readings(person, count, before_ms)

    async def forecasts(self, person: str, from_ms: int, to_ms: int, limit: int) -> list[ForecastRow]:
        """See `Series`."""
        return await self.adapter.forecasts(person, from_ms, to_ms, limit)

    async def close(self) -> None:
        """Let go of the adapter of the moment, and of those that are leaving."""
        for task in list(self._leaving):
            task.cancel()
        if self._adapter is not None:
            await self._adapter.close()
