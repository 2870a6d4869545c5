"""Wiring of the Series: which store the settings name, and staying with the version that serves while replays make others."""

import asyncio
import logging
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.settings import Settings
from streams.errors import SeriesUnavailable
from streams.generations import catalog_path, current
from streams.house import Service
from streams.ports import SeriesStore, SeriesVersion
from streams.projector import Projector
from streams.series.influx_server import InfluxServer
from streams.series.influx_store import InfluxStore
from streams.series.sqlite_store import SqliteStore
from streams.series.swappable import SwappableSeries

if TYPE_CHECKING:
    from iv3.wiring import Parts

logger = logging.getLogger("iv3.wiring")

_FIRST_S = 3.0  # a start waits no longer for a server: alarms need none
_POINTER_S = 0.5


def series_store(settings: Settings, data: Path, log_id: str) -> SeriesStore:
    """The store that `series: sqlite | influxdb` names. No I/O. Raises Misconfigured."""
    if settings.series == "influxdb":
        return InfluxStore(influx_server(settings), settings.influxdb.database, log_id)
    return SqliteStore(data, log_id)


def influx_server(settings: Settings) -> InfluxServer:
    """The server that `influxdb` names. No I/O. Raises Misconfigured."""
    said = settings.influxdb
    return InfluxServer(url=said.url, token=said.token, org=said.org)


async def opened(store: SeriesStore) -> tuple[SwappableSeries, SeriesVersion | None]:
    """The Series that serves, and which version that is; without one yet where its server does not answer. Raises Misconfigured."""
    try:
        async with asyncio.timeout(_FIRST_S):
            version = await store.ready()
    except SeriesUnavailable as error:
        why = str(error)
    except TimeoutError:
        why = f"the series did not answer within {_FIRST_S:.0f} s"
    else:
        return SwappableSeries(await store.open(version)), version
    logger.warning("%s Everything else goes on; it is tried again.", why)
    return SwappableSeries(None, why), None


def follow_series(parts: "Parts") -> Service:
    """Serve from the version that a replay made, once it serves; make anew what somebody deleted."""

    async def follow(stopping: asyncio.Event) -> None:
        stop = asyncio.ensure_future(stopping.wait())
        told = ""
        while not stopping.is_set():
            looking = asyncio.ensure_future(_look(parts))
            await asyncio.wait({looking, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not looking.done():  # a server that hangs keeps no stop waiting
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)
                return
            try:
                looking.result()
                told = ""
            except SeriesUnavailable as error:
                parts.series.why = str(error)
                if told != str(error):
                    told = str(error)
                    logger.warning("the series: %s", error)
            await asyncio.wait({stop}, timeout=parts.store.look_s)

    return follow


async def _look(parts: "Parts") -> None:
    try:
        version = await parts.store.serving()
    except SeriesUnavailable:
        version = await parts.store.ready(parts.version)
    if version == parts.version:
        return
    await parts.series.swap(await parts.store.open(version))
    if parts.version is not None:
        logger.warning("version %d of the series serves now", version.number)
    parts.version = version
    for role in parts.roles:
        if isinstance(role, Projector):
            role.begin_again(f"version {version.number} of the series serves now")


def follow_catalog(parts: "Parts") -> Service:
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
