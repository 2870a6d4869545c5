"""Digests: a fingerprint of content per person, UTC day and kind, equal wherever the content is equal, whatever holds
it.

What depends on where a record lies (offsets, when it was recorded) is left out, so that a copy or a restored log
digests the same.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache

from processors.entries import EntryVersion, data_of
from processors.readings import Reading

KINDS = ("readings", "entries", "forecasts", "alerts")
_POSITION = re.compile(rb'"pos":\d+,')


def _line(*row: object) -> bytes:
    return json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def reading_line(reading: Reading) -> bytes:
    """The canonical line of a reading."""
    return _line(reading.time_ms, reading.source, reading.glucose_mgdl, reading.trend)


def entry_line(entry: EntryVersion) -> bytes:
    """The canonical line of an entry."""
    return _line(entry.time_ms, entry.id, entry.kind, entry.revision, entry.deleted, data_of(entry))


def forecast_line(body: bytes) -> bytes:
    """The canonical line of a forecast: its JSON as the event had it, without where in the log its reading lies."""
    return _POSITION.sub(b"", body, count=1)


def alert_line(at_ms: int, key: str, body: bytes) -> bytes:
    """The canonical line of a row of the alert history."""
    return b"%d %s %s" % (at_ms, key.encode(), body)


def day_of(time_ms: int) -> str:
    """The UTC day a moment falls on."""
    return _day(time_ms // 86_400_000)


@lru_cache(10_000)
def _day(number: int) -> str:
    return datetime.fromtimestamp(number * 86_400, UTC).strftime("%Y-%m-%d")


def fingerprint(lines: Iterable[bytes]) -> tuple[int, str]:
    """How many lines, and the SHA-256 of them, sorted."""
    ordered = sorted(lines)
    return len(ordered), hashlib.sha256(b"\n".join(ordered)).hexdigest()
