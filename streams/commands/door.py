"""What a command is given: the log, what is true now, the time, who says it and about whom."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from processors.plausibility import odd_time
from schemas.envelope import Author, Event
from streams.commands.refusals import BadValue, NotReadYet
from streams.ports.catalog import Catalog
from streams.ports.clock import Clock
from streams.ports.log import Log, Position, append_events
from streams.topics import JOURNAL


@dataclass(slots=True)
class _KeyLock:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    wanted_by: int = 0  # those who hold it, and those who wait: a lock that was let go of is theirs, not a newcomer's


@dataclass(slots=True)
class KeyLocks:
    """One write of a request key at a time in this process; across processes the id that follows from the key makes two
    writes one.
    """

    _locks: dict[str, _KeyLock] = field(default_factory=dict)

    @asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[None]:
        """Wait for whoever writes under the same key."""
        mine = self._locks.setdefault(key, _KeyLock())
        mine.wanted_by += 1
        try:
            async with mine.lock:
                yield
        finally:
            mine.wanted_by -= 1
            if not mine.wanted_by:
                del self._locks[key]


@dataclass(frozen=True, slots=True)
class Door:
    """One caller's way to write about one person. `owner` tells the keys of two callers apart; `locks` are shared by a
    process.
    """

    log: Log
    catalog: Catalog
    clock: Clock
    author: Author
    person: str
    owner: str = ""
    locks: KeyLocks = field(default_factory=KeyLocks)

    async def append(self, events: Iterable[Event]) -> list[Position]:
        """Append events of one subject to the journal. Raises as `Log.append`."""
        return await append_events(self.log, JOURNAL, events)

    async def append_one(self, event: Event) -> Position:
        """Append one event, and wait until the catalog has seen it, or a second. Raises as `Log.append`."""
        (position,) = await self.append([event])
        await self.catalog.caught_up()
        return position

    async def refuse_unread(self, message: str) -> None:
        """Raise NotReadYet with this sentence where the catalog has not seen all of the log: what was written before
        could not be told from what is new.
        """
        if not await self.catalog.caught_up():
            raise NotReadYet(message)

    def refuse_odd_time(self, time_ms: int, *, named: str = "time") -> None:
        """Raises BadValue for a moment before 2000, or more than ten minutes ahead."""
        odd = odd_time(time_ms, self.clock.now_ms())
        if odd:
            raise BadValue(odd, field=named)
