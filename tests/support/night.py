"""A night of one person, played through the same folds and decisions as the alerter plays it: readings, ticks and
answers in, alarms out.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from processors.alerting.decide import decide
from processors.alerting.episodes import Episodes
from processors.alerting.person_state import PersonState
from processors.alerting.rules import SystemState
from processors.predictors.forecasting import ForecastState
from schemas.alerts import AlertEvent, DecisionPosition, Evidence
from schemas.envelope import make
from schemas.facts import GlucoseRead, Insulin, ProfileChanged, SourceStateChanged
from schemas.forecasts import STEPS, ForecastMade
from schemas.model import Fact, at_ms, ms

T0 = 1_795_500_000_000
MIN = 60_000
HOUR = 60 * MIN
MS = 1 / MIN  # a millisecond, in minutes
INSULINS = (
    Insulin(name="Humalog", action="rapid", duration_min=300, peak_min=75),
    Insulin(name="Tresiba", action="long", duration_min=2520, every_h=24),
)
HUMALOG, TRESIBA = INSULINS


@dataclass
class Night:
    """Plays inputs as the alerter does; keeps them for a redelivery. Times are minutes after T0."""

    state: PersonState = field(default_factory=lambda: PersonState("me"))
    outlook: ForecastState = field(default_factory=ForecastState)
    episodes: Episodes = field(default_factory=Episodes)
    started: int = T0 - MIN
    troubles: tuple[str, ...] = ()
    has_source: bool = True
    behind: bool = False
    house_told: bool = False
    offset: int = -1
    now: int = T0
    said: list[AlertEvent] = field(default_factory=list)
    inputs: list[Any] = field(default_factory=list)
    foresees: bool = True

    def fact(
        self,
        data: Fact,
        at: int | None = None,
        name: str | None = None,
        *,
        now: int | None = None,
        source: str = "dexcom-share",
    ) -> None:
        self.offset += 1
        self.now = max(self.now, now if now is not None else self.now)
        event = make(
            data,
            id=name or f"e{self.offset}",
            source=source,
            subject="me",
            time=at_ms(at if at is not None else self.now),
            recordedtime=at_ms(self.now),
            actor="Dad",
        )
        self._input(("fact", event, self.offset, self.now))
        forecast = self.outlook.take(event, self.offset)
        if self.foresees and isinstance(forecast, ForecastMade):
            self._input(("forecast", forecast, self.offset, self.now))

    def read(self, glucose: float, minutes: float, *, late: float = 0, source: str = "dexcom-share") -> None:
        """A reading `minutes` after T0, seen `late` minutes after that."""
        at = T0 + round(minutes * MIN)
        said = GlucoseRead(glucose_mgdl=glucose, trend="Flat")
        self.fact(said, at, f"r{at}", now=at + round(late * MIN), source=source)

    def read_all(self, values: Iterable[float], start: float = 0, step: float = 5) -> None:
        for n, glucose in enumerate(values):
            self.read(glucose, start + n * step)

    def take_forecast(self, forecast: ForecastMade, minutes: float) -> None:
        """A forecast made elsewhere comes in."""
        self.now = max(self.now, T0 + round(minutes * MIN))
        self._input(("forecast", forecast, self.offset, self.now))

    def tick(self, minutes: float) -> None:
        self.now = max(self.now, T0 + round(minutes * MIN))
        self._input(("tick", None, self.state.newest_offset, self.now))

    def ticks(self, start: float, end: float, step: float = 1 / 6) -> None:
        for n in range(int((end - start) / step) + 1):
            self.tick(start + n * step)

    def _input(self, given: Any) -> None:
        self.inputs.append(given)
        self.said += apply(given, self.state, self.episodes, self.system)

    @property
    def system(self) -> SystemState:
        up = self.now - self.started
        return SystemState(self.started, up, self.has_source, self.troubles, self.behind, self.house_told)

    def steps(self) -> list[tuple[str, str, int]]:
        return [(e.kind, e.change, e.step) for e in self.said]

    def rings(self, kind: str) -> list[float]:
        """Minutes after T0 at which an alarm of this kind rang."""
        return [
            round((ms(e.at) - T0) / MIN, 1) for e in self.said if e.kind == kind and e.change in ("opened", "escalated")
        ]


def apply(given: Any, state: PersonState, episodes: Episodes, system: SystemState) -> list[AlertEvent]:
    kind, data, offset, now = given
    if kind == "fact":
        if offset >= state.offset:
            state.take(data, offset)
        position = DecisionPosition(offset, 0, 0)
    elif kind == "forecast":
        if not state.take_forecast(data):
            return []
        position = DecisionPosition(data.pos, 1, 0)
    else:
        position = state.tick_position(now)
    decided = decide(state, episodes, position, now, system)
    return episodes.evolve("me", decided) if decided is not None else []


def a_source(night: Night) -> None:
    """The source has answered since the start, so time alone may count."""
    night.fact(SourceStateChanged(state="ok"))


def a_profile(night: Night) -> None:
    night.fact(ProfileChanged(insulins=INSULINS, no_long_acting_h=26))


def stay(night: Night, glucose: float, start: float, end: float) -> None:
    """It stays where it is: a reading every five minutes, and a tick with each."""
    minutes = start
    while minutes <= end:
        night.read(glucose, minutes)
        night.tick(minutes)
        minutes += 5


def opened(kind: str, **evidence: Any) -> AlertEvent:
    """An alarm that was opened somehow."""
    return AlertEvent.model_validate(
        {
            "change": "opened",
            "kind": kind,
            "episode": f"{kind}-1",
            "step": 1,
            "priority": 4,
            "urgency": 4,
            "at": at_ms(T0),
            "evidence": Evidence(**evidence),
        }
    )


def falling(night: Night) -> None:
    """The live predictor calls a low from the last of these."""
    night.read_all((150, 138, 122, 106, 88))


def a_forecast(
    state: PersonState, *, at_20_min: float = 60, p_low: float = 0.3, level: float | None = None
) -> ForecastMade:
    """A forecast of the newest reading. Its curve goes straight to a value at 20 min, and stays there."""
    newest = state.canonical.newest
    assert newest is not None
    start = newest.glucose_mgdl if level is None else level
    curve = tuple(start + (at_20_min - start) * min(n + 1, 4) / 4 for n in range(STEPS))
    made = ForecastMade(
        based_on=newest.id,
        pos=state.newest_offset,
        reading_time=at_ms(newest.time_ms),
        glucose_mgdl=newest.glucose_mgdl,
        predictor="ar2",
        mean_mgdl=curve,
        p10_mgdl=curve,
        p25_mgdl=curve,
        p75_mgdl=curve,
        p90_mgdl=curve,
        p_low=p_low,
        p_urgent=0.0,
        p_high=0.0,
        shadows={},
    )
    return ForecastMade.model_validate_json(made.model_dump_json())  # as it comes out of the log
