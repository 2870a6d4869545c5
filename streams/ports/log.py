"""The log port: partitioned topics, dense offsets, one order per key."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from processors.archive.format import ArchivedRecord
from schemas.envelope import Event, encode
from schemas.model import Partition


class Position(NamedTuple):
    """Where a record lies in the log."""

    topic: str
    partition: int
    offset: int


class Record(NamedTuple):
    """One record of the log, bytes as they were appended. `timestamp_ms` is when the log took it."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def position(self) -> Position:
        """Where it lies."""
        return Position(*self[:3])

    @property
    def archived(self) -> ArchivedRecord:
        """What of it does not depend on where it lies."""
        return ArchivedRecord(*self[2:])


class AppendableLog(Protocol):
    """The log as a role sees it: followed and appended to, neither watched over nor closed."""

    @property
    def log_id(self) -> str:
        """Made when the log was made; every restore and copy has another, so that an old offset is never taken for a
        new one.
        """

    @property
    def partitions(self) -> Mapping[str, int]:
        """How many partitions each topic has."""

    @property
    def heads(self) -> Mapping[Partition, int]:
        """The next offset of every partition, as far as this process knows; kept up to date within a moment. For what
        must not miss a record that another process has just appended, ask `latest`.
        """

    async def latest(self, topics: Iterable[str]) -> dict[Partition, int]:
        """The next offset of every partition of these topics, asked of the log itself. Raises LogUnavailable."""

    async def append(
        self, topic: str, key: str, values: Sequence[bytes], *, partition: int | None = None
    ) -> list[Position]:
        """Append all values to the key's partition, in order; return when they are on disk. All or nothing.

        Raises LogRefused (nothing was written) or LogOutcomeUnknown (it may have been: retry the same ids).
        """

    async def read(
        self, topic: str, partition: int, start: int, to: int | None = None, limit: int = 1000
    ) -> list[Record]:
        """At most `limit` records of [start, to), in order; fewer only at the end. Raises LogUnavailable."""

    async def fold(
        self, topic: str, partition: int, start: int, to: int | None, step: Callable[[Record], object]
    ) -> int:
        """Call `step` with every record of [start, to) and return the next offset. Quick: never through Faust.

        `to` None: up to the head as the log itself has it now, whoever wrote last. Raises LogUnavailable.
        """


class Log(AppendableLog, Protocol):
    """The durable log: partitioned topics, dense offsets, one order per key."""

    @property
    def demo(self) -> bool:
        """Whether the log is a demo's: its person is made up, and nothing of it may be taken for real."""

    @property
    def counters(self) -> Mapping[str, int]:
        """What the log did since it was opened, for metrics: name -> how often."""

    def nearly_full(self) -> bool:
        """Whether only what alarms need is still taken, because the disk is nearly full."""

    async def append_as_was(self, topic: str, partition: int, records: Sequence[ArchivedRecord]) -> None:
        """Append records as another log had them: their own timestamps, keys and headers. For restore and copy. Raises
        as `append`.
        """

    async def tidy(self) -> None:
        """Forget what the topics may forget, where the log does not do so by itself. Raises LogUnavailable,
        LogRefused.
        """

    def subscribe(self, wake: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        """Call `wake` in the running loop with the names of topics that grew; return what ends the subscription."""

    async def close(self) -> None:
        """Finish what was accepted, then let go of the files."""


Progress = Callable[[int, int], None]  # how much of a long work is done, and of how much


def unwatched(done: int, total: int) -> None:
    """The progress that nobody watches."""
    del done, total


class NewLog(Protocol):
    """Makes, or opens, a log in a file: what a restore, a drill and a copy are handed."""

    def __call__(self, path: Path, *, demo: bool = ..., partitions: int = ...) -> Log:
        """The open log of this file. Raises FailedPrecondition where the file is a log of the other kind."""


async def append_events(
    log: AppendableLog, topic: str, events: Iterable[Event], *, partition: int | None = None
) -> list[Position]:
    """Append events of one subject. Raises as `Log.append`, ValueError if subjects differ."""
    events = list(events)
    subjects = {event.subject for event in events}
    if len(subjects) != 1:
        message = f"events of one append must share a subject, not {sorted(subjects)}"
        raise ValueError(message)
    return await log.append(topic, subjects.pop(), [encode(event) for event in events], partition=partition)


async def read_archived(log: Log, place: Partition, start: int, most: int) -> list[ArchivedRecord]:
    """At most so many records from an offset on, as an archive or another log would have them. Raises
    LogUnavailable.
    """
    return [record.archived for record in await log.read(*place, start, start + most, most)]
