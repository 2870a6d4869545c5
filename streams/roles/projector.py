"""The projector: writes the Series. It starts where the Series itself says it is, whatever its group has committed."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from processors.alerting.episodes import admit_decision
from schemas.alerts import DecisionPosition
from schemas.model import Partition
from streams.ports.clock import Clock
from streams.ports.log import Log, Record
from streams.ports.series import Series
from streams.runtime.report import HealthLine, RoleReport
from streams.runtime.role import MakeApp, Role
from streams.topics import ALERTS, FORECASTS, JOURNAL, PROJECTOR
from streams.views.rows import apply_records

BEHIND_S = 3600.0  # a server's update or a restart is nothing to be told of
_MUCH_LAG = 1_000  # events
_LOOK_BACK = 1_000  # a zombie may have written out of order, but never by more than a batch


class Projector(Role):
    """Journal, forecasts and alerts in; rows of the Series out, in batches of what is already there."""

    name = PROJECTOR
    topics = (JOURNAL, FORECASTS, ALERTS)
    batch: ClassVar[int] = 500

    def __init__(self, log: Log, clock: Clock, make_app: MakeApp, current: Callable[[], Series]) -> None:
        """`current` gives the Series that serves, asked at each assignment; it raises SeriesUnavailable while there is
        none.
        """
        super().__init__(log, clock, make_app)
        self._current = current
        self._sink: Series
        self._through: dict[str, DecisionPosition] = {}

    async def fold(self, committed: Mapping[Partition, int]) -> Mapping[Partition, int]:
        """Nothing to learn: the Series knows where it is. Raises SeriesUnavailable while it cannot be asked."""
        # One adapter for each assignment: what is in hand when a replay swaps the Series belongs to the old one, at the
        # old one's position.
        self._sink = self._current()
        position = await self._sink.position()
        start = {partition: position.get(partition, 0) for partition in committed}
        self._through = {}
        for (topic, number), offset in start.items():
            if topic == ALERTS:
                await self.fold_log(topic, number, max(0, offset - _LOOK_BACK), offset, self._recall)
        return start

    def _recall(self, record: Record) -> None:
        admit_decision(self.event_of(record), self._through)

    def series_exchanged(self, reason: str) -> None:
        """See `Role.series_exchanged`: begin again, on the one that serves now."""
        self.begin_again(reason)

    def is_behind(self) -> bool:
        """Whether the Series could not be written for an hour."""
        progress = self.progress
        return bool(progress.failing) and asyncio.get_running_loop().time() - progress.failing_since > BEHIND_S

    def report(self, person: str = "") -> RoleReport:
        """See `Role.report`: how far what charts are drawn from is behind."""
        common, lag, failing = super().report(person), self.lag(), self.progress.failing
        behind = ("what charts are drawn from could not be written for an hour",) if self.is_behind() else ()
        value = f"{lag:,} events behind" if lag else "up to date"
        line = HealthLine(
            "Series",
            lag < _MUCH_LAG and not failing,
            f"cannot be written, {lag:,} events behind" if failing else value,
            failing or "what charts are drawn from",
        )
        return replace(common, troubles=(*behind, *common.troubles), lines=(line,))

    async def handle_batch(self, records: Sequence[Record]) -> None:
        """Apply the rows of all records with their position, or nothing."""
        through = dict(self._through)  # a batch that fails is handled again
        await apply_records(self._sink, [(record, self.event_of(record)) for record in records], through)
        self._through = through
