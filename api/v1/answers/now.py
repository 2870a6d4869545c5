"""Everything a glance needs."""

from api.request.context import BarShown, HealthShown
from api.v1.answers.alerts import OpenAlert
from api.v1.answers.forecasts import Forecast
from api.v1.answers.parts import Answer
from schemas.facts import Action, Trend
from schemas.units import Unit


class GlucoseLimits(Answer):
    """The limits a chart is drawn with."""

    urgent_low_mgdl: float
    low_mgdl: float
    high_mgdl: float
    very_high_mgdl: float


class ReadingNow(Answer):
    """The newest reading with its age; `delta_mgdl` is null after a gap."""

    time: str
    time_ms: int
    glucose_mgdl: float
    glucose_mmol: float
    trend: Trend | None
    delta_mgdl: float | None
    source: str
    age_s: int
    stale: bool


class SourceNow(Answer):
    """How the source of readings answers."""

    name: str | None
    state: str
    since: str | None
    reason: str | None
    simulated: bool


class InsulinNamed(Answer):
    """One insulin of the profile."""

    name: str
    action: Action
    duration_min: float
    peak_min: float
    every_h: float | None


class CallerNow(Answer):
    """Who asks, and how many people their token opens."""

    role: str
    name: str
    people: int


class Now(Answer):
    """Everything a glance needs. IOB and COB are null where nothing was ever logged: nothing known is not zero."""

    time: str
    time_ms: int
    speed: float
    demo: bool
    person: str
    name: str
    unit: Unit
    zone: str | None
    limits: GlucoseLimits
    reading: ReadingNow | None
    forecast: Forecast | None
    forecast_reason: str | None
    iob_units: float | None
    unknown_doses: int
    iob_last_ms: int | None
    cob_grams: float | None
    cob_last_ms: int | None
    alerts: list[OpenAlert]
    source: SourceNow
    insulins: list[InsulinNamed]
    bars: list[BarShown]
    health: list[HealthShown]
    caller: CallerNow
