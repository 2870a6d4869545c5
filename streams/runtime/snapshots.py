"""Snapshots: how a role that folds the journal finds its state again without reading all of it.

Every `EVERY` records of a partition (more where it holds many people) the role writes the state of each person that
changed, and then a floor: below its offset everybody is covered. On assignment it loads them and silently folds from
the floor to the committed offset. A snapshot of another log or version is ignored.

What is folded of the alerts is one state for a whole partition (`PartitionSnapshots`): it goes on from the newest one
that fits, or from nothing.
"""

import json
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from schemas.bookkeeping import SnapshotTaken
from schemas.envelope import Garbage, NewerVersion, decode, encode, make
from schemas.identity import derived_id
from schemas.model import at_ms
from streams.errors import Transient
from streams.ports.clock import Clock
from streams.ports.log import Log, Record
from streams.topics import SNAPSHOTS

logger = logging.getLogger("iv3.snapshots")

EVERY = 144
_EACH = 24  # records of each person between two of their snapshots, where a partition holds many people
_SHARE = 256  # characters of a partition's state for each record in between: the more people, the rarer


class Folded(Protocol):
    """One person's state."""

    offset: int

    def dump(self) -> str:
        """The state as text."""
        ...


class Snapshots:
    """Writes and reads the snapshots of one role."""

    def __init__(self, log: Log, clock: Clock, role: str, version: str) -> None:
        self._log, self._clock, self._role, self._version = log, clock, role, version
        self._changed: dict[int, set[str]] = {}
        self._since: dict[int, int] = {}
        self._kept: dict[int, dict[str, int]] = {}  # partition -> whose snapshot is the newest of which offset

    async def load(self, partition: int) -> tuple[int, dict[str, tuple[str, int]]]:
        """The floor, and each person's state with its offset; (0, {}) where there is nothing that fits."""
        floor = 0
        states: dict[str, tuple[str, int]] = {}
        covered: dict[str, int] = {}
        mine = f"{self._role}/".encode()

        def step(record: Record) -> None:
            nonlocal floor, covered
            if not (record.key or b"").startswith(mine):
                return
            try:
                taken = decode(record.value).data
            except (Garbage, NewerVersion):
                return
            if not isinstance(taken, SnapshotTaken) or taken.role != self._role:
                return
            if taken.log_id != self._log.log_id or taken.version != self._version:
                return
            # A worker that was stopped in the middle of a write and woke up later may write an older one last.
            if taken.person is None:
                if taken.offset >= floor:
                    floor, covered = taken.offset, json.loads(taken.state or "{}")
            elif taken.offset >= states.get(taken.person, ("", 0))[1]:
                states[taken.person] = (taken.state, taken.offset)

        await self._log.fold(SNAPSHOTS, partition, 0, None, step)
        # Compaction keeps only the last of a key: if that is an older one, what lies between it and the floor is in no
        # snapshot.
        if not floor or any(states.get(person, ("", -1))[1] < at for person, at in covered.items()):
            self._kept[partition] = {}
            return 0, {}
        self._kept[partition] = {person: at for person, (_, at) in states.items()}
        return floor, states

    def touched(self, partition: int, person: str) -> None:
        """Note a change that a silent fold brought: the next floor covers this person only with a snapshot of
        its own.
        """
        self._changed.setdefault(partition, set()).add(person)

    async def changed(self, partition: int, person: str, people: Mapping[str, Folded], next_offset: int) -> None:
        """Note that a person's state changed; write snapshots when enough has. A disk that is nearly full only costs a
        longer start.
        """
        self._changed.setdefault(partition, set()).add(person)
        self._since[partition] = self._since.get(partition, 0) + 1
        if self._since[partition] < max(EVERY, _EACH * len(self._changed[partition])):
            return
        self._since[partition] = 0
        try:
            kept = self._kept.setdefault(partition, {})
            for name in sorted(self._changed[partition]):
                at = people[name].offset
                await self._write(partition, name, people[name].dump(), at)
                kept[name] = at
            await self._write(partition, None, json.dumps(kept), next_offset)
        except Transient:
            return
        self._changed[partition].clear()

    async def _write(self, partition: int, person: str | None, state: str, offset: int) -> None:
        now = at_ms(self._clock.now_ms())
        taken = SnapshotTaken(
            role=self._role, person=person, log_id=self._log.log_id, offset=offset, version=self._version, state=state
        )
        key = f"{self._role}/{person}" if person is not None else f"{self._role}//floor"
        event = make(
            taken,
            id=derived_id(key, partition, offset),
            source=f"iv3/{self._role}",
            subject=person or self._role,
            time=now,
            recordedtime=now,
        )
        await self._log.append(SNAPSHOTS, key, [encode(event)], partition=partition)


class PartitionSnapshots:
    """Writes and reads the snapshots of one fold over whole partitions. `fold` names it; no role is called so, and so
    no person's key begins so.
    """

    def __init__(self, log: Log, clock: Clock, fold: str, version: str) -> None:
        self._log, self._clock, self._fold, self._version = log, clock, fold, version
        self._since: dict[int, int] = {}
        self._size: dict[int, int] = {}  # of the last one, characters

    @property
    def _key(self) -> str:
        return f"{self._fold}//partition"

    async def load(self, partition: int) -> tuple[int, str]:
        """The newest state that fits, and the offset before which it was; (0, "") where there is none."""
        self._since[partition] = 0
        found, key = (0, ""), self._key.encode()

        def step(record: Record) -> None:
            nonlocal found
            if record.key != key:
                return
            try:
                taken = decode(record.value).data
            except (Garbage, NewerVersion):
                return
            if not isinstance(taken, SnapshotTaken) or taken.role != self._fold:
                return
            if taken.log_id == self._log.log_id and taken.version == self._version:
                found = (taken.offset, taken.state)

        await self._log.fold(SNAPSHOTS, partition, 0, None, step)
        self._size[partition] = len(found[1])
        return found

    def folded(self, partition: int) -> None:
        """Note that a record was folded in."""
        self._since[partition] = self._since.get(partition, 0) + 1

    async def keep(self, partition: int, offset: int, dump: Callable[[], str]) -> None:
        """Write the state before `offset`, if enough was folded since the last time. Where that cannot be done, the
        next start only takes longer.
        """
        if self._since.get(partition, 0) < max(EVERY, self._size.get(partition, 0) // _SHARE):
            return
        state = dump()
        self._since[partition], self._size[partition] = 0, len(state)
        now = at_ms(self._clock.now_ms())
        taken = SnapshotTaken(
            role=self._fold, log_id=self._log.log_id, offset=offset, version=self._version, state=state
        )
        event = make(
            taken,
            id=derived_id(self._key, partition, offset),
            source=f"iv3/{self._fold}",
            subject=self._fold,
            time=now,
            recordedtime=now,
        )
        try:
            await self._log.append(SNAPSHOTS, self._key, [encode(event)], partition=partition)
        except Transient as error:
            logger.info("a snapshot of %s/%d was not written: %s", self._fold, partition, error)
