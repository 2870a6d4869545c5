"""The glucose source port: where readings are asked for."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class SourceReading:
    """One reading as a source gave it."""

    time_ms: int
    glucose_mgdl: float
    trend: str | None


class SensorCode(NamedTuple):
    """A code, 1 to 38, that a sensor sent instead of glucose."""

    time_ms: int
    code: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """One answer of a glucose source: readings and sensor codes, each oldest first, and what could not be read.

    `server_time_ms` is the source's own clock (HTTP Date), None where it gave none.
    """

    readings: tuple[SourceReading, ...]
    sensor_codes: tuple[SensorCode, ...] = ()
    rejected: tuple[str, ...] = ()
    server_time_ms: int | None = None


class GlucoseSource(Protocol):
    """Where readings come from."""

    @property
    def name(self) -> str:
        """The envelope's `source` of its readings."""

    @property
    def title(self) -> str:
        """The service's name as people read it, "Dexcom"."""

    @property
    def nothing_hint(self) -> str:
        """What may be wrong where a whole day has no reading, as a question."""

    @property
    def account(self) -> str:
        """A stable, non-secret name of the account (a hash), part of each reading's identity."""

    async def latest(self, minutes: int, max_count: int, *, may_log_in: bool) -> Fetched:
        """The readings of the last `minutes`.

        With `may_log_in` False only a cached session is used. Raises SourceRefused (the account is refused; back off as
        `processors.sources.polling` says) or SourceUnreachable (anything else; `retry_after_s` where it was named).
        """

    async def close(self) -> None:
        """Let go of connections."""
