"""Opening the log of a data folder for a verb that runs beside, or without, `iv3 up`."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import apsw

from streams.errors import Misconfigured
from streams.logs.sqlite import SqliteLog

_T = TypeVar("_T")


def is_demo(data: Path) -> bool:
    """Whether the folder's log is a demo's. Raises Misconfigured where there is no log."""
    path = data / "log.db"
    if not path.exists():
        raise Misconfigured(f"There is no log in {data}. Name the data folder with --data (the demo's is ./data-demo).")
    try:
        with apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE) as connection:
            return bool(connection.execute("SELECT v FROM meta WHERE k='demo'").fetchone()[0] == "1")
    except (apsw.Error, TypeError) as error:
        raise Misconfigured(f"{path} is no log of iv3: {error}.") from None


def with_log(data: Path, work: Callable[[SqliteLog], Awaitable[_T]]) -> _T:
    """Run `work` with the folder's log open."""

    async def opened() -> _T:
        log = SqliteLog(data / "log.db", demo=is_demo(data))
        try:
            return await work(log)
        finally:
            await log.close()

    return asyncio.run(opened())
