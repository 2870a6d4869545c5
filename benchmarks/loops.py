"""The strict agent loop: a handler that does nothing, and one that decodes and folds; events per second of CPU."""

import asyncio
import tempfile
from pathlib import Path

from benchmarks.figures import Figure
from iv3.operations.measuring import loops


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        idle, folding = asyncio.run(loops(Path(folder)))
    return [
        Figure("strict agent loop, no-op", f"{idle:,.0f} events/CPU-s", "≥ 12,000", idle >= 12_000),
        Figure("strict agent loop, decode and fold", f"{folding:,.0f} events/CPU-s", "≥ 7,000", folding >= 7_000),
    ]
