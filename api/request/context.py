"""What every handler is given: the ports, the catalog, the clock, and what the pages say about the running system."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web
from pydantic import ConfigDict

from schemas.envelope import Author
from streams.commands.door import Door, KeyLocks
from streams.commands.readings import LatelyUploaded
from streams.ports.catalog import Catalog
from streams.ports.clock import Clock
from streams.ports.log import Log
from streams.ports.series import ReadableSeries


@dataclass(frozen=True, slots=True)
class BarShown:
    """A truth about the whole page, which nothing can dismiss."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class HealthShown:
    """One line of the system list. `missing`: it is no failure, it was never set up."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    key: str
    ok: bool
    value: str
    detail: str
    missing: bool


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether this process can do its work, and if not, why."""

    ready: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LegacyRoutes:
    """What the Go iv3's routes need of its configuration."""

    username: str = ""
    password_sha256: str = ""
    config: Mapping[str, object] = field(default_factory=dict)
    low_mgdl: float = 100
    high_mgdl: float = 180


@dataclass
class ApiContext:
    """Made by the assembly; `person` is whom this process serves when a request names nobody. A request about somebody
    else has a view of its own.
    """

    log: Log
    series: ReadableSeries
    catalog: Catalog
    clock: Clock
    person: str
    # The person who is meant where a request names nobody: `person`, unless this is somebody else's view.
    default: str = ""
    demo: bool = False
    secure: bool = False  # TLS: cookies are marked so
    simulated: Callable[[str], bool] = lambda _person: False
    source_name: Callable[[str], str] = lambda _person: "Dexcom"  # of a person; empty where none is asked
    bars: Callable[[str], list[BarShown]] = lambda _person: []
    health: Callable[[str], list[HealthShown]] = lambda _person: []
    readiness: Callable[[], Readiness] = lambda: Readiness(True)
    metrics: Callable[[], str] = str
    login_codes: dict[str, int] = field(default_factory=dict)  # code -> uses left
    legacy: LegacyRoutes = field(default_factory=LegacyRoutes)
    locks: KeyLocks = field(default_factory=KeyLocks)
    lately: LatelyUploaded = field(default_factory=LatelyUploaded)

    def door(self, author: Author, owner: str = "", *, person: str | None = None) -> Door:
        """A caller's way to write: about the view's person, or another. `owner` tells the keys of two callers apart."""
        return Door(self.log, self.catalog, self.clock, author, person or self.person, owner, self.locks)

    def __post_init__(self) -> None:
        """The house's own view is the default person's."""
        self.default = self.default or self.person


CONTEXT = web.AppKey("context", ApiContext)


VIEW = web.RequestKey("view", ApiContext)


def context_of(request: web.Request) -> ApiContext:
    """What the application was built with, as the person's whom the request is about."""
    view: ApiContext | None = request.get(VIEW)
    return request.config_dict[CONTEXT] if view is None else view
