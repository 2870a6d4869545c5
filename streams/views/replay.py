"""Replay: what is derived from the log made anew, beside what serves, verified, then swapped. Never through Faust, and
without any effect on the world: nothing in history can page anyone.
"""

import gc
import time
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from processors.alerting.episodes import admit_decision
from processors.digest import KINDS
from processors.entries import is_entry_event
from schemas.alerts import AlertsDecided, DecisionPosition, Delivered, DeliveryAttempted, Undeliverable
from schemas.envelope import Event, Garbage, decode
from schemas.facts import GlucoseRead
from schemas.forecasts import ForecastMade
from schemas.model import Partition, ms
from streams.errors import SeriesUnavailable, StreamError
from streams.ports.log import Log, Position, Progress, Record, unwatched
from streams.ports.series import RebuiltSeries, Series, SeriesStore, SeriesVersion
from streams.prefetch import prefetched
from streams.runtime.dead_letters import given_up
from streams.storage.versions import catalog_path, current, flip, remove
from streams.topics import ALERTS, FORECASTS, JOURNAL, PROJECTOR
from streams.views.catalog import FOLLOWED, Catalog
from streams.views.rows import rows_of, touched_by

BATCH = 500  # records per transaction
# of those that the catalog does not follow: forecasts are large, and while few are in hand they stay in the processor's
# cache
_FEW = 50
_TOPICS = (JOURNAL, FORECASTS, ALERTS)  # readings before what was made of them


class ReplayFailed(StreamError):
    """What was rebuilt does not agree with the log; the old goes on serving."""


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What was rebuilt."""

    series: int
    catalog: int
    records: int
    left_out: int  # records that no release can read, or that the projector gave up
    readings: int
    entries: int
    forecasts: int
    alerts: int
    # Person, day and kind of what the old series had otherwise: nothing, unless it was damaged or behind.
    changed: tuple[str, ...]
    seconds: float


@dataclass(slots=True)
class _Expected:
    """What the log itself says must be there, counted apart from the projection."""

    rows: dict[str, set[str]] = field(default_factory=lambda: {kind: set() for kind in KINDS})  # their names, by kind
    through: dict[str, DecisionPosition] = field(default_factory=dict)

    def count(self, event: Event) -> None:
        """Take note of what an event must leave behind."""
        data = event.data
        if isinstance(data, GlucoseRead):
            self.rows["readings"].add(event.id)
        elif isinstance(data, ForecastMade):
            self.rows["forecasts"].add(f"{event.subject}/{data.based_on}")
        elif is_entry_event(event) and not hasattr(data, "entry_id"):
            self.rows["entries"].add(event.id)
        elif isinstance(data, AlertsDecided):
            if admit_decision(event, self.through):
                names = (f"{event.subject}/{ms(e.at)}/{e.episode}/{e.step}/{e.change}" for e in data.events)
                self.rows["alerts"].update(names)
        elif isinstance(data, DeliveryAttempted | Delivered | Undeliverable):
            place = f"{event.subject}/{event.time_ms}/{data.episode}/{data.step}"
            self.rows["alerts"].add(f"{place}/{data.target}/{type(data).__name__}")


async def replay(log: Log, data: Path, store: SeriesStore, progress: Progress = unwatched) -> ReplayReport:
    """Build the next version of Series and catalog up to the head, verify it, let it serve, delete the old one.

    Raises NewerVersion where the log holds what only a newer release can read, ReplayFailed where the result does not
    agree with the log, SeriesUnavailable where the series cannot be reached.
    """
    began, collects = time.monotonic(), gc.isenabled()
    # Millions of small objects come and go here, none of them in a cycle; looking for cycles among them is a fifth of
    # the work.
    gc.disable()
    try:
        report = await _replay(log, data, store, progress)
    finally:
        if collects:
            gc.enable()
    return replace(report, seconds=round(time.monotonic() - began, 2))


async def _replay(log: Log, data: Path, store: SeriesStore, progress: Progress) -> ReplayReport:
    served, old_catalog = await _serving(store), current(data).catalog
    file = catalog_path(data, old_catalog + 1)
    remove(data, file)  # what an interrupted replay may have left
    version, series = await store.make()
    catalog = Catalog(log, file)
    building = _Building(log, series, catalog, await given_up(log, PROJECTOR))
    try:
        for _ in range(2):  # once more for what was appended meanwhile; the projector does the rest
            await building.go_on(progress)
        await catalog.catch_up()
        if catalog.paused:
            raise ReplayFailed(catalog.paused)
        counts = await series.counts()
        _agree(counts, building.expected)
        changed = await _changed(store, series, served)
    except BaseException:
        await series.close()
        catalog.close()
        remove(data, file)
        with suppress(SeriesUnavailable):
            await store.remove(version)
        raise
    await series.close()
    catalog.close()
    await store.serve(version)
    flip(data, replace(current(data), catalog=old_catalog + 1))
    remove(data, catalog_path(data, old_catalog))
    if served is not None:
        await store.remove(served)
    done, left_out = building.done, building.left_out
    return ReplayReport(version.number, old_catalog + 1, done, left_out, changed=changed, seconds=0.0, **counts)


async def _serving(store: SeriesStore) -> SeriesVersion | None:
    """The version that serves; none where somebody deleted it, which is when a replay is needed most."""
    try:
        return await store.serving()
    except SeriesUnavailable:
        return None


async def _changed(store: SeriesStore, fresh: Series, old: SeriesVersion | None) -> tuple[str, ...]:
    """Where the digests of the rebuilt series and the one that serves differ, as far as both have read the same of the
    log.
    """
    if old is None:
        return ()
    served = await store.open(old)
    try:
        if await served.position() != await fresh.position():
            return ()
        before, after = await served.digest(), await fresh.digest()
    except SeriesUnavailable:
        return ()  # what serves cannot be read: one more reason for the new one
    finally:
        await served.close()
    return tuple(sorted({f"{row.person} {row.day} {row.kind}" for row in set(before) ^ set(after)}))


@dataclass
class _Building:
    """A Series and a catalog on their way from nothing to the head of the log."""

    log: Log
    series: RebuiltSeries
    catalog: Catalog
    given_up: AbstractSet[Position]  # what the projector gave up, and so leaves out here as well
    expected: _Expected = field(default_factory=_Expected)
    through: dict[str, DecisionPosition] = field(default_factory=dict)
    done: int = 0
    left_out: int = 0

    async def go_on(self, progress: Progress) -> None:
        """Apply everything up to the heads of now."""
        start = await self.series.position()
        heads: dict[Partition, int] = {p: h for p, h in dict(self.log.heads).items() if p[0] in _TOPICS}
        total = self.done + sum(max(0, head - start.get(partition, 0)) for partition, head in heads.items())
        for (topic, partition), head in sorted(heads.items(), key=lambda item: _TOPICS.index(item[0][0])):
            few = BATCH if topic in FOLLOWED else _FEW
            starts = range(start.get((topic, partition), 0), head, BATCH)
            reads = (self.log.read(topic, partition, n, min(n + BATCH, head), BATCH) for n in starts)
            async with aclosing(prefetched(reads, 2)) as batches:  # while one is taken, the next is read
                async for records in batches:
                    for n in range(0, len(records), few):
                        await self._take(records[n : n + few])
                    progress(self.done, total)
        await self.series.settle()

    async def _take(self, records: list[Record]) -> None:
        """Apply records of one partition."""
        place, reached = (records[0].topic, records[0].partition), records[-1].offset + 1
        pairs = self._decoded(records)
        if place[0] in FOLLOWED:
            self.catalog.take(place, pairs, reached)
        wanted = pairs
        if self.given_up:
            wanted = [(record, event) for record, event in pairs if record.position not in self.given_up]
        self.left_out += len(pairs) - len(wanted)
        for _, event in wanted:
            self.expected.count(event)
        touched = touched_by(wanted) if place[0] == JOURNAL else ()
        entries = await self.series.entries_by_id(touched) if touched else {}
        changes, _ = rows_of(wanted, entries, self.through)
        await self.series.take(changes, {place: reached})
        self.done += len(records)

    def _decoded(self, records: list[Record]) -> list[tuple[Record, Event]]:
        pairs: list[tuple[Record, Event]] = []
        for record in records:
            try:
                pairs.append((record, decode(record.value)))
            except Garbage:
                self.left_out += 1
        return pairs


def _agree(counts: Mapping[str, int], expected: _Expected) -> None:
    for kind in KINDS:
        want = len(expected.rows[kind])
        if counts[kind] != want:
            raise ReplayFailed(
                f"the rebuilt series has {counts[kind]} {kind}, the log {want}; the old one goes on serving."
            )
