"""Replay: the derived files made anew from the log, beside the ones that serve, verified, then swapped. Never through Faust, and without any
effect on the world: nothing in history can page anyone.
"""

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from processors.digest import KINDS
from processors.entries import is_entry_event
from schemas.alerts import AlertsDecided, Delivered, DeliveryAttempted, Undeliverable
from schemas.envelope import Event, Garbage, decode
from schemas.facts import GlucoseRead
from schemas.forecasts import ForecastMade
from schemas.model import ms
from streams.catalog import FOLLOWED, Catalog
from streams.errors import StreamError
from streams.generations import catalog_path, current, flip, remove, series_path
from streams.ports import Log, Partition, Record
from streams.projector import rows_of, touched_by
from streams.series.sqlite import SqliteSeries
from streams.topics import ALERTS, FORECASTS, JOURNAL

BATCH = 500  # records per transaction
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
    changed: tuple[
        str, ...
    ]  # person, day and kind of what the old series had otherwise: nothing, unless it was damaged or behind
    seconds: float


@dataclass(slots=True)
class _Expected:
    """What the log itself says must be there, counted apart from the projection."""

    readings: set[str]
    entries: set[str]
    forecasts: set[str]
    alerts: set[str]
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
        elif isinstance(data, AlertsDecided):
            self.alerts |= {f"{event.subject}/{ms(e.at)}/{e.episode}/{e.step}/{e.change}" for e in data.events}
        elif isinstance(data, DeliveryAttempted | Delivered | Undeliverable):
            self.alerts.add(
                f"{event.subject}/{event.time_ms}/{data.episode}/{data.step}/{data.target}/{type(data).__name__}"
            )


async def replay(log: Log, data: Path, progress: Progress | None = None) -> ReplayReport:
    """Build the next generation up to the head, verify it, flip the pointer, delete the old one.

    Raises NewerVersion where the log holds what only a newer release can read, ReplayFailed where the result does not agree with the log.
    """
    began = time.monotonic()
    with _collector_off():
        report = await _replay(log, data, progress)
    return replace(report, seconds=round(time.monotonic() - began, 2))


@contextmanager
def _collector_off() -> Iterator[None]:
    """Millions of small objects come and go here, none of them in a cycle; looking for cycles among them is a fifth of the work."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


async def _replay(log: Log, data: Path, progress: Progress | None) -> ReplayReport:
    old, new = current(data), current(data).next()
    served = _if_there(series_path(data, old.series))
    remove(data, new)  # what an interrupted replay may have left
    series = SqliteSeries(series_path(data, new.series), log.log_id)
    catalog = Catalog(log, catalog_path(data, new.catalog))
    expected = _Expected(set(), set(), set(), set())
    try:
        done = 0
        for _ in range(2):  # once more for what was appended meanwhile; the projector does the rest
            done += await _pass(log, series, catalog, expected, progress, done)
        await catalog.catch_up()
        if catalog.paused:
            raise ReplayFailed(catalog.paused)
        counts = await series.counts()
        _agree(counts, expected)
        changed = await _changed(log, series, served)
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
        counts["alerts"], changed, 0.0,
    )  # fmt: skip


def _if_there(path: Path) -> Path | None:
    return path if path.exists() else None


async def _changed(log: Log, fresh: SqliteSeries, old: Path | None) -> tuple[str, ...]:
    """Where the digests of the rebuilt series and the one that serves differ, as far as both have read the same of the log."""
    if old is None:
        return ()
    served = SqliteSeries(old, log.log_id)
    try:
        if await served.position() != await fresh.position():
            return ()
        before, after = await served.digest(), await fresh.digest()
    finally:
        await served.close()
    return tuple(sorted({f"{row.person} {row.day} {row.kind}" for row in set(before) ^ set(after)}))


async def _pass(
    log: Log, series: SqliteSeries, catalog: Catalog, expected: _Expected, progress: Progress | None, before: int
) -> int:
    """Apply everything up to the heads of now. In this thread: two that take turns at every row are slower than one."""
    start = await series.position()
    heads: dict[Partition, int] = {p: h for p, h in dict(log.heads).items() if p[0] in _TOPICS}
    total = before + sum(max(0, head - start.get(partition, 0)) for partition, head in heads.items())
    done = 0
    for (topic, partition), head in sorted(heads.items(), key=lambda item: _TOPICS.index(item[0][0])):
        at = start.get((topic, partition), 0)
        while at < head:
            records = await log.read(topic, partition, at, head, BATCH)
            if not records:
                break
            at = records[-1].offset + 1
            pairs = _decoded(records, expected)
            if topic in FOLLOWED:
                catalog.take((topic, partition), pairs, at)
            changes, _ = rows_of(pairs, series.entries_now(touched_by(pairs)))
            series.apply_now(changes, {(topic, partition): at})
            done += len(records)
            if progress is not None:
                progress(before + done, total)
    return done


def _decoded(records: list[Record], expected: _Expected) -> list[tuple[Record, Event]]:
    pairs: list[tuple[Record, Event]] = []
    for record in records:
        try:
            event = decode(record.value)
        except Garbage:
            expected.left_out += 1
            continue
        expected.count(event)
        pairs.append((record, event))
    return pairs


def _agree(counts: Mapping[str, int], expected: _Expected) -> None:
    for kind in KINDS:
        want = len(getattr(expected, kind))
        if counts[kind] != want:
            raise ReplayFailed(
                f"the rebuilt series has {counts[kind]} {kind}, the log {want}; the old one goes on serving."
            )
