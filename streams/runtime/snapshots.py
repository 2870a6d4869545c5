"""Snapshots: how a role that folds the journal finds its state again without reading all of it.

Every `EVERY` records of a partition (more where it holds many people) the role writes the state of each person that
changed, and then a floor: below its offset everybody is covered. On assignment it loads them and silently folds from
the floor to the committed offset. A snapshot of another log or version is ignored.

What is folded of the alerts is one state for a whole partition (`PartitionSnapshots`): it goes on from the newest one
that fits, or from nothing.
"""

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol, TypeVar

from schemas.bookkeeping import SnapshotTaken
from schemas.envelope import Author, Garbage, NewerVersion, decode, encode
from schemas.identity import derived_id
from streams.errors import Transient
from streams.ports.clock import Clock
from streams.ports.log import AppendableLog, Record
from streams.topics import SNAPSHOTS

logger = logging.getLogger("iv3.snapshots")
_T = TypeVar("_T")

EVERY = 144
_EACH = 24  # records of each person between two of their snapshots, where a partition holds many people
_SHARE = 256  # characters of a partition's state for each record in between: the more people, the rarer


class Folded(Protocol):
    """One person's state."""

    offset: int

    def dump(self) -> str:
        """The state as text."""


class _LoggedSnapshots:
    """The snapshots of one fold as they lie in the log; `fold` is its name, with which every key begins."""

    def __init__(self, log: AppendableLog, clock: Clock, fold: str, version: str) -> None:
        self._log, self._clock, self._fold, self._version = log, clock, fold, version
        self._since: Counter[int] = Counter()  # partition -> records since the last ones

    async def _read(self, partition: int, take: Callable[[SnapshotTaken], None]) -> None:
        """Give `take` each snapshot of this log and version, in order."""
        mine, ours = f"{self._fold}/".encode(), (self._fold, self._log.log_id, self._version)

        def step(record: Record) -> None:
            if not (record.key or b"").startswith(mine):
                return
            with suppress(Garbage, NewerVersion):
                taken = decode(record.value).data
                if isinstance(taken, SnapshotTaken) and (taken.role, taken.log_id, taken.version) == ours:
                    take(taken)

        await self._log.fold(SNAPSHOTS, partition, 0, None, step)

    async def _write(self, partition: int, which: str, state: str, offset: int, person: str | None = None) -> None:
        taken = SnapshotTaken(
            role=self._fold, person=person, log_id=self._log.log_id, offset=offset, version=self._version, state=state
        )
        key, author = f"{self._fold}/{which}", Author(f"iv3/{self._fold}")
        event = author.say(taken, derived_id(key, partition, offset), person or self._fold, self._clock.now_ms())
        await self._log.append(SNAPSHOTS, key, [encode(event)], partition=partition)


class Snapshots(_LoggedSnapshots):
    """Writes and reads the snapshots of one role."""

    def __init__(self, log: AppendableLog, clock: Clock, role: str, version: str) -> None:
        super().__init__(log, clock, role, version)
        self._changed: dict[int, set[str]] = defaultdict(set)
        self._kept: dict[int, dict[str, int]] = {}  # partition -> whose snapshot is the newest of which offset

    async def load(self, partition: int, of: Callable[[str, int], _T]) -> tuple[int, dict[str, _T]]:
        """The floor, and what `of` makes of each person's state and its offset; (0, {}) where there is nothing that
        fits.
        """
        floor = 0
        states: dict[str, tuple[str, int]] = {}
        covered: dict[str, int] = {}

        def take(taken: SnapshotTaken) -> None:
            nonlocal floor, covered
            # A worker that was stopped in the middle of a write and woke up later may write an older one last.
            if taken.person is None:
                if taken.offset >= floor:
                    floor, covered = taken.offset, json.loads(taken.state or "{}")
            elif taken.offset >= states.get(taken.person, ("", 0))[1]:
                states[taken.person] = (taken.state, taken.offset)

        await self._read(partition, take)
        # Compaction keeps only the last of a key: if that is an older one, what lies between it and the floor is in no
        # snapshot.
        if not floor or any(states.get(person, ("", -1))[1] < at for person, at in covered.items()):
            floor, states = 0, {}
        self._kept[partition] = {person: at for person, (_, at) in states.items()}
        return floor, {person: of(*state) for person, state in states.items()}

    def touched(self, partition: int, person: str) -> None:
        """Note a change that a silent fold brought: the next floor covers this person only with a snapshot of
        its own.
        """
        self._changed[partition].add(person)

    async def changed(self, partition: int, person: str, people: Mapping[str, Folded], next_offset: int) -> None:
        """Note that a person's state changed; write snapshots when enough has. A disk that is nearly full only costs a
        longer start.
        """
        self._changed[partition].add(person)
        self._since[partition] += 1
        if self._since[partition] < max(EVERY, _EACH * len(self._changed[partition])):
            return
        self._since[partition] = 0
        try:
            kept = self._kept.setdefault(partition, {})
            for name in sorted(self._changed[partition]):
                at = people[name].offset
                await self._write(partition, name, people[name].dump(), at, name)
                kept[name] = at
            await self._write(partition, "/floor", json.dumps(kept), next_offset)
        except Transient:
            return
        self._changed[partition].clear()


class PartitionSnapshots(_LoggedSnapshots):
    """Writes and reads the snapshots of one fold over whole partitions. `fold` names it; no role is called so, and so
    no person's key begins so.
    """

    def __init__(self, log: AppendableLog, clock: Clock, fold: str, version: str) -> None:
        super().__init__(log, clock, fold, version)
        self._size: Counter[int] = Counter()  # of the last one, characters

    async def load(self, partition: int) -> tuple[int, str]:
        """The newest state that fits, and the offset before which it was; (0, "") where there is none."""
        found = (0, "")

        def take(taken: SnapshotTaken) -> None:
            nonlocal found
            found = (taken.offset, taken.state)

        await self._read(partition, take)
        self._since[partition], self._size[partition] = 0, len(found[1])
        return found

    def folded(self, partition: int) -> None:
        """Note that a record was folded in."""
        self._since[partition] += 1

    async def keep(self, partition: int, offset: int, dump: Callable[[], str]) -> None:
        """Write the state before `offset`, if enough was folded since the last time. Where that cannot be done, the
        next start only takes longer.
        """
        if self._since[partition] < max(EVERY, self._size[partition] // _SHARE):
            return
        state = dump()
        self._since[partition], self._size[partition] = 0, len(state)
        try:
            await self._write(partition, "/partition", state, offset)
        except Transient as error:
            logger.info("a snapshot of %s/%d was not written: %s", self._fold, partition, error)
