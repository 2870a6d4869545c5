"""A log split finer: everybody's records in their order, and each place that a record names as it is there.

Each old partition is dealt out on its own, since each new one takes from one alone. What is said of a partition goes to
each of its shares. Dead letters of topics that are made anew stay behind, for nothing lies at their places.
"""

from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Mapping

from processors.archive.format import ArchivedRecord
from processors.copies.erasing import dead_lettered_position
from processors.copies.repartition import Split, UnknownPosition, is_of_a_partition, moved_letter, moved_record
from schemas.envelope import Event, Garbage, NewerVersion, decode
from schemas.identity import derived_id
from schemas.model import Partition
from streams.copies.whole_partition import Batch, records_of
from streams.errors import CopyFailed, FailedPrecondition
from streams.ports.log import Log, Position, Record
from streams.topics import ALERTS, DEAD_LETTERS, FORECASTS, JOURNAL, partition_of


def refuse_other_than_multiple(old: int, new: int) -> None:
    """Raise FailedPrecondition unless every new partition takes from one old one alone."""
    if new % old:
        raise FailedPrecondition(
            f"A log of {old} partitions cannot become one of {new}: people of several partitions would "
            "come into one, where what was said of each "
            f"(who is told from when) would count for all. Take a multiple of {old}, for instance {2 * old}."
        )


class Repartition:
    """One source up to its heads, for a target of which only the number of partitions and the log id are needed. It
    gives the same each time.
    """

    def __init__(self, source: Log, target: Log, heads: Mapping[Partition, int]) -> None:
        """Raises FailedPrecondition where the target's number is no multiple of the source's."""
        self._source, self._heads, self._target_id = source, heads, target.log_id
        self._old, self._new = source.partitions[JOURNAL], target.partitions[JOURNAL]
        refuse_other_than_multiple(self._old, self._new)
        self._next: Counter[Partition] = Counter()
        self._batch: dict[Partition, list[ArchivedRecord]] = defaultdict(list)
        self._spoken_of: dict[Position, list[Position]] = {}  # by a dead letter -> where it lies now

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Consecutive records of one new partition at a time. Raises CopyFailed, LogUnavailable."""
        self._next.clear()
        self._spoken_of = {at: [] async for at in self._letters_speak_of()}
        for partition in range(self._old):
            split = Split(partition, self._old, self._new, partition_of)
            for topic in (JOURNAL, FORECASTS, ALERTS):
                async for records in records_of(self._source, (topic, partition), self._heads):
                    for record in records:
                        self._deal(record, split)
                    for batch in self._taken():
                        yield batch
        for partition in range(self._old):
            async for records in records_of(self._source, (DEAD_LETTERS, partition), self._heads):
                for record in records:
                    self._letter(record)
                for batch in self._taken():
                    yield batch

    def _taken(self) -> list[Batch]:
        taken, self._batch = list(self._batch.items()), defaultdict(list)
        return taken

    def _put(self, record: Record, partition: int, value: bytes | None) -> None:
        place = (record.topic, partition)
        offset = self._next[place]
        self._next[place] += 1
        self._batch[place].append(record.archived._replace(offset=offset, value=value))
        if record.position in self._spoken_of:
            self._spoken_of[record.position].append(Position(*place, offset))

    def _deal(self, record: Record, split: Split) -> None:
        key, value = record.key or b"", record.value
        if record.topic == JOURNAL:
            self._put(record, split.add(record.offset, key, value), value)
            return
        event = _event_of(record)
        if event is not None and value is not None:
            try:
                value = moved_record(value, event, key, split)
            except UnknownPosition as error:
                raise CopyFailed(
                    f"{record.topic}/{record.partition}/{record.offset} {error}; it can be copied only as "
                    f"it is, with {self._old} partitions."
                ) from error
        for there in split.shares if is_of_a_partition(event) else (split.new_partition(key, value),):
            self._put(record, there, value)

    async def _letters_speak_of(self) -> AsyncGenerator[Position, None]:
        for partition in range(self._old):
            async for records in records_of(self._source, (DEAD_LETTERS, partition), self._heads):
                for record in records:
                    said = dead_lettered_position(record.value)
                    if said is not None:
                        yield Position(*said)

    def _letter(self, record: Record) -> None:
        said = dead_lettered_position(record.value) if _event_of(record) is not None else None
        there = partition_of(record.key or b"", self._new)
        if said is None:
            self._put(record, there, record.value)
        for at in self._spoken_of[Position(*said)] if said is not None else ():
            name = derived_id("copied", self._target_id, record.partition, record.offset, *at)
            self._put(record, there, moved_letter(record.value or b"", name, *at))


def _event_of(record: Record) -> Event | None:
    """The event; None of what nobody can read, and so nobody asks for a place. What a newer release wrote may name
    places that this one does not know of.
    """
    try:
        return decode(record.value)
    except NewerVersion as error:
        raise CopyFailed(
            f"{record.topic}/{record.partition}/{record.offset}: {error}. Copy with that release."
        ) from error
    except Garbage:
        return None
