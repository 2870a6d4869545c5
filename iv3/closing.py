"""Logs, stores and clients for the length of a block."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar


class _Closes(Protocol):
    async def close(self) -> None: ...


_T = TypeVar("_T", bound=_Closes)


@asynccontextmanager
async def closing(thing: _T) -> AsyncIterator[_T]:
    """The thing for the length of a block; it is closed however that ends."""
    try:
        yield thing
    finally:
        await thing.close()
