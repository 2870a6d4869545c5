"""`iv3 copy`: the same log elsewhere, SQLite to Kafka or back."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

from iv3 import config as configuration
from iv3.assembly.log import LOG_FILE, LogPlace, new_log_file
from iv3.closing import closing
from iv3.operations.progress import bar
from iv3.output import say
from schemas.settings import Settings
from streams.copies import copy_log
from streams.copies.repartition import refuse_other_than_multiple
from streams.errors import AlreadyExists, FailedPrecondition, InUse, Misconfigured
from streams.ports.log import Log
from streams.storage.files import FileLock, sync_folder
from streams.topics import JOURNAL

_WORKSHOP = ".copying"


def copy(data: Path, config: Path | None, source: str, target: str, partitions: int | None, *, as_json: bool) -> None:
    """Copy, compare, and only then let the copy be seen. `partitions` is how a new log is split. Raises
    Misconfigured.
    """
    settings = configuration.load(config)
    ends = [_named(settings, source, "--from"), _named(settings, target, "--to")]
    if ends[0].log == ends[1].log:
        raise Misconfigured("--from and --to name the same log. Write sqlite for the one, kafka for the other.")
    if partitions is not None:
        ends[1] = ends[1].model_copy(update={"kafka": ends[1].kafka.model_copy(update={"partitions": partitions})})
    if "sqlite" in (ends[0].log, ends[1].log):
        lock = FileLock(data / "up.lock")
        if data.is_dir() and not lock.try_acquire():
            raise InUse(f"iv3 runs on {data}; stop it first (iv3 stop), or what comes meanwhile is not copied.")

    async def work() -> copy_log.CopyReport:
        async with _opened(ends[0], data) as one:
            await LogPlace(ends[0], data).refuse_members(one.log_id)
            split = one.partitions[JOURNAL]
            wanted = partitions or (split if ends[1].log == "sqlite" else ends[1].kafka.partitions)
            refuse_other_than_multiple(split, wanted)  # before topics are made for it
            opening = _new_file(data, wanted) if ends[1].log == "sqlite" else _opened(ends[1], data)
            async with opening as other:
                _refuse_otherwise(other, partitions)
                with bar("Copying, then comparing", quiet=as_json) as progress:
                    return await copy_log.copy(one, other, progress)

    report = asyncio.run(work())
    words = (
        f"{report.records:,} records copied into {report.partitions} partitions, each compared; the copy's log id is "
        f"{report.to_log}. Set log: {ends[1].log} in config.yaml, and start; charts are rebuilt from it."
    )
    say(asdict(report), words, as_json=as_json)


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


def _refuse_otherwise(target: Log, partitions: int | None) -> None:
    """Topics that were made before are not made again for an option."""
    found = target.partitions[JOURNAL]
    if partitions is not None and found != partitions:
        raise AlreadyExists(
            f"The topics iv3.* were made with {found} partitions already, not {partitions}. Leave --partitions out to "
            "fill them as they are, or delete them (they are made again)."
        )


@asynccontextmanager
async def _opened(settings: Settings, data: Path) -> AsyncIterator[Log]:
    place = LogPlace(settings, data)
    if place.is_demo():
        raise FailedPrecondition(f"{data} is a demo's; a demo is never copied.")
    async with place.opened() as log:
        yield log


@asynccontextmanager
async def _new_file(data: Path, partitions: int) -> AsyncIterator[Log]:
    """A log that takes its place only when the block ends well: an interrupted copy is not there at all."""
    if (data / LOG_FILE).exists():
        raise AlreadyExists(f"{data} has a log already. Copy into an empty folder: name it with --data.")
    workshop = data / _WORKSHOP
    shutil.rmtree(workshop, ignore_errors=True)
    async with closing(new_log_file(workshop / LOG_FILE, partitions=partitions)) as fresh:
        yield fresh
    (workshop / LOG_FILE).replace(data / LOG_FILE)
    sync_folder(data)
    shutil.rmtree(workshop, ignore_errors=True)
