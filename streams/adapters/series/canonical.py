"""What the readers of every Series share: the canonical line of a range from rows that may be cut, and whole groups of
rows that belong together.
"""

from bisect import bisect_left
from collections.abc import Awaitable, Callable
from typing import TypeVar

from processors.readings import Reading, canonical_readings

MARGIN_MS = 150_000  # the widest window in which one reading hides another
_MORE = 64  # rows beyond the limit: more than ever share a moment
_T = TypeVar("_T")

Fetch = Callable[
    [int, int, int], Awaitable[list[Reading]]
]  # from_ms, to_ms, the most rows: in time order, replaced ones left out


async def canonical_range(fetch: Fetch, from_ms: int, to_ms: int, limit: int) -> list[Reading]:
    """Canonical readings of [from_ms, to_ms), oldest first, at most `limit`. Fewer rows than the most that was asked
    for are all there are.
    """
    most = 2 * limit + 2
    while True:
        rows = await fetch(from_ms - MARGIN_MS, to_ms + MARGIN_MS, most)
        line = canonical_readings(rows)
        whole = len(rows) < most
        # What is hidden near the end of a cut answer depends on what was cut off.
        end_ms = to_ms if whole else min(to_ms, rows[-1].time_ms - MARGIN_MS)
        first, last = (bisect_left(line, ms, key=lambda r: r.time_ms) for ms in (from_ms, end_ms))
        if whole or last - first >= limit:
            return line[first:last][:limit]
        most *= 2


async def first_rows(
    fetch: Callable[[int], Awaitable[list[_T]]],
    group: Callable[[_T], int],
    key: Callable[[_T], tuple[int, str]],
    limit: int,
) -> list[_T]:
    """The first `limit` rows by `key`. `fetch` gives the first n by `group` (a moment), in any order within one."""
    most = limit + _MORE
    while True:
        rows = await fetch(most)
        cut = len(rows) >= most
        if cut:  # of the last moment there may be more
            last = group(rows[-1])
            rows = [row for row in rows if group(row) != last]
        if not cut or len(rows) >= limit:
            return sorted(rows, key=key)[:limit]
        most *= 4
