"""`iv3 backup`, `iv3 verify`, `iv3 restore`."""

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path

from api.values import iso
from iv3 import config as configuration
from iv3.cli import fail
from iv3.verbs.opened import with_log
from iv3.verbs.progress import bar
from iv3.wiring import archive_of
from streams.backup import ArchiveWriter, VerifyReport, read_back, the_log_id
from streams.clock import SystemClock
from streams.errors import Misconfigured
from streams.ports import Archive, Log
from streams.restore import restore as make_anew


def _archive(config: Path | None, named: str | None, *, must_exist: bool = False) -> Archive:
    setting = named or configuration.load(config).archive
    archive = archive_of(setting)
    folder = setting.partition(":")[2]
    if must_exist and archive is not None and not Path(folder).expanduser().is_dir():
        raise Misconfigured(f"There is no folder {folder}; is the disk that holds the archive mounted?")
    if archive is None:
        raise Misconfigured(
            "No archive is named: set `archive: folder:PATH` in config.yaml, or name it here as folder:PATH."
        )
    return archive


def backup(data: Path, config: Path | None, to: str | None, *, as_json: bool) -> None:
    """Archive everything that is in the log now. May run beside `iv3 up`."""
    archive = _archive(config, to)

    async def work(log: Log) -> int:
        writer = ArchiveWriter(log, archive, SystemClock(), demo=getattr(log, "demo", False))
        with bar("Archiving", quiet=as_json) as progress:
            return await writer.catch_up(progress)

    done = with_log(data, work, config)
    said = {"archived": done, "archive": repr(archive)}
    sys.stdout.write(
        json.dumps(said) + "\n" if as_json else f"{done:,} records archived in {archive!r}; it is up to date.\n"
    )


def verify(config: Path | None, named: str | None, *, as_json: bool) -> None:
    """Read everything back; exit 1 if anything is not as it should be."""
    archive = _archive(config, named, must_exist=True)

    async def work() -> VerifyReport:
        name = await the_log_id(archive, None)
        with bar("Verifying", quiet=as_json) as progress:
            return await read_back(archive, name, progress)

    report = asyncio.run(work())
    if as_json:
        sys.stdout.write(json.dumps(asdict(report)) + "\n")
    else:
        for problem in report.problems:
            sys.stdout.write(f"DAMAGED: {problem}\n")
        written = iso(report.written_ms) if report.written_ms else "never"
        sys.stdout.write(
            f"{report.segments:,} segments, {report.records:,} records, {report.bytes:,} bytes; written {written}\n"
        )
    if report.problems:
        fail(f"{len(report.problems)} objects are not as they should be.")


def restore(data: Path, config: Path | None, named: str | None, *, as_json: bool) -> None:
    """Make a new log from the archive."""
    archive = _archive(config, named, must_exist=True)

    async def work() -> dict[str, object]:
        with bar("Checking, then restoring", quiet=as_json) as progress:
            report = await make_anew(
                archive,
                data,
                lambda done, total: progress(total + done, 2 * total),
                checked=lambda done, total: progress(done, 2 * total),
            )
        return asdict(report)

    report = asyncio.run(work())
    if as_json:
        sys.stdout.write(json.dumps(report) + "\n")
        return
    sys.stdout.write(
        f"{report['records']:,} records restored in {data}, under the new log id {report['log_id']}. `iv3 replay` or `iv3 up` comes next.\n"
    )
