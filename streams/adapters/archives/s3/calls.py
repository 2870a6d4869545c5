"""Blocking calls from a loop: a few at a time, in threads that hold up neither the loop nor the end of the process when
one of them hangs.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

_T = TypeVar("_T")


class Calls:
    """At most `most` calls run at once. Python's own pools wait for their threads at exit; these are left behind."""

    def __init__(self, most: int, name: str) -> None:
        self._most, self._name = most, name
        self._lock = threading.Lock()
        self._running = 0
        self._waiting: deque[Callable[[], None]] = deque()

    async def run(self, work: Callable[[], _T], within_s: float) -> _T:
        """What `work` returns or raises; TimeoutError if that takes longer, waiting for a free thread included."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_T] = loop.create_future()

        def job() -> None:
            if answer.cancelled():  # whoever asked has gone
                return
            try:
                result, error = work(), None
            except BaseException as raised:  # noqa: BLE001 - it is raised where it was asked for
                result, error = None, raised
            with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
                loop.call_soon_threadsafe(_settle, answer, result, error)

        with self._lock:
            self._waiting.append(job)
            if self._running < self._most:
                self._running += 1
                threading.Thread(target=self._serve, name=self._name, daemon=True).start()
        async with asyncio.timeout(within_s):
            return await answer

    def _serve(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._running -= 1
                    return
                job = self._waiting.popleft()
            job()


def _settle(answer: "asyncio.Future[Any]", result: object, error: BaseException | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)
