"""What a role says of itself when it is asked: troubles that must be told, lines for a page, figures for Prometheus.
Nothing of it is kept.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple


class HealthLine(NamedTuple):
    """One line of the system list. `missing`: it is no failure, it was never set up."""

    key: str
    ok: bool
    value: str
    detail: str
    missing: bool = False


class Metric(NamedTuple):
    """One figure. `name` is Prometheus's, without labels; a counter's ends in `_total`."""

    name: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def kind(self) -> Literal["counter", "gauge"]:
        """What Prometheus may conclude from two values of it."""
        return "counter" if self.name.endswith("_total") else "gauge"


@dataclass(frozen=True, slots=True)
class DeadManReport:
    """How the dead-man's switch stands. `off` says why it is not armed at all, `waits` why it is not being put
    off now.
    """

    fires_ms: int
    off: str
    waits: str


@dataclass(frozen=True, slots=True)
class RoleReport:
    """A role at this moment. `troubles` are a few words each, the same for as long as it lasts.

    `evaluated_ms` is through when alarms were decided, None from a role that decides none. `undelivered` says why
    alarms do not get out, empty while they do, None from a role that sends none. `dead_man` is None from whoever does
    not hold the switch.
    """

    troubles: tuple[str, ...] = ()
    lines: tuple[HealthLine, ...] = ()
    metrics: tuple[Metric, ...] = ()
    evaluated_ms: int | None = None
    undelivered: str | None = None
    dead_man: DeadManReport | None = None
