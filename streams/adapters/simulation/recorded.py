"""A recorded person: the events of a CSV, moved in time so that they can be lived again."""

import csv
import math
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from processors.simulated_person import LONG_NAME, RAPID_NAME, Kind, SimulatedEvent
from schemas.model import ms

_NEEDED: Final = ("subject", "time", "glucose_mgdl")
_COLUMNS: Final[tuple[tuple[str, Kind, str], ...]] = (
    # column, kind, name; basal rates (insulin_basal_uph) are a pump's and have no place here
    ("glucose_mgdl", "glucose", ""),
    ("insulin_bolus_u", "rapid", RAPID_NAME),
    ("insulin_long_u", "long", LONG_NAME),
    ("carbs_g", "carbs", "meal"),
)


def read_recorded(
    path: Path, *, start_ms: int, subject: str | None = None, at: str | None = None
) -> list[SimulatedEvent]:
    """The events of `subject` (default: the file's first), in order of time.

    The file's time `at` (ISO 8601, default: the subject's first row) becomes `start_ms`; what lies before it becomes
    history. Raises ValueError with a sentence about the file, the column, the subject or the row that is wrong.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            events = _read(csv.DictReader(file), path, subject)
    except FileNotFoundError as error:
        raise ValueError(f"There is no file {path}: give the path of a CSV of glucose records.") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read as a CSV ({error}).") from error
    origin_ms = events[0].time_ms if at is None else _moment_ms(at, f"the time to start at, {at!r},")
    events.sort(key=lambda event: event.time_ms)
    return [event._replace(time_ms=event.time_ms - origin_ms + start_ms) for event in events]


def _read(rows: "csv.DictReader[str]", path: Path, subject: str | None) -> list[SimulatedEvent]:
    missing = [name for name in _NEEDED if name not in (rows.fieldnames or ())]
    if missing:
        raise ValueError(f"{path} has no column {' or '.join(missing)}; it needs at least {', '.join(_NEEDED)}.")
    events: list[SimulatedEvent] = []
    others: set[str] = set()
    for row in rows:
        if subject is None:
            subject = row["subject"]
        if row["subject"] != subject:
            others.add(row["subject"] or "")
            continue
        events.extend(_events(row, f"{path}, row {rows.line_num}:"))
    if not events:
        known = ", ".join(sorted(others)[:10]) or "nobody"
        raise ValueError(f"{path} has no events of subject {subject!r}; it knows {known}.")
    return events


def _events(row: dict[str, str], where: str) -> Iterator[SimulatedEvent]:
    time_ms = _moment_ms(row["time"], f"{where} the time {row['time']!r}")
    for column, kind, name in _COLUMNS:
        text = row.get(column) or ""
        if not text.strip():
            continue
        try:
            value = float(text)
        except ValueError as error:
            raise ValueError(f"{where} {column} is {text!r}, which is no number.") from error
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"{where} {column} is {text!r}; it must be a number from 0 up.")
        if value > 0:
            yield SimulatedEvent(time_ms, kind, round(value, 2), name)


def _moment_ms(text: str, what: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{what} is no ISO 8601 time such as 2026-01-31T07:05:00Z.") from error
    if moment.tzinfo is None:
        raise ValueError(f"{what} has no time zone; write it as 2026-01-31T07:05:00Z.")
    return ms(moment)
