"""Forecasts: one per reading, with how sure it is."""

from typing import Annotated

from pydantic import Field

from schemas.model import Fact, Moment, Name

STEP_MIN = 5
STEPS = 12  # to 60 minutes

Curve = Annotated[tuple[float, ...], Field(min_length=STEPS, max_length=STEPS)]
Chance = Annotated[float, Field(ge=0, le=1)]


class ForecastMade(Fact):
    """Where glucose will probably be, 5 to 60 min after the reading it is based on (the event's time).

    `mean_mgdl` and the quantile curves hold one value per 5 min. `p_low`, `p_urgent` and `p_high` are the chances that
    some reading of the next 30 min lies below the low limit, below the urgent limit, above the high limit. `pos` is the
    reading's journal offset: a fold that has already seen it drops the forecast. `shadows` holds the mean curves of
    predictors that are scored but never alert.

    Newer forecasts state what their predictor concludes, so that whoever decides need not know it: `calls_low`, whether
    a predicted low is to be told of below `limit_mgdl` (none of the two: an earlier release; a limit alone: judge by
    the chance). `p_low` speaks of `p_low_limit_mgdl`, and is `calibrated` where it comes true as often as it says.
    """

    TYPE = "iv3.forecast.v1"
    based_on: Name
    pos: Annotated[int, Field(ge=0)]
    reading_time: Moment
    glucose_mgdl: float
    predictor: Name
    mean_mgdl: Curve
    p10_mgdl: Curve
    p25_mgdl: Curve
    p75_mgdl: Curve
    p90_mgdl: Curve
    p_low: Chance
    p_urgent: Chance
    p_high: Chance
    shadows: Annotated[dict[str, Curve], Field(default_factory=dict)]
    calls_low: bool | None = None
    limit_mgdl: float | None = None
    p_low_limit_mgdl: float | None = None
    calibrated: bool | None = None


class ForecastWithheld(Fact):
    """There is nothing honest to forecast from this reading, and why."""

    TYPE = "iv3.forecast-withheld.v1"
    based_on: Name
    pos: Annotated[int, Field(ge=0)]
    reading_time: Moment
    reason: Annotated[str, Field(max_length=200)]


FORECAST_FACTS: tuple[type[Fact], ...] = (ForecastMade, ForecastWithheld)
