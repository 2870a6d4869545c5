"""Replay: the derived files made anew from the log, beside the ones that serve, verified, then swapped. Never through Faust, and without any
effect on the world: nothing in history can page anyone.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from processors.entries import is_entry_event
from schemas.envelope import Event, Garbage, decode
from schemas.facts import GlucoseRead
from schemas.forecasts import ForecastMade
from streams.catalog import Catalog
from streams.errors import StreamError
from streams.generations import catalog_path, current, flip, remove, series_path
from streams.ports import Log, Partition, Record
from streams.projector import apply_records
from streams.series.sqlite import SqliteSeries
from streams.topics import ALERTS, FORECASTS, JOURNAL

BATCH = 2_000  # records per transaction
_TOPICS = (JOURNAL, FORECASTS, ALERTS)  # readings before what was made of them

Progress = Callable[[int, int], None]


class ReplayFailed(StreamError):
    """The rebuilt files do not agree with the log; the old ones go on serving."""


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What was rebuilt."""

    series: int
    catalog: int
    records: int
    left_out: int  # records that no release can read
    readings: int
    entries: int
    forecasts: int
    alerts: int
    seconds: float


@dataclass(slots=True)
class _Expected:
    """What the log itself says must be there, counted apart from the projection."""

    readings: set[str]
    entries: set[str]
    forecasts: set[str]
    left_out: int = 0

    def count(self, event: Event) -> None:
        """Take note of what an event must leave behind."""
        data = event.data
        if isinstance(data, GlucoseRead):
            self.readings.add(event.id)
        elif isinstance(data, ForecastMade):
            self.forecasts.add(f"{event.subject}/{data.based_on}")
        elif is_entry_event(event) and not hasattr(data, "entry_id"):
            self.entries.add(event.id)


async def replay(log: Log, data: Path, progress: Progress | None = None) -> ReplayReport:
    """Build the next generation up to the head, verify it, flip the pointer, delete the old one.

    Raises NewerVersion where the log holds what only a newer release can read, ReplayFailed where the result does not agree with the log.
    """
    began = time.monotonic()
    old, new = current(data), current(data).next()
    remove(data, new)  # what an interrupted replay may have left
    series = SqliteSeries(series_path(data, new.series), log.log_id)
    catalog = Catalog(log, catalog_path(data, new.catalog))
    expected = _Expected(set(), set(), set())
    try:
        done = 0
        for _ in range(2):  # once more for what was appended meanwhile; the projector does the rest
            done += await _pass(log, series, expected, progress, done)
        await catalog.catch_up()
        if catalog.paused:
            raise ReplayFailed(catalog.paused)
        counts = await series.counts()
        _agree(counts, expected)
    except BaseException:
        await series.close()
        catalog.store.close()
        remove(data, new)
        raise
    await series.close()
    catalog.store.close()
    flip(data, new)
    remove(data, old)
    return ReplayReport(
        new.series, new.catalog, done, expected.left_out, counts["readings"], counts["entries"], counts["forecasts"],
        counts["alerts"], round(time.monotonic() - began, 2),
    )  # fmt: skip


async def _pass(log: Log, series: SqliteSeries, expected: _Expected, progress: Progress | None, before: int) -> int:
    start = await series.position()
    heads: dict[Partition, int] = {p: h for p, h in dict(log.heads).items() if p[0] in _TOPICS}
    total = before + sum(max(0, head - start.get(partition, 0)) for partition, head in heads.items())
    done = 0
    for topic in _TOPICS:
        for (name, partition), head in heads.items():
            if name != topic:
                continue
            at = start.get((topic, partition), 0)
            while at < head:
                records = await log.read(topic, partition, at, head, BATCH)
                if not records:
                    break
                at = records[-1].offset + 1
                await _apply(series, records, expected)
                done += len(records)
                if progress is not None:
                    progress(before + done, total)
    return done


async def _apply(series: SqliteSeries, records: list[Record], expected: _Expected) -> None:
    pairs: list[tuple[Record, Event]] = []
    for record in records:
        try:
            event = decode(record.value)
        except Garbage:
            expected.left_out += 1
            continue
        expected.count(event)
        pairs.append((record, event))
    last = records[-1]
    await apply_records(series, pairs, {(last.topic, last.partition): last.offset + 1})


def _agree(counts: Mapping[str, int], expected: _Expected) -> None:
    for kind in ("readings", "entries", "forecasts"):
        want = len(getattr(expected, kind))
        if counts[kind] != want:
            raise ReplayFailed(
                f"the rebuilt series has {counts[kind]} {kind}, the log {want}; the old one goes on serving."
            )
