"""A log with some days in it and an archive of small segments, and what the two hold: shared by the tests of the
archive.
"""

from typing import Any

from processors.archive.compaction import DAY_MS
from processors.archive.format import ArchivedRecord
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.archive.verify import read_back
from streams.archive.writer import ArchiveWriter
from streams.clock import SystemClock
from streams.topics import FORECASTS, JOURNAL

T0 = 1_795_478_400_000 // DAY_MS * DAY_MS  # a midnight
NOW = T0 + 4 * DAY_MS  # all of what `lived` writes is over


async def put(log: SqliteLog, topic: str, partition: int, stamp_ms: int, *values: bytes) -> None:
    """Append with the log's own stamps of another time."""
    start = log.heads[topic, partition]
    records = [ArchivedRecord(start + n, stamp_ms + n, b"me", value) for n, value in enumerate(values)]
    await log.append_as_was(topic, partition, records)


async def lived(log: SqliteLog, archive: Any, days: int = 3, each: int = 6) -> ArchiveWriter:
    """Some days with a flush every four hours, in two topics."""
    writer = ArchiveWriter(log, archive, SystemClock())
    for day in range(days):
        for n in range(each):
            stamp = T0 + day * DAY_MS + n * 4 * 3_600_000
            await put(log, JOURNAL, 3, stamp, b'{"n":%d}' % n, b"\xff\xfe%d" % n)
            await put(log, FORECASTS, 3, stamp, b'{"mean":[%d]}' % n)
            await writer.catch_up()
    return writer


async def records_of(archive: Any, log: SqliteLog) -> dict[tuple[str, int], list[ArchivedRecord]]:
    """What the archive gives back; it must be without fault."""
    found: dict[tuple[str, int], list[ArchivedRecord]] = {}

    async def take(topic: str, partition: int, records: list[ArchivedRecord]) -> None:
        found.setdefault((topic, partition), []).extend(records)

    report = await read_back(archive, log.log_id, take=take)
    assert report.problems == []
    return found


async def logged(log: SqliteLog) -> dict[tuple[str, int], list[ArchivedRecord]]:
    found = {}
    for place, head in log.heads.items():
        if head:
            records = await log.read(*place, 0, None, 10_000)
            found[place] = [ArchivedRecord(r.offset, r.timestamp_ms, r.key, r.value, r.headers) for r in records]
    return found
