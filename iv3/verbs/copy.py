"""`iv3 copy`: the same log elsewhere, SQLite to Kafka or back."""

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

from iv3 import config as configuration
from iv3.logs import open_log
from iv3.verbs.opened import is_demo
from iv3.verbs.progress import bar
from schemas.settings import Settings
from streams.copying import CopyReport
from streams.copying import copy as copy_log
from streams.errors import Misconfigured
from streams.logs.disk import FileLock, sync_folder
from streams.logs.sqlite import SqliteLog
from streams.ports import Log

_WORKSHOP = ".copying"


def copy(data: Path, config: Path | None, source: str, target: str, *, as_json: bool) -> None:
    """Copy, compare, and only then let the copy be seen. Raises Misconfigured."""
    settings = configuration.load(config)
    ends = [_named(settings, source, "--from"), _named(settings, target, "--to")]
    if (ends[0].log == "sqlite") == (ends[1].log == "sqlite") and ends[0].log == ends[1].log:
        raise Misconfigured("--from and --to name the same log. Write sqlite for the one, kafka for the other.")
    if "sqlite" in (ends[0].log, ends[1].log):
        lock = FileLock(data / "up.lock")
        if data.is_dir() and not lock.try_acquire():
            raise Misconfigured(f"iv3 runs on {data}; stop it first (iv3 stop), or what comes meanwhile is not copied.")

    async def work() -> CopyReport:
        async with _opened(ends[0], data, make=False) as one, _opened(ends[1], data, make=True) as other:
            with bar("Copying, then comparing", quiet=as_json) as progress:
                return await copy_log(one, other, progress)

    report = asyncio.run(work())
    if as_json:
        sys.stdout.write(json.dumps(asdict(report)) + "\n")
        return
    sys.stdout.write(
        f"{report.records:,} records copied, each compared; the copy's log id is {report.to_log}. "
        f"Set log: {ends[1].log} in config.yaml, and start; charts are rebuilt from it.\n"
    )


def _named(settings: Settings, text: str, option: str) -> Settings:
    """The settings, with the log that an option names: sqlite, kafka (as configured), or kafka://host:port."""
    name = text.strip()
    if name == "kafka":
        if settings.log == "sqlite":
            raise Misconfigured(f"{option} kafka: config.yaml names no brokers. Write {option} kafka://host:9092.")
        name = settings.log
    if name != "sqlite" and not name.startswith("kafka://"):
        raise Misconfigured(f"{option} is {text!r}; it must be sqlite, kafka, or kafka://host:9092.")
    return settings.model_copy(update={"log": name})


@asynccontextmanager
async def _opened(settings: Settings, data: Path, *, make: bool) -> AsyncIterator[Log]:
    if settings.log != "sqlite":
        log = (await open_log(settings, data)).log
        try:
            yield log
        finally:
            await log.close()
        return
    if not make:
        if is_demo(data):
            raise Misconfigured(f"{data} is a demo's; a demo is never copied.")
        existing = SqliteLog(data / "log.db")
        try:
            yield existing
        finally:
            await existing.close()
        return
    async with _new_file(data) as fresh:
        yield fresh


@asynccontextmanager
async def _new_file(data: Path) -> AsyncIterator[Log]:
    """A log that takes its place only when the block ends well: an interrupted copy is not there at all."""
    if (data / "log.db").exists():
        raise Misconfigured(f"{data} has a log already. Copy into an empty folder: name it with --data.")
    workshop = data / _WORKSHOP
    shutil.rmtree(workshop, ignore_errors=True)
    fresh = SqliteLog(workshop / "log.db")
    try:
        yield fresh
    finally:
        await fresh.close()
    (workshop / "log.db").replace(data / "log.db")
    sync_folder(data)
    shutil.rmtree(workshop, ignore_errors=True)
