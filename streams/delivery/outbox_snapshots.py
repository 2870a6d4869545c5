"""The outboxes of the partitions that a notifier holds, as the log says them, with snapshots: whoever takes a partition
over need not read all of it.

What is being sent runs ahead of the log and lies beside (`OutboxInFlight`), so that nothing that is due can be lost by
a snapshot.
"""

from collections import Counter
from collections.abc import Iterable

import pydantic_core

from processors.alerting.outbox import Outbox, Step
from processors.alerting.serialization import VERSION, dump_outbox, load_outbox
from schemas.alerts import DeliveryAttempted
from schemas.envelope import Event
from streams.ports.clock import Clock
from streams.ports.log import AppendableLog, Record
from streams.runtime.snapshots import PartitionSnapshots

_DAY_MS = 86_400_000
_DAYS = 2  # of counted messages; only today's are asked for
_FOLD = "notifier-alerts"


class LogOutbox:
    """The fold of one partition. A state is good for the same phones of the house only."""

    def __init__(self, house: tuple[str, ...]) -> None:
        self.outbox = Outbox(house)
        self.offset = 0
        self.attempts: Counter[tuple[str, int]] = Counter()

    def take(self, event: Event, offset: int) -> list[Step]:
        """Fold an event in; the steps that became due by it."""
        if isinstance(event.data, DeliveryAttempted):
            day = event.time_ms // _DAY_MS
            self.attempts[event.data.target, day] += 1
            for old in [key for key in self.attempts if key[1] <= day - _DAYS]:
                del self.attempts[old]
        self.offset = offset + 1
        return self.outbox.evolve(event)

    def dump(self) -> str:
        """The state as text."""
        counted = [[target, day, count] for (target, day), count in self.attempts.items()]
        return pydantic_core.to_json(
            {"house": self.outbox.house, "attempts": counted, "outbox": dump_outbox(self.outbox)}
        ).decode()

    def restore(self, text: str, offset: int) -> tuple[Outbox, int]:
        """Take over the state that `dump` gave, and go on from `offset`; from nothing, where the house has other phones
        now.
        """
        raw = pydantic_core.from_json(text)
        if tuple(raw["house"]) != self.outbox.house:
            return self.outbox, 0
        self.outbox = load_outbox(raw["outbox"], self.outbox.house)
        self.attempts = Counter({(target, day): count for target, day, count in raw["attempts"]})
        self.offset = offset
        return self.outbox, offset


class OutboxSnapshots:
    """The folds of the partitions that the notifier holds, and their snapshots."""

    def __init__(self, log: AppendableLog, clock: Clock, house: tuple[str, ...]) -> None:
        self._snapshots = PartitionSnapshots(log, clock, _FOLD, VERSION)
        self._house = house
        self._known: dict[int, LogOutbox] = {}

    def forget(self) -> None:
        """Before a fold: nothing is known."""
        self._known = {}

    async def recall(self, partition: int) -> tuple[Outbox, int]:
        """The outbox as the newest snapshot has it, and the offset from which the alerts are to be folded into it by
        `take`.
        """
        known = self._known[partition] = LogOutbox(self._house)
        offset, text = await self._snapshots.load(partition)
        return known.restore(text, offset) if offset else (known.outbox, 0)

    def take(self, record: Record, event: Event) -> list[Step]:
        """Fold an event in, as it was read from the log; the steps that became due by it."""
        self._snapshots.folded(record.partition)
        return self._known[record.partition].take(event, record.offset)

    async def keep(self, partitions: Iterable[int]) -> None:
        """Write a snapshot of each of these partitions in which enough has happened."""
        for partition in partitions:
            known = self._known[partition]
            await self._snapshots.keep(partition, known.offset, known.dump)

    def sent(self, target: str, day: int) -> int:
        """Messages to a target on a UTC day, whoever sent them; of the last two days."""
        return sum(known.attempts[target, day] for known in self._known.values())
