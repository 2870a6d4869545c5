"""The catalog of a process: the one that the pointer names, and staying with it while replays make others."""

import asyncio
from pathlib import Path

from streams.ports.log import Log
from streams.runtime.backoff import rest
from streams.storage.versions import catalog_path, current, readable
from streams.views.catalog import Catalog

_POINTER_S = 0.5


class ServedCatalog:
    """The catalog that serves, whichever version of it that is."""

    def __init__(self, log: Log, data: Path) -> None:
        self._data, self._number = data, current(data).catalog
        file = catalog_path(data, self._number)
        self.catalog = readable(lambda: Catalog(log, file), file)

    async def follow_pointer(self, stopping: asyncio.Event) -> None:
        """Go on with the catalog that a replay made, once the pointer names it."""
        while not stopping.is_set():
            named = current(self._data).catalog
            if named != self._number:
                self.catalog.reopen(catalog_path(self._data, named))
                self._number = named
            await rest(stopping, _POINTER_S)
