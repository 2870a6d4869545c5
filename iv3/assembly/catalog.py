"""Staying with the catalog that a replay made."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from streams.runtime.process import Service
from streams.storage.versions import catalog_path, current

if TYPE_CHECKING:
    from iv3.assembly.plan import Running


_POINTER_S = 0.5


def follow_catalog(parts: "Running") -> Service:
    """Go on with the catalog that a replay made, once the pointer names it."""

    async def follow(stopping: asyncio.Event) -> None:
        data = parts.plan.data
        while not stopping.is_set():
            named = current(data).catalog
            if named != parts.catalog_number:
                parts.catalog.reopen(catalog_path(data, named))
                parts.catalog_number = named
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), _POINTER_S)

    return follow
