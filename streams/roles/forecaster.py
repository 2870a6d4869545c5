"""The forecaster: for every new reading one forecast, or one sentence why there is none."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import ClassVar

from processors.copies.erasing import is_placeholder
from processors.predictors.forecasting import VERSION, ForecastResult, ForecastState
from schemas.envelope import Event
from schemas.forecasts import ForecastMade, ForecastWithheld
from schemas.identity import forecast_id
from schemas.model import Partition
from streams.ports.clock import Clock
from streams.ports.log import Log, Record, append_events
from streams.runtime.role import MakeApp, Role
from streams.runtime.snapshots import Snapshots
from streams.topics import FORECASTS, JOURNAL

_LOOK_BACK = 100  # a zombie on Kafka may have written out of order, but never by more than a batch


class Forecaster(Role):
    """Journal in, forecasts out, one per reading, whatever is redelivered."""

    name = "forecaster"
    topics = (JOURNAL,)
    batch: ClassVar[int] = 100

    def __init__(self, log: Log, clock: Clock, make_app: MakeApp) -> None:
        super().__init__(log, clock, make_app)
        self._snapshots = Snapshots(self.log, clock, self.name, VERSION)
        self.people: dict[str, ForecastState] = {}
        self._emitted: dict[int, int] = {}
        # (partition, offset) -> what is folded but not yet acknowledged
        self._said: dict[tuple[int, int], ForecastResult] = {}

    async def fold(self, committed: Mapping[Partition, int]) -> Mapping[Partition, int]:
        """Take up snapshots, fold silently to the committed offset, and read in the own output how far it has
        spoken.
        """
        self.people, self._emitted, self._said = {}, {}, {}
        for (topic, partition), offset in committed.items():
            self._emitted[partition] = await self._spoken(partition)
            floor, people = await self._snapshots.load(partition, ForecastState.load)
            self.people |= people
            await self.fold_log(topic, partition, min(floor, offset), offset, self._quietly)
        return {}

    async def _spoken(self, partition: int) -> int:
        end = (await self.log.latest([FORECASTS])).get((FORECASTS, partition), 0)
        spoken = found = 0
        look_back = _LOOK_BACK

        def step(record: Record) -> None:
            nonlocal spoken, found
            if is_placeholder(record.value):
                return
            found += 1
            data = self.event_of(record).data
            if isinstance(data, ForecastMade | ForecastWithheld):
                spoken = max(spoken, data.pos + 1)

        # The newest may have been of somebody who was erased since: then what the others were told lies further back.
        while end > 0 and found < _LOOK_BACK:
            start = max(0, end - look_back)
            await self.fold_log(FORECASTS, partition, start, end, step)
            end, look_back = start, look_back * 2
        return spoken

    def _quietly(self, record: Record) -> None:
        event = self.event_of(record)
        outlook = self.people.setdefault(event.subject, ForecastState())
        if record.offset >= outlook.offset:
            outlook.take(event, record.offset)
            self._snapshots.touched(record.partition, event.subject)

    def _take(self, event: Event, record: Record) -> ForecastResult | None:
        """Fold once, however often the record comes: until it is acknowledged, what was said is remembered."""
        outlook = self.people.setdefault(event.subject, ForecastState())
        at = (record.partition, record.offset)
        if record.offset >= outlook.offset:
            said = outlook.take(event, record.offset)
            if said is not None:
                self._said[at] = said
        return self._said.get(at)

    async def handle_batch(self, records: Sequence[Record]) -> None:
        """Fold all, then append what is to be said, in the order of the readings."""
        due: list[tuple[Record, Event]] = []
        for record in records:
            event = self.event_of(record)
            said = self._take(event, record)
            if said is not None and record.offset >= self._emitted.get(record.partition, 0):
                due.append((record, self._event(event, said)))
        appends = [asyncio.ensure_future(append_events(self.log, FORECASTS, [event])) for _, event in due]
        if appends:
            await asyncio.wait(appends)
        # Each is asked for, or asyncio reports those behind the first as forgotten.
        failed = [append.exception() for append in appends]
        for (record, _), error in zip(due, failed, strict=True):
            if error is not None:
                raise error  # what was written before it is not written again
            self._emitted[record.partition] = record.offset + 1
        for record in records:
            self._said.pop((record.partition, record.offset), None)
            person = (record.key or b"").decode()
            await self._snapshots.changed(record.partition, person, self.people, record.offset + 1)

    def _event(self, event: Event, said: ForecastResult) -> Event:
        """Nothing of the wall clock is in it, so that a fold that was interrupted writes the same bytes as one that was
        not.
        """
        name = forecast_id(event.id)
        return self.author.say(said, name, event.subject, event.recorded_ms, time_ms=event.time_ms)
