"""Durable appends: one at a time against a raw apsw FULL commit, and a hundred producers at once."""

import asyncio
import tempfile
from pathlib import Path

from benchmarks.figures import Figure, ms
from iv3.operations.measuring import appends, quantile


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(appends(Path(folder)))
    p50, p99 = quantile(found.ours_s, 0.5), quantile(found.ours_s, 0.99)
    ratio = p50 / quantile(found.raw_s, 0.5)
    throughput = found.together_per_s
    return [
        Figure("durable append, one at a time, p50", f"{ms(p50)} = {ratio:.2f} × raw apsw", "≤ 2 × raw", ratio <= 2),
        Figure("durable append, one at a time, p99", ms(p99), "< 25 ms", p99 < 0.025),
        Figure("durable append, 100 producers", f"{throughput:,.0f} events/s", "≥ 5,000/s", throughput >= 5_000),
    ]
