"""Wiring of the Series: which store the settings name, and staying with the version that serves while replays make
others.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.settings import Settings
from streams.adapters.series.sqlite.store import SqliteStore
from streams.errors import SeriesUnavailable
from streams.ports.series import SeriesStore, SeriesVersion
from streams.runtime.process import Service
from streams.runtime.role import Role
from streams.views.serving_series import ServingSeries

logger = logging.getLogger("iv3.wiring")

_FIRST_S = 3.0  # a start waits no longer for a server: alarms need none


def series_store(settings: Settings, data: Path, log_id: str) -> SeriesStore:
    """The store that `series: sqlite | influxdb` names. No I/O. Raises FailedPrecondition."""
    if settings.series == "influxdb":
        from streams.adapters.series.influx.server import InfluxServer
        from streams.adapters.series.influx.store import InfluxStore

        said = settings.influxdb
        return InfluxStore(InfluxServer(url=said.url, token=said.token, org=said.org), said.database, log_id)
    return SqliteStore(data, log_id)


@dataclass
class ServedSeries:
    """The Series that serves, whichever version that is; `version` is None while its server has not answered yet."""

    store: SeriesStore
    series: ServingSeries
    version: SeriesVersion | None

    async def close(self) -> None:
        """Let go of files and connections."""
        await self.series.close()
        await self.store.close()


async def serve_series(settings: Settings, data: Path, log_id: str) -> ServedSeries:
    """The version that serves; without one yet where its server does not answer. Raises FailedPrecondition."""
    store = series_store(settings, data, log_id)
    try:
        async with asyncio.timeout(_FIRST_S):
            version = await store.ready()
    except SeriesUnavailable as error:
        why = str(error)
    except TimeoutError:
        why = f"the series did not answer within {_FIRST_S:.0f} s"
    else:
        return ServedSeries(store, ServingSeries(await store.open(version)), version)
    logger.warning("%s Everything else goes on; it is tried again.", why)
    return ServedSeries(store, ServingSeries(None, why), None)


def follow_series(served: ServedSeries, roles: Sequence[Role]) -> Service:
    """Serve from the version that a replay made, once it serves; make anew what somebody deleted."""

    async def follow(stopping: asyncio.Event) -> None:
        stop = asyncio.ensure_future(stopping.wait())
        told = ""
        while not stopping.is_set():
            looking = asyncio.ensure_future(_look(served, roles))
            await asyncio.wait({looking, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not looking.done():  # a server that hangs keeps no stop waiting
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)
                return
            try:
                looking.result()
                told = ""
            except SeriesUnavailable as error:
                served.series.why = str(error)
                if told != str(error):
                    told = str(error)
                    logger.warning("the series: %s", error)
            await asyncio.wait({stop}, timeout=served.store.look_s)

    return follow


async def _look(served: ServedSeries, roles: Sequence[Role]) -> None:
    try:
        version = await served.store.serving()
    except SeriesUnavailable:
        version = await served.store.ready(served.version)
    if version == served.version:
        return
    await served.series.swap(await served.store.open(version))
    if served.version is not None:
        logger.warning("version %d of the series serves now", version.number)
    served.version = version
    for role in roles:
        role.series_exchanged(f"version {version.number} of the series serves now")
