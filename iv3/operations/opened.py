"""Opening the log for a verb that runs beside, or without, `iv3 up`: the one that the configuration names, or a demo's
where the folder is one's.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from iv3 import config as configuration
from iv3.assembly.log import LogPlace, holds_demo
from iv3.assembly.series import series_store
from iv3.closing import closing
from iv3.output import warn
from schemas.envelope import Author
from schemas.settings import Settings
from streams.clock import SystemClock
from streams.commands.door import Door
from streams.ports.log import Log
from streams.ports.series import Series, SeriesStore
from streams.roles.projector import Projector
from streams.views.catalog import Catalog

_T = TypeVar("_T")


def log_settings(data: Path, config: Path | None) -> Settings:
    """The configuration, as far as it says which log is meant: a demo's folder has its own, whatever the configuration
    says.
    """
    if holds_demo(data):
        return Settings()
    return configuration.load(config)


def with_log(data: Path, work: Callable[[Log], Awaitable[_T]], config: Path | None = None, *, make: bool = False) -> _T:
    """Run `work` with the log open; where there is none yet, `make` one. Raises FailedPrecondition, LogUnavailable."""
    place = LogPlace(log_settings(data, config), data)

    async def opened() -> _T:
        demo = place.is_demo() if place.exists() or not make else False
        async with place.opened(demo=demo) as log:
            return await work(log)

    return asyncio.run(opened())


def with_catalog(data: Path, ask: Callable[[Catalog], _T], config: Path | None = None) -> _T:
    """Answer a question about what is true now: the whole log is folded into a catalog that is thrown away. Raises
    FailedPrecondition, LogUnavailable.
    """

    async def work(log: Log) -> _T:
        async with _folded(log) as catalog:
            return ask(catalog)

    return with_log(data, work, config)


def with_door(
    data: Path,
    author: Author,
    person: str,
    work: Callable[[Door], Awaitable[_T]],
    config: Path | None = None,
    *,
    make: bool = False,
) -> _T:
    """Run a command about a person, on a catalog that is thrown away. Raises FailedPrecondition, LogUnavailable, and
    what the command raises.
    """

    async def through(log: Log) -> _T:
        async with _folded(log) as catalog:
            return await work(Door(log, catalog, SystemClock(), author, person, author.actor or ""))

    return with_log(data, through, config, make=make)


def store_of(data: Path, config: Path | None, log: Log) -> SeriesStore:
    """The store of the Series' versions, as the configuration names it; a demo's lies in its folder. Raises
    FailedPrecondition.
    """
    settings = log_settings(data, config)
    configuration.refuse_unusable(settings)
    return series_store(settings, data, log.log_id)


@asynccontextmanager
async def opened_series(data: Path, config: Path | None, log: Log) -> AsyncIterator[tuple[Series, int]]:
    """The Series that serves, and how many records of the log it lacks: where `iv3 up` does not run it may be behind,
    or empty, and that is said. Raises FailedPrecondition, SeriesUnavailable.
    """
    async with (
        closing(store_of(data, config, log)) as store,
        closing(await store.open(await store.serving())) as series,
    ):
        reached = await series.position()
        heads = {at: head for at, head in log.heads.items() if at[0] in Projector.topics}
        behind = sum(max(0, head - reached.get(at, 0)) for at, head in heads.items())
        if behind:
            warn(f"the series lacks {behind:,} records of the log; run `iv3 replay` (or `iv3 up`) first.")
        yield series, behind


@asynccontextmanager
async def _folded(log: Log) -> AsyncIterator[Catalog]:
    """A catalog of everything in the log, which follows it for the length of the block."""
    with tempfile.TemporaryDirectory() as folder:
        catalog, stopping = Catalog(log, Path(folder) / "catalog.db"), asyncio.Event()
        await catalog.catch_up()
        following = asyncio.create_task(catalog.follow(stopping))
        try:
            yield catalog
        finally:
            stopping.set()
            await following
