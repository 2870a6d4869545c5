"""Another number of partitions: where each record of a log comes to lie, and how records that name places are written for it.

Forecasts and decisions name journal offsets, and dead letters name records; folds drop what they have seen by those numbers. So the journal is dealt
out first, in one order over all partitions in which each partition keeps its own, and every place that anything names is looked up in that order.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable
from math import gcd
from typing import Any

import pydantic_core

from schemas.alerts import AlertsDecided, TargetAdded, TargetRemoved
from schemas.forecasts import ForecastMade, ForecastWithheld

PartitionOf = Callable[[bytes, int], int]  # (key, how many partitions)

_BASED = (ForecastMade.TYPE, ForecastWithheld.TYPE)
_OF_A_PARTITION = (TargetAdded.TYPE, TargetRemoved.TYPE)


class UnknownPlace(ValueError):
    """A record names a place that the log does not have, so it cannot be said where that lies now."""


class JournalPlaces:
    """Where the journal's records lie in a log of `new` partitions. 16 bytes of memory for each of them.

    `add` is called once for each record of the old journal, in the order in which they are dealt out.
    """

    def __init__(self, old: int, new: int, partition_of: PartitionOf) -> None:
        self._new, self._partition_of = new, partition_of
        self._order = [array("q") for _ in range(old)]  # old offset -> number in the order of dealing
        self._dealt = [array("q") for _ in range(new)]  # new offset -> the same number
        self._newest: dict[bytes, int] = {}  # key -> the number of its newest record that was kept
        self._next = 0

    def add(self, partition: int, key: bytes, *, kept: bool = True) -> int:
        """Deal out the next record of an old partition; the new partition. Of one that is not `kept` the place is that of the last of its key before."""
        there = self._partition_of(key, self._new)
        if kept:
            self._dealt[there].append(self._next)
            self._newest[key] = self._next
            self._next += 1
        self._order[partition].append(self._newest.get(key, -1))
        return there

    def order(self, partition: int, offset: int) -> int:
        """The number of an old record in the order of dealing. Raises UnknownPlace."""
        if not 0 <= offset < len(self._order[partition]):
            raise UnknownPlace(
                f"names journal offset {offset} of partition {partition}, which the journal does not have"
            )
        return self._order[partition][offset]

    def moved(self, partition: int, offset: int, key: bytes) -> int:
        """Where an old place lies among what is dealt to `key`: of a record of that key its new offset, of any other that of the last one before it.

        -1 is before the first, as it was. Raises UnknownPlace.
        """
        if offset < 0:
            return -1
        return bisect_right(self._dealt[self._partition_of(key, self._new)], self.order(partition, offset)) - 1


def shares(partition: int, old: int, new: int) -> range:
    """The new partitions to which keys of an old one may come: both are one number modulo the count."""
    step = gcd(old, new)
    return range(partition % step, new, step)


def is_of_a_partition(value: bytes | None) -> bool:
    """Whether the record speaks of its partition, whoever its key is: it must then be in each that takes something over."""
    return value is not None and any(f'"type":"{name}"'.encode() in value[:400] for name in _OF_A_PARTITION)


def is_reading(value: bytes | None) -> bool:
    """Whether it is a reading, which gets a forecast."""
    return value is not None and b'"type":"iv3.reading.' in value[:400]


def based_on(value: bytes | None) -> int | None:
    """The journal offset that a forecast is based on; None where the record is none."""
    said = _object(value)
    return int(said["data"]["pos"]) if said.get("type") in _BASED else None


def moved_record(value: bytes | None, partition: int, key: bytes, places: JournalPlaces) -> bytes | None:
    """A forecast or decision with the place that it names; anything else as it is. Raises UnknownPlace."""
    said = _object(value)
    if said.get("type") in _BASED:
        said["data"]["pos"] = places.moved(partition, int(said["data"]["pos"]), key)
    elif said.get("type") == AlertsDecided.TYPE:
        offset, *rest = said["data"]["pos"]
        said["data"]["pos"] = [places.moved(partition, int(offset), key), *rest]
    else:
        return value
    return pydantic_core.to_json(said)


def moved_letter(value: bytes, letter_id: str, topic: str, partition: int, offset: int) -> bytes:
    """A dead letter that names another place, under an id of its own."""
    said = _object(value)
    data = {**said["data"], "topic": topic, "partition": partition, "offset": offset}
    return pydantic_core.to_json({**said, "id": letter_id, "data": data})


def _object(value: bytes | None) -> dict[str, Any]:
    """The JSON object in these bytes; empty where there is none, for what nobody can read names no place."""
    try:
        found = pydantic_core.from_json(value or b"")
    except ValueError:
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("data"), dict) else {}
