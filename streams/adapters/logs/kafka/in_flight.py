"""Appends that are under way: how many at once, and what becomes of each. Nothing here waits for the network; all of it
is on the way of every append.
"""

import asyncio
from collections import deque
from typing import Any


class Pending(asyncio.Future[Any]):
    """The answer to an append that was handed to the producer, which tries until it is written, however long a broker
    is away.
    """

    values: tuple[bytes, ...]
    sent: asyncio.Future[Any]  # as the producer has it
    began: float  # loop time
    doubtful: bool = False  # somebody waited for it in vain, and may try the same again


class Room:
    """So many at once, in the order in which they came. As a semaphore, without two coroutines for everyone who finds
    room.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._queue: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Take a place if there is one and nobody waits for it."""
        if self._free > 0:
            self._free -= 1
            return True
        return False

    async def wait(self) -> None:
        """Wait for a place and take it."""
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()  # it was given away a moment ago: the next one has it
            raise

    def leave(self) -> None:
        """Give a place back: to whoever waits for the longest, if anybody does."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
