"""`iv3 bench`: what this machine does, in a minute, in a folder on the disk that would hold the log."""

import asyncio
import shutil
import tempfile
from pathlib import Path

from rich.table import Table

from iv3.operations.measuring import appends, loops, quantile
from iv3.output import fail, say
from streams.storage.files import free_bytes, refuse_remote

_NEEDS_BYTES = 512 * 1024 * 1024  # the log's own reserve, and as much again for what is written here


def bench(data: Path, *, as_json: bool) -> None:
    """Measure and print. The folder is made beside the log, because it is that disk that counts, and removed again."""
    place = data if data.is_dir() else Path.cwd()
    refuse_remote(place)
    if free_bytes(place) < _NEEDS_BYTES:
        fail(f"{place} has less than {_NEEDS_BYTES >> 20} MiB left; free some space first.")
    folder = Path(tempfile.mkdtemp(prefix=".iv3-bench-", dir=place))
    try:
        figures = asyncio.run(_measure(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    table = Table("figure", "this machine")
    for name, value in figures.items():
        table.add_row(name, f"{value:,.2f}" if value < 100 else f"{value:,.0f}")
    say(figures, table, as_json=as_json)


async def _measure(folder: Path) -> dict[str, float]:
    written = await appends(folder, one_by_one=1_000, each=100)
    idle, folding = await loops(folder, 20_000)
    return {
        "raw durable commit, p50, ms": round(quantile(written.raw_s, 0.5) * 1000, 3),
        "durable append, one at a time, p50, ms": round(quantile(written.ours_s, 0.5) * 1000, 3),
        "durable append, one at a time, p99, ms": round(quantile(written.ours_s, 0.99) * 1000, 3),
        "durable append, 100 producers, events/s": round(written.together_per_s),
        "strict agent loop, no-op, events per CPU second": round(idle),
        "strict agent loop, decode and fold, events per CPU second": round(folding),
    }
