"""Progress of anything longer than a second: a bar with rate and time left in a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_PLAIN_EVERY_S = 2.0


@contextmanager
def bar(title: str, *, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A function that takes (done, total) as often as you like."""
    if quiet:
        yield lambda _done, _total: None
    elif sys.stderr.isatty():
        how_far = (TextColumn(title), BarColumn(), MofNCompleteColumn())
        how_soon = (TextColumn("{task.speed:,.0f}/s"), TimeRemainingColumn())
        with Progress(*how_far, *how_soon, console=Console(stderr=True)) as shown:
            task = shown.add_task(title, total=None)
            yield lambda done, total: shown.update(task, completed=done, total=total)
    else:
        yield _lines(title)


def _lines(title: str) -> Callable[[int, int], None]:
    began = said = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said < _PLAIN_EVERY_S:
            return
        said = now
        rate = done / (now - began)
        left = (total - done) / rate if rate else 0
        sys.stderr.write(f"{title}: {done:,} of {total:,}, {rate:,.0f}/s, {left:.0f} s left\n")

    return tell
