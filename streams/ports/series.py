"""The series port: points over time, derived from the log and rebuilt from it at will."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from processors.entries import EntryVersion
from processors.projection import Change
from processors.readings import Reading
from schemas.model import Partition


class ForecastRow(NamedTuple):
    """One forecast as the Series holds it."""

    reading_time_ms: int
    based_on: str
    body: bytes  # the event's data, JSON


class DigestRow(NamedTuple):
    """Content of one person, UTC day and kind: how many rows, and the SHA-256 of their canonical form."""

    person: str
    day: str
    kind: str
    rows: int
    sha256: str


class ReadableSeries(Protocol):
    """What charts are drawn from, and how far it is."""

    async def position(self) -> Mapping[Partition, int]:
        """The next offset of each partition that is not yet in. Empty for a fresh one or another log's."""

    async def readings(self, person: str, from_ms: int, to_ms: int, limit: int) -> list[Reading]:
        """Canonical readings of [from_ms, to_ms), oldest first. Raises SeriesUnavailable."""

    async def newest_readings(self, person: str, count: int, before_ms: int) -> list[Reading]:
        """The newest canonical readings before a moment, oldest first. Raises SeriesUnavailable."""

    async def forecasts(self, person: str, from_ms: int, to_ms: int, limit: int) -> list[ForecastRow]:
        """Forecasts by the time of their reading, oldest first. Raises SeriesUnavailable."""


class Series(ReadableSeries, Protocol):
    """Points over time. Derived from the log and rebuilt from it at will."""

    async def entries_by_id(self, ids: Iterable[str]) -> dict[str, EntryVersion]:
        """The entries it holds, deleted ones too."""

    async def apply(self, changes: Sequence[Change], position: Mapping[Partition, int]) -> None:
        """Make the changes visible together with the position, or neither. Applying again changes nothing. Raises
        SeriesUnavailable.
        """

    async def digest(self) -> list[DigestRow]:
        """One row per person, UTC day and kind (readings, entries, forecasts, alerts), in that order."""

    async def close(self) -> None:
        """Let go of files and connections."""


class RebuiltSeries(Series, Protocol):
    """A Series while a replay fills it: nobody else writes it, and nobody reads it yet."""

    async def take(self, changes: Sequence[Change], position: Mapping[Partition, int]) -> None:
        """As `apply`, but it may be visible only after `settle`, and the position with it."""

    async def settle(self) -> None:
        """Make visible all that was taken. Raises as `apply`."""

    async def counts(self) -> dict[str, int]:
        """Rows of each kind: every reading whether shown or not, every entry whether deleted or not."""


class SeriesVersion(NamedTuple):
    """One version of the Series. `mark` tells it from one of the same number that was deleted."""

    number: int
    mark: str = ""


@dataclass(frozen=True, slots=True)
class SeriesExamination:
    """What a look at the server of a Series found. The steps are taken in the order reach, token, bucket, write; the
    first that fails is the last.
    """

    address: str
    version: str = ""  # of the server
    organisation: str = ""
    database: str = ""
    bucket: str = ""  # that serves; empty where there is none yet
    failed: Literal["", "reach", "token", "bucket", "write"] = ""
    why: str = ""


class SeriesStore(Protocol):
    """Versions of the Series of one log, side by side. One serves; a replay makes the next and lets that serve
    instead.
    """

    @property
    def look_s(self) -> float:
        """How often whoever serves from a version should look whether another one serves now, seconds."""

    async def ready(self, known: SeriesVersion | None = None) -> SeriesVersion:
        """The version that serves. Made, empty, if there is none of this log. `known` is what served so far. Raises
        SeriesUnavailable.
        """

    async def serving(self) -> SeriesVersion:
        """The version that serves; makes nothing. Raises SeriesUnavailable, also where there is none of this log."""

    async def open(self, version: SeriesVersion) -> Series:
        """Read and write a version. Does not wait for a server."""

    async def make(self) -> tuple[SeriesVersion, RebuiltSeries]:
        """The next version, empty, beside the one that serves; what an interrupted replay left is removed. Raises
        SeriesUnavailable.
        """

    async def serve(self, version: SeriesVersion) -> None:
        """Let this version serve from now on: every reader has the one or the other. Raises SeriesUnavailable."""

    async def check(self) -> None:
        """Whether it can be asked now. Raises SeriesUnavailable."""

    async def examine(self) -> SeriesExamination | None:
        """Look at its server step by step, making and changing nothing; None where there is no server. Raises nothing
        of its own.
        """

    async def forget_logs(self, log_ids: Collection[str]) -> list[str]:
        """Delete whatever was made from one of these logs; the names of what is gone. Raises SeriesUnavailable."""

    async def holding(self, person: str) -> list[str]:
        """Names of what holds points of the person, whichever log it was made from. Raises SeriesUnavailable."""

    async def remove(self, version: SeriesVersion) -> None:
        """Delete a version that does not serve, once whoever served from it has had time to look. Raises
        SeriesUnavailable.
        """

    async def close(self) -> None:
        """Let go of files and connections."""
