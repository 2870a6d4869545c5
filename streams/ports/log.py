"""Ports: what the roles need from the world, as Protocols. Every adapter of a port sits the same exam in `tests/ports`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from processors.archive.format import ArchivedRecord
from processors.entries import EntryVersion
from processors.projection import Change
from processors.readings import Reading
from schemas.envelope import Event, encode


class Clock(Protocol):
    """The time of facts, decisions, poll schedule and repeats. Timeouts and backoff use the loop's own clock instead."""

    @property
    def speed(self) -> float:
        """Seconds of this clock per real second."""
        ...

    def now_ms(self) -> int:
        """Epoch milliseconds, UTC."""
        ...

    def heard(self, true_ms: int) -> float | None:
        """A source that is trusted says what time it is. Where the host's clock is more than a minute off, the source's counts from now on,
        and the answer is how many seconds the host's is ahead; otherwise None.
        """
        ...


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


Partition = tuple[str, int]  # (topic, partition)


class Log(Protocol):
    """The durable log: partitioned topics, dense offsets, one order per key."""

    @property
    def log_id(self) -> str:
        """Made when the log was made; every restore and copy has another, so that an old offset is never taken for a new one."""
        ...

    @property
    def partitions(self) -> Mapping[str, int]:
        """How many partitions each topic has."""
        ...

    @property
    def heads(self) -> Mapping[Partition, int]:
        """The next offset of every partition, as far as this process knows; kept up to date within a moment. For what must not miss a
        record that another process has just appended, ask `latest`.
        """
        ...

    async def latest(self, topics: Iterable[str]) -> dict[Partition, int]:
        """The next offset of every partition of these topics, asked of the log itself. Raises LogUnavailable."""
        ...

    def nearly_full(self) -> bool:
        """Whether only what alarms need is still taken, because the disk is nearly full."""
        ...

    async def append(
        self, topic: str, key: str, values: Sequence[bytes], *, partition: int | None = None
    ) -> list[Position]:
        """Append all values to the key's partition, in order; return when they are on disk. All or nothing.

        Raises Refused (nothing was written) or Unknown (it may have been: retry the same ids).
        """
        ...

    async def read(
        self, topic: str, partition: int, start: int, to: int | None = None, limit: int = 1000
    ) -> list[Record]:
        """At most `limit` records of [start, to), in order; fewer only at the end. Raises LogUnavailable."""
        ...

    async def fold(
        self, topic: str, partition: int, start: int, to: int | None, step: Callable[[Record], object]
    ) -> int:
        """Call `step` with every record of [start, to) and return the next offset. Quick: never through Faust.

        `to` None: up to the head as the log itself has it now, whoever wrote last. Raises LogUnavailable.
        """
        ...

    async def append_as_was(self, topic: str, partition: int, records: Sequence[ArchivedRecord]) -> None:
        """Append records as another log had them: their own timestamps, keys and headers. For restore and copy. Raises as `append`."""
        ...

    def subscribe(self, wake: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        """Call `wake` in the running loop with the names of topics that grew; return what ends the subscription."""
        ...

    async def close(self) -> None:
        """Finish what was accepted, then let go of the files."""
        ...


async def append_events(log: Log, topic: str, events: Iterable[Event]) -> list[Position]:
    """Append events of one subject. Raises as `Log.append`, ValueError if subjects differ."""
    events = list(events)
    subjects = {event.subject for event in events}
    if len(subjects) != 1:
        message = f"events of one append must share a subject, not {sorted(subjects)}"
        raise ValueError(message)
    return await log.append(topic, subjects.pop(), [encode(event) for event in events])


@dataclass(frozen=True, slots=True)
class SourceReading:
    """One reading as a source gave it."""

    time_ms: int
    glucose_mgdl: float
    trend: str | None


@dataclass(frozen=True, slots=True)
class Fetched:
    """One answer of a glucose source: readings oldest first, sensor codes (1-38, not glucose) with their times, what could not be read.

    `server_time_ms` is the source's own clock (HTTP Date), None where it gave none.
    """

    readings: tuple[SourceReading, ...]
    sensor_codes: tuple[tuple[int, int], ...] = ()
    rejected: tuple[str, ...] = ()
    server_time_ms: int | None = None


class GlucoseSource(Protocol):
    """Where readings come from."""

    @property
    def name(self) -> str:
        """The envelope's `source` of its readings."""
        ...

    @property
    def account(self) -> str:
        """A stable, non-secret name of the account (a hash), part of each reading's identity."""
        ...

    async def latest(self, minutes: int, max_count: int, *, may_log_in: bool) -> Fetched:
        """The readings of the last `minutes`.

        With `may_log_in` False only a cached session is used. Raises SourceRefused (the account is refused; back off as
        `processors.sources.polling` says) or SourceUnreachable (anything else; `retry_after_s` where it was named).
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """One notification. `sequence_id` names it: publishing the same id again replaces it on the phone."""

    sequence_id: str
    title: str
    body: str
    priority: int
    tags: tuple[str, ...] = ()
    click: str | None = None
    actions: tuple[Mapping[str, object], ...] = field(default=())
    delay_s: int | None = None


class Notifier(Protocol):
    """What tells a person."""

    @property
    def target(self) -> str:
        """A stable, non-secret name of the addressee."""
        ...

    async def probe(self) -> bool:
        """Whether the server knows sequence ids (ntfy 2.16 or newer); nothing that needs them may be armed otherwise."""
        ...

    async def send(self, message: Message) -> None:
        """Deliver. Raises NotifierRefused (for good) or NotifierUnreachable (it may have been delivered)."""
        ...

    async def was_sent(self, sequence_id: str, *, within_s: int) -> bool | None:
        """Whether the server holds a message of this id; None where it will not say. Raises NotifierUnreachable."""
        ...

    async def clear(self, sequence_id: str) -> None:
        """Take a shown notification off the phones; does nothing where the server cannot. Raises as `send`."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Scheduler(Notifier, Protocol):
    """A notifier that keeps messages until their time, and can take them back."""

    async def cancel(self, sequence_id: str) -> None:
        """Take back what is scheduled under this id, and off the phones what is shown. Raises as `send`."""
        ...

    async def pending(self) -> list[str] | None:
        """The ids of messages that are scheduled, one entry for each; None where it will not say. Raises NotifierUnreachable."""
        ...


class ForecastRow(NamedTuple):
    """One forecast as the Series holds it."""

    reading_time_ms: int
    based_on: str
    body: bytes  # the event's data, JSON


class AlertRow(NamedTuple):
    """One row of the alert history."""

    at_ms: int
    key: str
    body: bytes  # JSON


class DigestRow(NamedTuple):
    """Content of one person, UTC day and kind: how many rows, and the SHA-256 of their canonical form."""

    person: str
    day: str
    kind: str
    rows: int
    sha256: str


class Series(Protocol):
    """Points over time. Derived from the log and rebuilt from it at will."""

    async def position(self) -> Mapping[Partition, int]:
        """The next offset of each partition that is not yet in. Empty for a fresh one or another log's."""
        ...

    async def entries_by_id(self, ids: Iterable[str]) -> dict[str, EntryVersion]:
        """The entries it holds, deleted ones too."""
        ...

    async def apply(self, changes: Sequence[Change], position: Mapping[Partition, int]) -> None:
        """Make the changes visible together with the position, or neither. Applying again changes nothing. Raises SeriesUnavailable."""
        ...

    async def readings(self, person: str, from_ms: int, to_ms: int, limit: int) -> list[Reading]:
        """Canonical readings of [from_ms, to_ms), oldest first. Raises SeriesUnavailable."""
        ...

    async def newest_readings(self, person: str, count: int, before_ms: int) -> list[Reading]:
        """The newest canonical readings before a moment, oldest first. Raises SeriesUnavailable."""
        ...

    async def entries(self, person: str, from_ms: int, to_ms: int, limit: int) -> list[EntryVersion]:
        """Entries of [from_ms, to_ms), oldest first, deleted ones too. Raises SeriesUnavailable."""
        ...

    async def forecasts(self, person: str, from_ms: int, to_ms: int, limit: int) -> list[ForecastRow]:
        """Forecasts by the time of their reading, oldest first. Raises SeriesUnavailable."""
        ...

    async def alerts(self, person: str, from_ms: int, to_ms: int, limit: int) -> list[AlertRow]:
        """Rows of the alert history, oldest first. Raises SeriesUnavailable."""
        ...

    async def digest(self) -> list[DigestRow]:
        """One row per person, UTC day and kind (readings, entries, forecasts, alerts), in that order."""
        ...

    async def close(self) -> None:
        """Let go of files and connections."""
        ...


class RebuiltSeries(Series, Protocol):
    """A Series while a replay fills it: nobody else writes it, and nobody reads it yet."""

    async def take(self, changes: Sequence[Change], position: Mapping[Partition, int]) -> None:
        """As `apply`, but it may be visible only after `settle`, and the position with it."""
        ...

    async def settle(self) -> None:
        """Make visible all that was taken. Raises as `apply`."""
        ...

    async def counts(self) -> dict[str, int]:
        """Rows of each kind: every reading whether shown or not, every entry whether deleted or not."""
        ...


class SeriesVersion(NamedTuple):
    """One version of the Series. `mark` tells it from one of the same number that was deleted."""

    number: int
    mark: str = ""


class SeriesStore(Protocol):
    """Versions of the Series of one log, side by side. One serves; a replay makes the next and lets that serve instead."""

    @property
    def look_s(self) -> float:
        """How often whoever serves from a version should look whether another one serves now, seconds."""
        ...

    async def ready(self, known: SeriesVersion | None = None) -> SeriesVersion:
        """The version that serves. Made, empty, if there is none of this log. `known` is what served so far. Raises SeriesUnavailable."""
        ...

    async def serving(self) -> SeriesVersion:
        """The version that serves; makes nothing. Raises SeriesUnavailable, also where there is none of this log."""
        ...

    async def open(self, version: SeriesVersion) -> Series:
        """Read and write a version. Does not wait for a server."""
        ...

    async def make(self) -> tuple[SeriesVersion, RebuiltSeries]:
        """The next version, empty, beside the one that serves; what an interrupted replay left is removed. Raises SeriesUnavailable."""
        ...

    async def serve(self, version: SeriesVersion) -> None:
        """Let this version serve from now on: every reader has the one or the other. Raises SeriesUnavailable."""
        ...

    async def remove(self, version: SeriesVersion) -> None:
        """Delete a version that does not serve, once whoever served from it has had time to look. Raises SeriesUnavailable."""
        ...

    async def close(self) -> None:
        """Let go of files and connections."""
        ...


class Archive(Protocol):
    """Objects by key, put once."""

    async def put_if_absent(self, key: str, data: bytes) -> bool:
        """Store durably; False (and nothing changed) if the key exists. Raises ArchiveUnavailable."""
        ...

    async def replace(self, key: str, data: bytes) -> None:
        """Store durably, replacing atomically; only the `head` objects are ever replaced. Raises ArchiveUnavailable."""
        ...

    async def get(self, key: str) -> bytes | None:
        """The object, or None. Raises ArchiveUnavailable."""
        ...

    async def list(self, prefix: str) -> list[str]:
        """Keys that begin with `prefix`, sorted. Raises ArchiveUnavailable."""
        ...

    async def delete(self, key: str) -> None:
        """Remove the object if it is there. Raises ArchiveUnavailable."""
        ...
