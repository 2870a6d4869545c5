"""Readings at minutes or milliseconds after T0, and the line they make."""

from processors.readings import (
    CanonicalReadings,
    Reading,
)
from tests.support.night import MIN, T0


def reading(minutes: float, source: str = "dexcom-share", glucose: float = 100, name: str | None = None) -> Reading:
    at = T0 + int(minutes * MIN)
    return Reading(at, glucose, None, "".join(source), name or f"{source}{at}{glucose}")


def at(ms: int, source: str = "dexcom-share", glucose: float = 100, name: str | None = None) -> Reading:
    """A reading so many milliseconds after T0."""
    return Reading(T0 + ms, glucose, None, "".join(source), name or f"{source}{ms}/{glucose}")


def canonical_of(*readings: Reading) -> CanonicalReadings:
    line = CanonicalReadings()
    for reading in readings:
        line.admit(reading)
    return line
