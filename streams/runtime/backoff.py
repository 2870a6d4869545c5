"""Back-off: the one policy by which a role waits before it tries again; and pauses that a stop ends."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from streams.errors import Transient

FIRST_DELAY_S = 0.05
LONGEST_DELAY_S = 5.0  # an outage that ends is noticed within this


class Backoff:
    """Delays that double from the first to the longest, seconds. What the other side asks for goes before, up to a
    limit.
    """

    def __init__(self, first_s: float | None = None, longest_s: float | None = None) -> None:
        self.first_s = FIRST_DELAY_S if first_s is None else first_s
        self.longest_s = LONGEST_DELAY_S if longest_s is None else longest_s
        self._next_s = self.first_s

    def next_s(self, asked_s: float | None = None, *, most_s: float | None = None) -> float:
        """How long to wait now; `most_s` bounds what was asked for."""
        delay_s = min(asked_s, self.longest_s if most_s is None else most_s) if asked_s else self._next_s
        self._next_s = min(self._next_s * 2, self.longest_s)
        return delay_s

    def reset(self) -> None:
        """It worked: the next wait is the first again."""
        self._next_s = self.first_s


async def keep_trying(
    work: Callable[[], Awaitable[object]], failed: Callable[[Transient], None], delays: Backoff | None = None
) -> None:
    """Do `work` until no outage keeps it from being done; `failed` hears of each. Raises what is no outage."""
    delays = delays or Backoff()
    while True:
        try:
            await work()
        except Transient as error:
            failed(error)
            await asyncio.sleep(delays.next_s())
        else:
            return


async def rest(until: asyncio.Event, seconds: float) -> None:
    """Wait a while, but not beyond the event."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await until.wait()


async def look_until(
    stopping: asyncio.Event, look: Callable[[], Awaitable[object]], pause_s: float, failed: Callable[[Transient], None]
) -> None:
    """Do `look` again and again until `stopping`; `failed` hears of each outage. Raises what is no outage."""
    while not stopping.is_set():
        try:
            await look()
        except Transient as error:
            failed(error)
        await rest(stopping, pause_s)
