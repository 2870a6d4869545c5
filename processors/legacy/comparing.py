"""What the older Go program has and iv3 has not, and the other way round. Equal things are counted, so two equal doses
are two.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from processors.entries import EntryVersion, entry_id_of, evolve_entry, is_entry_event
from schemas.envelope import Event
from schemas.facts import CarbsEaten, GlucoseRead, InsulinTaken


class LegacyRow(NamedTuple):
    """A reading, a dose or a meal, as far as both programs know it: a whole second, an amount, and of a dose its
    insulin.
    """

    time_s: int
    amount: float
    name: str = ""


@dataclass(frozen=True)
class Difference:
    """The difference in one kind of thing; what is in only one of the two is in the order of time."""

    both: int
    only_old: tuple[LegacyRow, ...]
    only_iv3: tuple[LegacyRow, ...]


def differ(old: Iterable[LegacyRow], new: Iterable[LegacyRow]) -> Difference:
    """The difference between two lists, in whatever order they are."""
    first, second = Counter(old), Counter(new)
    only_old, only_iv3 = (first - second).elements(), (second - first).elements()
    return Difference((first & second).total(), tuple(sorted(only_old)), tuple(sorted(only_iv3)))


class KnownByIv3:
    """A fold of the journal: one person's readings of one source, doses and carbs of [from_ms, to_ms), as they
    are now.
    """

    def __init__(self, person: str, source: str, from_ms: int, to_ms: int) -> None:
        self._person, self._source, self._from_ms, self._to_ms = person, source, from_ms, to_ms
        self._readings: dict[int, float] = {}  # second -> value: of two in one second the last in the log counts
        self._entries: dict[str, EntryVersion] = {}

    def take(self, event: Event) -> None:
        """Fold an event of the journal in."""
        if event.subject != self._person:
            return
        if isinstance(event.data, GlucoseRead):
            if event.source == self._source and self._from_ms <= event.time_ms < self._to_ms:
                self._readings[event.time_ms // 1000] = event.data.glucose_mgdl
        elif is_entry_event(event):
            after = evolve_entry(self._entries.get(entry_id_of(event)), event)
            if isinstance(after, EntryVersion):
                self._entries[after.id] = after

    def readings(self) -> list[LegacyRow]:
        """The readings."""
        return [LegacyRow(second, value) for second, value in self._readings.items()]

    def doses(self) -> list[LegacyRow]:
        """The doses that are not deleted."""
        doses = [(e.time_ms // 1000, e.data) for e in self._there() if isinstance(e.data, InsulinTaken)]
        return [LegacyRow(second, dose.units, dose.insulin) for second, dose in doses]

    def carbs(self) -> list[LegacyRow]:
        """The meals that are not deleted."""
        return [LegacyRow(e.time_ms // 1000, e.data.grams) for e in self._there() if isinstance(e.data, CarbsEaten)]

    def _there(self) -> list[EntryVersion]:
        return [e for e in self._entries.values() if not e.deleted and self._from_ms <= e.time_ms < self._to_ms]
