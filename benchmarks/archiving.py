"""One year into an archive and back: in a folder, in a bucket of a real server beside it, and as the days that merging
leaves.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.year import write_year
from processors.archive import format as segments
from processors.archive.format import ArchivedRecord
from schemas.model import Partition
from streams.adapters.archives.folder import FolderArchive
from streams.adapters.archives.s3.archive import S3Archive
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.archive.merge import merge
from streams.archive.restore import restore
from streams.archive.verify import read_back
from streams.archive.writer import ArchiveWriter
from streams.clock import SystemClock
from streams.ports.archive import Archive
from tests.servers.ground import NotInstallable
from tests.servers.s3 import S3Server

DAY = 288  # readings


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        counts = asyncio.run(write_year(folder, int(time.time() * 1000)))
        what = f"{counts['readings']:,} readings, {counts['entries']:,} entries, {counts['forecasts']:,} forecasts"
        figures = asyncio.run(_there_and_back(folder, FolderArchive(folder / "archive"), f"folder ({what})"))
        figures.append(asyncio.run(_in_days(folder)))
        try:
            server = S3Server(folder / "s3")
        except NotInstallable:
            return figures
        server.start()
        try:
            bucket = server.bucket()
            figures += asyncio.run(_there_and_back(folder, S3Archive(bucket.settings()), "bucket"))
            figures += asyncio.run(_day_by_day(folder, lambda: S3Archive(server.bucket().settings())))
        finally:
            server.stop()
        return figures


async def _there_and_back(folder: Path, archive: Archive, what: str) -> list[Figure]:
    log = SqliteLog(folder / "log.db")
    began = time.perf_counter()
    await ArchiveWriter(log, archive, SystemClock()).catch_up()
    archived = time.perf_counter() - began
    verifying = time.perf_counter()
    report = await read_back(archive, log.log_id)
    verified = time.perf_counter() - verifying
    assert report.problems == []
    began = time.perf_counter()
    restored = await restore(archive, SqliteLog, folder / "new")
    back = time.perf_counter() - began
    assert restored.records == report.records == sum(log.heads.values())
    await log.close()
    shutil.rmtree(folder / "new")
    size = report.bytes / 1e6
    return [
        Figure(f"archive of one year, size, {what}", f"{size:.1f} MB", "< 20 MB", size < 20),
        Figure(f"one year into a {what.split(maxsplit=1)[0]}", f"{archived:.1f} s", "< 30 s", archived < 30),
        Figure(f"one year verified in a {what.split(maxsplit=1)[0]}", f"{verified:.1f} s", "< 20 s", verified < 20),
        Figure(
            f"one year restored from a {what.split(maxsplit=1)[0]}, each segment checked",
            f"{back:.1f} s",
            "< 40 s",
            back < 40,
        ),
    ]


async def _in_days(folder: Path) -> Figure:
    """What the same year takes in merged days, which compress less than one large piece."""
    log = SqliteLog(folder / "log.db")
    total = 0
    for (topic, partition), head in log.heads.items():
        for start in range(0, head, DAY):
            records = await _kept(log, (topic, partition), start, DAY)
            total += len(segments.pack(records, day=True)[1])
    await log.close()
    return Figure("archive of one year, size, in merged days", f"{total / 1e6:.1f} MB", "< 20 MB", total < 20e6)


async def _kept(log: SqliteLog, place: Partition, start: int, count: int) -> list[ArchivedRecord]:
    records = await log.read(*place, start, start + count, count)
    return [ArchivedRecord(r.offset, r.timestamp_ms, r.key, r.value, r.headers) for r in records]


async def _day_by_day(folder: Path, fresh: Callable[[], Archive]) -> list[Figure]:
    """A day as it comes: a flush after each reading, then the merge of it."""
    year, day = SqliteLog(folder / "log.db"), SqliteLog(folder / "day" / "log.db")
    archive = fresh()
    writer = ArchiveWriter(day, archive, SystemClock())
    midnight = int(time.time() * 1000) // 86_400_000 * 86_400_000 - 10 * 86_400_000
    places = [place for place, head in year.heads.items() if head > DAY]
    began = time.perf_counter()
    for n in range(DAY):
        for place in places:
            (record,) = await _kept(year, place, n, 1)
            await day.append_as_was(*place, [record._replace(timestamp_ms=midnight + n * 300_000)])
        await writer.catch_up()
    flush = (time.perf_counter() - began) / DAY
    small = len(await archive.list("v1/"))
    began = time.perf_counter()
    report = await merge(archive, day.log_id, midnight + 5 * 86_400_000)
    took = time.perf_counter() - began
    left = len(await archive.list("v1/"))
    assert report.problems == []
    assert report.merged == DAY * len(places)
    await day.close()
    await year.close()
    return [
        Figure(
            "one flush (a reading and its forecast) into a bucket", f"{flush * 1000:.0f} ms", "< 500 ms", flush < 0.5
        ),
        Figure("a day merged in a bucket", f"{took:.1f} s, {small:,} objects became {left}", "< 30 s", took < 30),
    ]
