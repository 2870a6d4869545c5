"""The projector: writes the Series. It starts where the Series itself says it is, whatever its group has committed."""

import asyncio
import logging
from collections.abc import Mapping, MutableMapping, Sequence
from typing import ClassVar

from processors.entries import EntryVersion, entry_id_of, is_entry_event
from processors.projection import Change, Through, counts, project
from schemas.alerts import Place
from schemas.envelope import Event
from streams.ports.clock import Clock
from streams.ports.log import Log, Partition, Record
from streams.ports.series import Series
from streams.runtime.role import MakeApp, Role
from streams.topics import ALERTS, FORECASTS, JOURNAL
from streams.views.serving_series import SwappableSeries

logger = logging.getLogger("iv3.projector")

BEHIND_S = 3600.0  # a server's update or a restart is nothing to be told of
_LOOK_BACK = 1_000  # a zombie may have written out of order, but never by more than a batch


class Projector(Role):
    """Journal, forecasts and alerts in; rows of the Series out, in batches of what is already there."""

    name = "projector"
    topics = (JOURNAL, FORECASTS, ALERTS)
    batch: ClassVar[int] = 500

    def __init__(self, log: Log, clock: Clock, make_app: MakeApp, series: Series) -> None:
        super().__init__(log, clock, make_app)
        self._series = self._sink = series
        self._through: dict[str, Place] = {}

    async def fold(self, committed: Mapping[Partition, int]) -> Mapping[Partition, int]:
        """Nothing to learn: the Series knows where it is. Raises SeriesUnavailable while it cannot be asked."""
        # One adapter for each tenure: what is in hand when a replay swaps the Series belongs to the old one, at the old one's position.
        self._sink = self._series.adapter if isinstance(self._series, SwappableSeries) else self._series
        position = await self._sink.position()
        start = {partition: position.get(partition, 0) for partition in committed}
        self._through = {}
        for (topic, number), offset in start.items():
            if topic == ALERTS:
                await self.silently(topic, number, max(0, offset - _LOOK_BACK), offset, self._recall)
        return start

    def _recall(self, record: Record) -> None:
        counts(self.event_of(record), self._through)

    def is_behind(self) -> bool:
        """Whether the Series could not be written for an hour."""
        progress = self.progress
        return bool(progress.failing) and asyncio.get_running_loop().time() - progress.failing_since > BEHIND_S

    async def handle_batch(self, records: Sequence[Record]) -> None:
        """Apply the rows of all records with their position, or nothing."""
        through = dict(self._through)  # a batch that fails is handled again
        await apply_records(self._sink, [(record, self.event_of(record)) for record in records], through)
        self._through = through


async def apply_records(
    series: Series, records: Sequence[tuple[Record, Event]], through: Through | None = None
) -> None:
    """Project records into a Series, in order, together with the position behind them. `through` knows the decisions before them."""
    touched = touched_by(records)
    entries = await series.entries_by_id(touched) if touched else {}
    changes, reached = rows_of(records, entries, {} if through is None else through)
    await series.apply(changes, reached)


def touched_by(records: Sequence[tuple[Record, Event]]) -> set[str]:
    """The entries that the records make or change."""
    return {entry_id_of(event) for _, event in records if is_entry_event(event)}


def rows_of(
    records: Sequence[tuple[Record, Event]], entries: MutableMapping[str, EntryVersion], through: Through
) -> tuple[list[Change], dict[Partition, int]]:
    """What the records change, in order, and where that leads."""
    changes: list[Change] = []
    reached: dict[Partition, int] = {}
    for record, event in records:
        if counts(event, through):
            changes += project(event, entries, record.value or b"")
        reached[record.topic, record.partition] = record.offset + 1
    return changes, reached
