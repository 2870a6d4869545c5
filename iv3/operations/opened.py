"""Opening the log for a verb that runs beside, or without, `iv3 up`: the one that the configuration names, or a demo's where the folder is one's."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import apsw

from iv3 import config as configuration
from iv3.assembly.log import open_log
from schemas.settings import Settings
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.errors import Misconfigured
from streams.storage.sqlite import explain_open_errors
from streams.views.catalog import Catalog
from streams.views.catalog_store import CatalogStore

if TYPE_CHECKING:
    from streams.adapters.logs.kafka.log import KafkaLog

_T = TypeVar("_T")


def is_demo(data: Path) -> bool:
    """Whether the folder's log is a demo's. Raises Misconfigured where there is no log."""
    path = data / "log.db"
    if not path.exists():
        raise Misconfigured(f"There is no log in {data}. Name the data folder with --data (the demo's is ./data-demo).")
    try:
        with explain_open_errors(path), apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE) as connection:
            return bool(connection.execute("SELECT v FROM meta WHERE k='demo'").fetchone()[0] == "1")
    except (apsw.NotADBError, apsw.CorruptError, apsw.SQLError, TypeError) as error:
        raise Misconfigured(f"{path} is no log of iv3: {error}.") from None


def log_settings(data: Path, config: Path | None) -> Settings:
    """The configuration, as far as it says which log is meant: a demo's folder has its own, whatever the configuration says."""
    if (data / "log.db").exists() and is_demo(data):
        return Settings()
    return configuration.load(config)


def with_log(
    data: Path,
    work: Callable[["SqliteLog | KafkaLog"], Awaitable[_T]],
    config: Path | None = None,
    *,
    make: bool = False,
) -> _T:
    """Run `work` with the log open; where there is none yet, `make` one. Raises Misconfigured, LogUnavailable."""
    settings = log_settings(data, config)

    async def opened() -> _T:
        there = (data / "log.db").exists() or not make
        demo = is_demo(data) if settings.log == "sqlite" and there else False
        log = (await open_log(settings, data, demo=demo)).log
        try:
            return await work(log)
        finally:
            await log.close()

    return asyncio.run(opened())


def with_catalog(data: Path, ask: Callable[[CatalogStore], _T], config: Path | None = None) -> _T:
    """Answer a question about what is true now: the whole log is folded into a catalog that is thrown away. Raises Misconfigured, LogUnavailable."""

    async def work(log: "SqliteLog | KafkaLog") -> _T:
        with tempfile.TemporaryDirectory() as folder:
            catalog = Catalog(log, Path(folder) / "catalog.db")
            try:
                await catalog.catch_up()
                return ask(catalog.store)
            finally:
                catalog.store.close()

    return with_log(data, work, config)
