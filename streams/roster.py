"""The roster: whose readings are asked for and where, and who is told of whom. It may change while iv3 runs.

Whoever has a phone of their own is told there; the house's phones are told of everybody else, and stand in where a
person's own fails.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from streams.ports.notifier import Notifier
from streams.ports.source import GlucoseSource
from streams.topics import partition_of


@dataclass(frozen=True, slots=True)
class Watched:
    """One person's ways in and out; None where there is none of their own."""

    source: GlucoseSource | None = None
    target: Notifier | None = None


class Roster:
    """What is true now; listeners hear when it changes."""

    def __init__(self, people: Mapping[str, Watched] | None = None, house: Sequence[Notifier] = ()) -> None:
        self._people: dict[str, Watched] = dict(people or {})
        self._house = {target.target: target for target in house}
        self._listeners: list[Callable[[], None]] = []

    @property
    def people(self) -> Mapping[str, Watched]:
        """Everybody with a way of their own."""
        return self._people

    @property
    def house(self) -> tuple[str, ...]:
        """The house's phones."""
        return tuple(self._house)

    @property
    def only_own_phones(self) -> bool:
        """Whether the house has none, and somebody has one of their own."""
        return not self._house and any(watched.target is not None for watched in self._people.values())

    def source(self, person: str) -> GlucoseSource | None:
        """Where this person's readings are asked for."""
        found = self._people.get(person)
        return found.source if found is not None else None

    def targets_of(self, person: str) -> tuple[str, ...]:
        """Who is told of this person."""
        return self.own(person) or tuple(self._house)

    def own(self, person: str) -> tuple[str, ...]:
        """Phones of nobody but this person."""
        found = self._people.get(person)
        return (found.target.target,) if found is not None and found.target is not None else ()

    def with_phones(self, partition: int, partitions: int) -> list[str]:
        """Whoever of a partition has a phone of their own."""
        return sorted(
            p for p, w in self._people.items() if w.target is not None and partition_of(p, partitions) == partition
        )

    def notifiers(self) -> dict[str, Notifier]:
        """Every way out by its name; a phone that several people share is there once."""
        own = {w.target.target: w.target for w in self._people.values() if w.target is not None}
        return {**own, **self._house}

    def targets_in(self, partition: int, partitions: int) -> frozenset[str]:
        """Who is told of anybody in one partition."""
        own = (name for person in self.with_phones(partition, partitions) for name in self.own(person))
        return frozenset((*self._house, *own))

    def replace(self, people: Mapping[str, Watched]) -> None:
        """Take the place of what was known of people."""
        self._people = dict(people)
        for listener in list(self._listeners):
            listener()

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` after each change; return what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)
