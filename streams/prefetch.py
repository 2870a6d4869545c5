"""Asking ahead: while one answer is used here, the next ones are on their way."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Coroutine, Iterable
from typing import Any, TypeVar

_T = TypeVar("_T")


async def prefetched(asked: Iterable[Coroutine[Any, Any, _T]], most: int) -> AsyncGenerator[_T]:
    """The answers, in order; at most so many are asked for before their turn, and what is not wanted any more is
    cancelled.
    """
    waiting: deque[asyncio.Task[_T]] = deque()
    following = iter(asked)
    try:
        while True:
            while len(waiting) < most and (one := next(following, None)) is not None:
                waiting.append(asyncio.create_task(one))
            if not waiting:
                return
            answer = await waiting[0]
            waiting.popleft()
            yield answer
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
