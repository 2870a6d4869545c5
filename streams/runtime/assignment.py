"""An assignment: the time from which partitions are a role's until they are taken away again.

On SQLite it lasts as long as the App does; on Kafka partitions move whenever a worker comes or goes. What belongs to
the past must not be written any more: before each append the role's own view of the log asks the assignment. It is no
transaction. A process that is stopped between the question and the write, and woken later, can still write once; every
fold drops what it then says twice (see docs/decisions).
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

from schemas.model import Partition
from streams.errors import PartitionLost
from streams.ports.log import AppendableLog, Position, Record
from streams.runtime.backoff import rest
from streams.topics import DEAD_LETTERS, partition_of


class Assignment:
    """`lease` says whether the group can still not have given the partitions to somebody else."""

    def __init__(self, partitions: Iterable[Partition], lease: Callable[[], bool]) -> None:
        self.partitions = frozenset(partitions)
        self._numbers = frozenset(number for _, number in self.partitions)
        self._lease = lease
        self._over = asyncio.Event()

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._over.is_set()

    def end(self) -> None:
        """The partitions go."""
        self._over.set()

    async def ended(self) -> None:
        """Wait until it has ended."""
        await self._over.wait()

    async def rest(self, seconds: float) -> None:
        """Wait a while, but not beyond its end."""
        await rest(self._over, seconds)

    def check(self, partition: int) -> None:
        """Raise PartitionLost unless the partition is surely this member's."""
        if self.over or partition not in self._numbers:
            raise PartitionLost(f"partition {partition} is another worker's now")
        if not self._lease():
            raise PartitionLost(
                f"the group has not answered for so long that partition {partition} may be another worker's"
            )


class AssignedLog:
    """A role's view of the log (`AppendableLog`): reads pass, appends only while the role holds the partition. Dead
    letters always may: their ids are derived.
    """

    def __init__(self, log: AppendableLog, current: Callable[[], Assignment | None]) -> None:
        self._log, self._current = log, current
        self._writing: set[asyncio.Future[list[Position]]] = set()

    @property
    def log_id(self) -> str:
        """See `Log`."""
        return self._log.log_id

    @property
    def partitions(self) -> Mapping[str, int]:
        """See `Log`."""
        return self._log.partitions

    @property
    def heads(self) -> Mapping[Partition, int]:
        """See `Log`."""
        return self._log.heads

    async def latest(self, topics: Iterable[str]) -> dict[Partition, int]:
        """See `Log`."""
        return await self._log.latest(topics)

    async def append(
        self, topic: str, key: str, values: Sequence[bytes], *, partition: int | None = None
    ) -> list[Position]:
        """See `Log`. Raises PartitionLost besides. An append that is cancelled goes on; `settled` waits for it."""
        if topic != DEAD_LETTERS:
            assignment = self._current()
            if assignment is None:
                raise PartitionLost("no partitions are assigned to this role now")
            assignment.check(partition_of(key, self._log.partitions[topic]) if partition is None else partition)
        writing = asyncio.ensure_future(self._log.append(topic, key, values, partition=partition))
        self._writing.add(writing)
        writing.add_done_callback(self._written)
        return await asyncio.shield(writing)

    def _written(self, done: "asyncio.Future[list[Position]]") -> None:
        self._writing.discard(done)
        if not done.cancelled():
            done.exception()  # whoever waited was told, or nobody waits any more

    async def settled(self, within_s: float) -> bool:
        """Whether everything that was being written has been answered before the time was over."""
        if self._writing:
            await asyncio.wait(set(self._writing), timeout=within_s)
        return not self._writing

    async def read(
        self, topic: str, partition: int, start: int, to: int | None = None, limit: int = 1000
    ) -> list[Record]:
        """See `Log`."""
        return await self._log.read(topic, partition, start, to, limit)

    async def fold(
        self, topic: str, partition: int, start: int, to: int | None, step: Callable[[Record], object]
    ) -> int:
        """See `Log`."""
        return await self._log.fold(topic, partition, start, to, step)
