"""A log split finer: where each record of a partition comes to lie, and how records that name places are written for
it.

Only to a multiple of the old number: then each new partition takes from one old one alone, and what was said of that
one (who is told from when, up to where forecasts are made) holds for the new one as it is. Forecasts and decisions name
journal offsets, by which every fold drops what it has seen.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable

import pydantic_core

from processors.copies.erasing import is_placeholder
from schemas.alerts import AlertsDecided, TargetAdded, TargetRemoved
from schemas.envelope import SYSTEM, Event
from schemas.forecasts import ForecastMade, ForecastWithheld

PartitionOf = Callable[[bytes, int], int]  # (key, how many partitions)

_SYSTEM = SYSTEM.encode()


class UnknownPosition(ValueError):
    """A record names a place that the log does not have, so it cannot be said where that lies now."""


class Split:
    """One old partition of `old`, dealt out among those of `new` that it shares. 8 bytes of memory for each of its
    journal's records.
    """

    def __init__(self, partition: int, old: int, new: int, partition_of: PartitionOf) -> None:
        self.shares = range(partition, new, old)
        self._new, self._partition_of = new, partition_of
        self._houses = partition == partition_of(_SYSTEM, old)
        # New partition -> the old offsets of its journal, rising.
        self._dealt = {there: array("q") for there in self.shares}
        self._head = 0

    def new_partition(self, key: bytes, value: bytes | None) -> int:
        """The new partition of a record: by its key. What an erasure left in the place of a record has none of its own,
        and stays where it counts.
        """
        if is_placeholder(value) and not self._houses:
            return self.shares[0]
        there = self._partition_of(key, self._new)
        return there if there in self._dealt else self.shares[0]  # somebody chose its partition, whatever its key says

    def add(self, offset: int, key: bytes, value: bytes | None) -> int:
        """Deal out the next record of the journal; returns its new partition and offset."""
        there = self.new_partition(key, value)
        self._dealt[there].append(offset)
        self._head = offset + 1
        return there

    def new_offset(self, offset: int, key: bytes) -> int:
        """Where an old place of the journal lies among what went to the partition of `key`: a record's own new offset,
        or that of the last one before it.

        -1 is before the first, as it was. Raises UnknownPosition.
        """
        if offset >= self._head:
            raise UnknownPosition(f"names journal offset {offset}, and the journal ends at {self._head}")
        return bisect_right(self._dealt[self.new_partition(key, None)], offset) - 1


def is_of_a_partition(event: Event | None) -> bool:
    """Whether it speaks of its partition, whoever its key is: then it must be in each that takes from that one."""
    return event is not None and isinstance(event.data, TargetAdded | TargetRemoved)


def moved_record(value: bytes, event: Event, key: bytes, split: Split) -> bytes:
    """A forecast or decision with the place that it names; anything else as it is. Raises UnknownPosition."""
    data = event.data
    if isinstance(data, ForecastMade | ForecastWithheld):
        now = split.new_offset(data.pos, key)
        said = b'"pos":%d,' % data.pos
        if value.count(b'"pos":') == 1 and said in value:  # by hand: inside a text its quotes would be escaped
            return value.replace(said, b'"pos":%d,' % now, 1)
        return _written_again(value, now)
    if isinstance(data, AlertsDecided):
        offset, *rest = data.pos
        return _written_again(value, [split.new_offset(offset, key), *rest])
    return value


def _written_again(value: bytes, pos: object) -> bytes:
    said = pydantic_core.from_json(value)
    return pydantic_core.to_json({**said, "data": {**said["data"], "pos": pos}})


def moved_letter(value: bytes, letter_id: str, topic: str, partition: int, offset: int) -> bytes:
    """A dead letter that names another place, under an id of its own."""
    said = pydantic_core.from_json(value)
    data = {**said["data"], "topic": topic, "partition": partition, "offset": offset}
    return pydantic_core.to_json({**said, "id": letter_id, "data": data})
