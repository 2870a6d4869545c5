"""A process to be killed: `python -m tests.support.archive_process archive|merge|restore`, told on standard input where
and what.

It prints `begun` when it is about to start, and `done` at the end.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from schemas.settings import S3Settings
from streams.adapters.archives.s3.archive import S3Archive
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.archive.merge import merge
from streams.archive.restore import restore
from streams.archive.writer import ArchiveWriter
from streams.clock import SystemClock
from streams.topics import ALERTS, FORECASTS, JOURNAL


async def archive(said: dict[str, Any], bucket: S3Archive) -> None:
    """Append and archive, a few records at a time."""
    log = SqliteLog(Path(said["log"]))
    writer = ArchiveWriter(log, bucket, SystemClock())
    for n in range(200):
        for topic in (JOURNAL, FORECASTS, ALERTS):
            await log.append(topic, f"p{n % 3}", [b'{"n":%d}' % n, b"\xff%d" % n])
        await writer.catch_up()
    await log.close()


async def main() -> None:
    """Do what the argument says."""
    said = json.loads(sys.stdin.readline())
    bucket = S3Archive(S3Settings(**said["s3"]))
    bucket.client()
    print("begun", flush=True)
    if sys.argv[1] == "archive":
        await archive(said, bucket)
    elif sys.argv[1] == "merge":
        await merge(bucket, said["log_id"], said["now_ms"])
    else:
        await restore(bucket, SqliteLog, Path(said["target"]))
    print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
