"""Replay of one year into a fresh SQLite series, against a raw apsw copy of the same records."""

import asyncio
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.year import write_year
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.adapters.series.sqlite.store import SqliteStore
from streams.storage.sqlite import connect
from streams.views.replay import replay


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_run(Path(folder)))


async def _run(folder: Path) -> list[Figure]:
    counts = await write_year(folder, int(time.time() * 1000))
    log = SqliteLog(folder / "log.db")
    began = time.perf_counter()
    raw = connect(folder / "raw.db")
    raw.execute(
        "CREATE TABLE log(topic INTEGER, part INTEGER, off INTEGER, k BLOB, v BLOB, PRIMARY KEY(topic, "
        "part, off)) WITHOUT ROWID"
    )
    source = connect(folder / "log.db")
    with raw:
        raw.executemany("INSERT INTO log VALUES (?,?,?,?,?)", source.execute("SELECT topic, part, off, k, v FROM log"))
    copied = time.perf_counter() - began
    raw.close()
    source.close()
    report = await replay(log, folder, SqliteStore(folder, log.log_id))
    await log.close()
    what = f"{counts['readings']:,} readings, {counts['entries']:,} entries, {counts['forecasts']:,} forecasts"
    took = f"{report.seconds:.1f} s = {report.seconds / copied:.1f} × a raw copy"
    return [Figure(f"replay of one year ({what})", took, "< 8 s", report.seconds < 8)]
