"""Durable appends: one at a time against a raw apsw FULL commit, and a hundred producers at once."""

import asyncio
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Figure, ms, quantile
from streams.logs.sqlite import SqliteLog, connect
from streams.topics import JOURNAL

ONE_BY_ONE, PRODUCERS, EACH = 2_000, 100, 200
VALUE = b"x" * 220


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        raw = _raw(Path(folder))
        ours, throughput = asyncio.run(_ours(Path(folder)))
    ratio = quantile(ours, 0.5) / quantile(raw, 0.5)
    p99 = quantile(ours, 0.99)
    return [
        Figure(
            "durable append, one at a time, p50",
            f"{ms(quantile(ours, 0.5))} = {ratio:.2f} × raw apsw",
            "≤ 2 × raw",
            ratio <= 2,
        ),
        Figure("durable append, one at a time, p99", ms(p99), "< 25 ms", p99 < 0.025),
        Figure("durable append, 100 producers", f"{throughput:,.0f} events/s", "≥ 5,000/s", throughput >= 5_000),
    ]


def _raw(folder: Path) -> list[float]:
    db = connect(folder / "raw.db")
    db.execute("CREATE TABLE log(off INTEGER PRIMARY KEY, v BLOB)")
    took = []
    for _ in range(ONE_BY_ONE):
        began = time.perf_counter()
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO log(v) VALUES (?)", (VALUE,))
        db.execute("COMMIT")
        took.append(time.perf_counter() - began)
    db.close()
    return took


async def _ours(folder: Path) -> tuple[list[float], float]:
    log = SqliteLog(folder / "log.db")
    took = []
    for _ in range(ONE_BY_ONE):
        began = time.perf_counter()
        await log.append(JOURNAL, "me", [VALUE])
        took.append(time.perf_counter() - began)

    async def producer(n: int) -> None:
        for _ in range(EACH):
            await log.append(JOURNAL, f"p{n}", [VALUE])

    began = time.perf_counter()
    await asyncio.gather(*(producer(n) for n in range(PRODUCERS)))
    throughput = PRODUCERS * EACH / (time.perf_counter() - began)
    await log.close()
    return took, throughput
