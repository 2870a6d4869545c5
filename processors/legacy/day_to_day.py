"""The day-to-day report of the Go program: mean glucose, time in range, the mean of each 5-min slot of the UTC day."""

from collections.abc import Iterable
from typing import NamedTuple

_SLOT_MS, _SLOTS = 300_000, 288


class DayToDay(NamedTuple):
    """The report; an empty range, or slot, has zeros. `in_range` is a fraction of the readings."""

    mean_mgdl: float
    in_range: float
    slot_means_mgdl: tuple[float, ...]


def day_to_day(readings: Iterable[tuple[int, float]], low_mgdl: float, high_mgdl: float) -> DayToDay:
    """The report of readings (epoch milliseconds, mg/dL); both limits are in range."""
    sums, counts = [0.0] * _SLOTS, [0] * _SLOTS
    total, inside = 0.0, 0
    for time_ms, glucose_mgdl in readings:
        slot = time_ms // _SLOT_MS % _SLOTS
        sums[slot] += glucose_mgdl
        counts[slot] += 1
        total += glucose_mgdl
        inside += low_mgdl <= glucose_mgdl <= high_mgdl
    many = sum(counts)
    means = (of_slot / count if count else 0.0 for of_slot, count in zip(sums, counts, strict=True))
    return DayToDay(total / many if many else 0.0, inside / many if many else 0.0, tuple(means))
