"""What is to be run, and what was built for it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api.request.context import ApiContext
from iv3.assembly.log import OpenLog
from iv3.assembly.series import ServedSeries
from schemas.facts import ProfileChanged
from schemas.settings import Settings
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.ports.clock import Clock
from streams.runtime.process import Service
from streams.runtime.role import Role
from streams.views.catalog import Catalog
from streams.views.serving_series import ServingSeries

if TYPE_CHECKING:
    from streams.adapters.logs.kafka.log import KafkaLog


ROLES = frozenset({"poller", "projector", "forecaster", "alerter", "notifier", "archiver"})


@dataclass
class StartPlan:
    """What is to be run: where, with what, for whom."""

    data: Path
    settings: Settings
    clock: Clock
    host: str
    port: int
    person: str
    demo: bool = False
    demo_of: str = ""  # in words: a simulated person, a recorded one
    dexcom_url: str | None = None
    roles: frozenset[str] = ROLES
    worker: str | None = None  # the name of this member of the groups, on Kafka
    services: list[Callable[["Running"], Service]] = field(default_factory=list)
    before: Callable[["Running"], Any] | None = None  # awaited after the log is open, before anything runs
    profile: ProfileChanged | None = None
    on_ready: Callable[["Running", int], None] = lambda _parts, _port: None


@dataclass
class Running:
    """What was built."""

    plan: StartPlan
    opened: OpenLog
    served: ServedSeries
    catalog: Catalog
    catalog_number: int
    roles: list[Role] = field(default_factory=list)
    hearing: ApiContext | None = None
    source_account: str = ""

    @property
    def log(self) -> "SqliteLog | KafkaLog":
        """The open log."""
        return self.opened.log

    @property
    def series(self) -> ServingSeries:
        """The Series, whichever version serves."""
        return self.served.series
