"""What is to be run, and what was built for it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from schemas.facts import ProfileChanged
from schemas.settings import Settings
from streams.ports.clock import Clock
from streams.ports.log import Log
from streams.runtime.process import Service
from streams.views.catalog import Catalog

ROLES = frozenset({"poller", "projector", "forecaster", "alerter", "notifier", "archiver"})


@dataclass(frozen=True)
class Ready:
    """A process that answers: where it listens, and what opens its page."""

    port: int
    login_code: str
    tls: bool


@dataclass(frozen=True)
class DemoPlan:
    """What a demo adds: whose life is lived, a server that stands in for Dexcom's, and what runs beside the roles.

    `before` is awaited with the open log before anything runs, and is told the account of the person's source.
    """

    words: str  # a simulated person, a recorded one
    dexcom_url: str
    profile: ProfileChanged
    before: Callable[[Log, str], Awaitable[None]]
    services: Callable[[Log, Catalog], list[Service]]


@dataclass(frozen=True)
class StartPlan:
    """What is to be run: where, with what, for whom. `worker` names this member of the groups, on Kafka."""

    data: Path
    settings: Settings
    clock: Clock
    host: str
    port: int
    person: str
    roles: frozenset[str] = ROLES
    worker: str | None = None
    demo_plan: DemoPlan | None = None
    on_ready: Callable[["StartPlan", Ready], None] = field(default=lambda _plan, _ready: None)

    @property
    def demo(self) -> bool:
        """Whether the person is made up."""
        return self.demo_plan is not None

    @property
    def dexcom_url(self) -> str | None:
        """Whose server stands in for Dexcom's."""
        return self.demo_plan.dexcom_url if self.demo_plan is not None else None
