"""Digests: a fingerprint of content per person, UTC day and kind, equal wherever the content is equal, whatever holds it.

What depends on where a record lies (offsets, when it was recorded) is left out, so that a copy or a restored log digests the same.
"""

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from processors.entries import EntryVersion, data_of
from processors.readings import Reading

KINDS = ("readings", "entries", "forecasts", "alerts")


def reading_row(reading: Reading) -> list[Any]:
    """The canonical row of a reading."""
    return [reading.time_ms, reading.source, reading.glucose_mgdl, reading.trend]


def entry_row(entry: EntryVersion) -> list[Any]:
    """The canonical row of an entry."""
    return [entry.time_ms, entry.id, entry.kind, entry.revision, entry.deleted, data_of(entry)]


def forecast_row(body: bytes) -> list[Any]:
    """The canonical row of a forecast."""
    data = json.loads(body)
    data.pop("pos", None)
    return [data.pop("reading_time"), data]


def alert_row(at_ms: int, key: str, body: bytes) -> list[Any]:
    """The canonical row of a row of the alert history."""
    return [at_ms, key, json.loads(body)]


def day_of(time_ms: int) -> str:
    """The UTC day a moment falls on."""
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%d")


def fingerprint(rows: Iterable[list[Any]]) -> tuple[int, str]:
    """How many rows, and the SHA-256 of their sorted JSON lines."""
    lines = sorted(json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False) for row in rows)
    return len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest()
