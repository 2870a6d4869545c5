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

    `mean_mgdl` and the quantile curves hold one value per 5 min. `p_low`, `p_urgent` and `p_high` are the chances that some reading of
    the next 30 min lies below the low limit, below the urgent limit, above the high limit. `pos` is the reading's journal offset: a
    fold that has already seen it drops the forecast. `shadows` holds the mean curves of predictors that are scored but never alert.
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


class ForecastWithheld(Fact):
    """There is nothing honest to forecast from this reading, and why."""

    TYPE = "iv3.forecast-withheld.v1"
    based_on: Name
    pos: Annotated[int, Field(ge=0)]
    reading_time: Moment
    reason: Annotated[str, Field(max_length=200)]


FORECAST_FACTS: tuple[type[Fact], ...] = (ForecastMade, ForecastWithheld)
