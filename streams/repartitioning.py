"""A log dealt out to another number of partitions: everybody's records in their order, and each place that a record names as it is there.

What an erasure left in the place of a record is not taken along, nor are dead letters of topics that are made anew. What is said of a partition (who is
told from here on) goes to each new one that takes somebody over from it. Where two old partitions become one, such a record counts there from the
moment it was written in the first of them.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

from processors.erasing import is_placeholder, letter_of
from processors.repartition import (
    JournalPlaces,
    UnknownPlace,
    based_on,
    is_of_a_partition,
    is_reading,
    moved_letter,
    moved_record,
    shares,
)
from processors.segments import ArchivedRecord
from schemas.envelope import Garbage, NewerVersion, decode
from schemas.identity import derived_id
from streams.errors import CopyFailed
from streams.ports import Log, Partition, Position, Record
from streams.topics import ALERTS, DEAD_LETTERS, FORECASTS, JOURNAL, partition_of

_AT_ONCE = 12_000  # records in memory before they are written, and about as many read ahead: some tens of megabytes
_FEWEST_READ = 20
_NEWEST = 100  # as many forecasts as the forecaster looks at to know how far it was

Batch = tuple[Partition, list[ArchivedRecord]]


class Repartition:
    """One source up to its heads, for a target of which only the number of partitions and the log id are needed. It gives the same each time."""

    def __init__(self, source: Log, target: Log, heads: Mapping[Partition, int]) -> None:
        self._source, self._heads, self._target_id = source, heads, target.log_id
        self._old, self._new = source.partitions[JOURNAL], target.partitions[JOURNAL]
        self._next: Counter[Partition] = Counter()
        self._batch: dict[Partition, list[ArchivedRecord]] = defaultdict(list)
        self._spoken_of: dict[Position, list[Position]] = {}  # by a dead letter -> where it lies now
        self._untold: dict[int, int] = {}  # new partition -> the offset of the first reading that has no forecast
        self.read = 0  # records of the source so far

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Consecutive records of one new partition at a time. Raises CopyFailed, LogUnavailable."""
        self._next.clear()
        self._batch.clear()
        self._untold.clear()
        self.read = 0
        await self._note_letters()
        places = JournalPlaces(self._old, self._new, partition_of)
        for part in (self._journal(places), self._forecasts(places), self._alerts(places), self._letters()):
            async for _ in _in_words(part):
                self.read += 1
                if self.read % _AT_ONCE == 0:
                    for batch in self._taken():
                        yield batch
            for batch in self._taken():
                yield batch

    def _taken(self) -> list[Batch]:
        taken = list(self._batch.items())
        self._batch = defaultdict(list)
        return taken

    def _put(self, record: Record, partition: int, value: bytes | None) -> Position:
        place = (record.topic, partition)
        offset = self._next[place]
        self._next[place] += 1
        self._batch[place].append(ArchivedRecord(offset, record.timestamp_ms, record.key, value, record.headers))
        at = Position(record.topic, record.partition, record.offset)
        if at in self._spoken_of:
            self._spoken_of[at].append(Position(*place, offset))
        return Position(*place, offset)

    # -- topic by topic ----------------------------------------------------------------------------

    async def _journal(self, places: JournalPlaces) -> AsyncGenerator[Record, None]:
        foretold = {
            place[1]: await self._foretold(place[1], head)
            for place, head in self._heads.items()
            if place[0] == FORECASTS
        }
        async for record in self._merged(JOURNAL, _taken_at):
            kept = not is_placeholder(record.value)
            there = places.add(record.partition, record.key or b"", kept=kept)
            if kept:
                at = self._put(record, there, record.value)
                if record.offset > foretold.get(record.partition, -1) and is_reading(record.value):
                    self._untold.setdefault(there, at.offset)
            yield record

    async def _foretold(self, partition: int, head: int) -> int:
        """The last reading of a partition that has its forecast. After a crash a few at the end have none."""
        newest = await self._source.read(FORECASTS, partition, max(0, head - _NEWEST), head, _NEWEST)
        return max((offset for record in newest if (offset := based_on(record.value)) is not None), default=-1)

    async def _forecasts(self, places: JournalPlaces) -> AsyncGenerator[Record, None]:
        """In the order of what they are based on, as every fold of a partition expects them, up to the first reading that has none: the forecaster
        goes on there, and makes those behind it again, which are the same.
        """

        def rank(record: Record) -> int:
            offset = based_on(record.value)
            return -1 if offset is None else places.order(record.partition, offset)

        async for record in self._merged(FORECASTS, rank):
            key = record.key or b""
            there, value = partition_of(key, self._new), self._moved(record, places)
            offset = based_on(value)
            if not is_placeholder(value) and (offset is None or offset < self._untold.get(there, offset + 1)):
                self._put(record, there, value)
            yield record

    async def _alerts(self, places: JournalPlaces) -> AsyncGenerator[Record, None]:
        async for record in self._merged(ALERTS, _taken_at):
            if not is_placeholder(record.value):
                value = self._moved(record, places)
                for there in self._where(record):
                    self._put(record, there, value)
            yield record

    def _moved(self, record: Record, places: JournalPlaces) -> bytes | None:
        _refuse_newer(record)
        return moved_record(record.value, record.partition, record.key or b"", places)

    def _where(self, record: Record) -> range:
        if is_of_a_partition(record.value):
            return shares(record.partition, self._old, self._new)
        there = partition_of(record.key or b"", self._new)
        return range(there, there + 1)

    async def _note_letters(self) -> None:
        """Learn what dead letters speak of, so that its new place is noted while it is dealt out."""
        self._spoken_of = {}
        for place in self._heads:
            if place[0] == DEAD_LETTERS:
                async with aclosing(self._records(place)) as records:
                    async for record in records:
                        said = letter_of(record.value)
                        if said is not None:
                            self._spoken_of[Position(*said)] = []

    async def _letters(self) -> AsyncGenerator[Record, None]:
        async for record in self._merged(DEAD_LETTERS, _taken_at):
            _refuse_newer(record)
            said = letter_of(record.value)
            there = partition_of(record.key or b"", self._new)
            if said is None and not is_placeholder(record.value):
                self._put(record, there, record.value)
            for at in self._spoken_of[Position(*said)] if said is not None else ():
                name = derived_id("copied", self._target_id, record.partition, record.offset, *at)
                self._put(record, there, moved_letter(record.value or b"", name, *at))
            yield record

    # -- reading -----------------------------------------------------------------------------------

    async def _merged(self, topic: str, rank: Callable[[Record], int]) -> AsyncGenerator[Record, None]:
        """All partitions of a topic as one stream in which each keeps its order; of those that come next, the one of the lowest rank."""
        streams = {place[1]: self._records(place) for place in sorted(self._heads) if place[0] == topic}
        first: list[tuple[int, int, Record]] = []
        for partition, stream in streams.items():
            async for record in stream:
                first.append((rank(record), partition, record))
                break
        heapq.heapify(first)
        while first:
            _, partition, record = first[0]
            following = await anext(streams[partition], None)
            if following is None:
                heapq.heappop(first)
            else:
                heapq.heapreplace(first, (rank(following), partition, following))
            yield record

    async def _records(self, place: Partition) -> AsyncGenerator[Record, None]:
        at, head = 0, self._heads[place]
        size = max(_FEWEST_READ, _AT_ONCE // self._old)
        while at < head:
            records = await self._source.read(*place, at, head, size)
            if not records or records[0].offset != at:
                raise CopyFailed(
                    f"{place[0]}/{place[1]}: record {at} is missing in the log that is copied; iv3 verify its archive."
                )
            for record in records:
                yield record
            at = records[-1].offset + 1


async def _in_words(part: AsyncGenerator[Record, None]) -> AsyncGenerator[Record, None]:
    async with aclosing(part) as records:
        try:
            async for record in records:
                yield record
        except UnknownPlace as error:
            raise CopyFailed(
                f"A record {error}. If iv3 is still writing to the log, stop it first; then copy again into an empty one."
            ) from error


def _taken_at(record: Record) -> int:
    return record.timestamp_ms


def _refuse_newer(record: Record) -> None:
    """What a newer release wrote may name places that this one does not know of."""
    try:
        decode(record.value)
    except NewerVersion as error:
        raise CopyFailed(
            f"{record.topic}/{record.partition}/{record.offset}: {error}. Copy with that release."
        ) from error
    except Garbage:
        pass  # nobody can read it, so nobody asks it for a place
