"""What every Series shares: a canonical line from rows that may be cut, the first forecasts of a range, the digest."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from processors.digest import KINDS, day_of, fingerprint
from processors.readings import Reading, canonical_readings
from streams.ports.series import DigestRow, ForecastRow

MARGIN_MS = 150_000  # the widest window in which one reading hides another
_MORE = 64  # rows beyond the limit: more than ever share a moment
ENTRY_COLUMNS = "id, person, kind, time_ms, revision, deleted, data, recorded_ms, actor"

# from_ms, to_ms, the most rows: in time order, replaced ones left out
Fetch = Callable[[int, int, int], Awaitable[list[Reading]]]


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


async def first_forecasts(fetch: Callable[[int], Awaitable[list[ForecastRow]]], limit: int) -> list[ForecastRow]:
    """The first `limit` forecasts by time and name. `fetch` gives the first n by time, in any order within a moment."""
    most = limit + _MORE
    while True:
        rows = await fetch(most)
        cut = len(rows) >= most
        if cut:  # of the last moment there may be more
            rows = [row for row in rows if row.reading_time_ms != rows[-1].reading_time_ms]
        if not cut or len(rows) >= limit:
            return sorted(rows)[:limit]
        most *= 4


class Digest:
    """The digest of a Series, as it comes together: rows of one kind after the other, all of a day at once."""

    def __init__(self) -> None:
        self._found: list[DigestRow] = []

    def add(self, kind: str, line_of: Callable[..., bytes], rows: Iterable[tuple[Any, ...]]) -> None:
        """Take in rows of whole days: whose each is, its time, and what else `line_of` makes its line of."""
        days: dict[tuple[str, str], list[bytes]] = defaultdict(list)
        for person, time_ms, *row in rows:
            days[person, day_of(time_ms)].append(line_of(time_ms, *row))
        self._found += [DigestRow(*at, kind, *fingerprint(said)) for at, said in days.items()]

    def in_order(self) -> list[DigestRow]:
        """The rows by person, day and kind."""
        return sorted(self._found, key=lambda row: (row.person, row.day, KINDS.index(row.kind)))
