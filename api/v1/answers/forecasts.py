"""Forecasts: the newest, and those of a range."""

from api.v1.answers.parts import Answer, Listed


class ForecastStep(Answer):
    """One moment ahead: the mean and the 10th, 25th, 75th and 90th percentile."""

    time_ms: int
    mean_mgdl: float
    p10_mgdl: float
    p25_mgdl: float
    p75_mgdl: float
    p90_mgdl: float


class Forecast(Answer):
    """A forecast: chances between 0 and 1, and the way glucose takes."""

    predictor: str
    based_on: str
    based_on_ms: int
    p_low: float
    p_urgent: float
    p_high: float
    steps: list[ForecastStep]


class ForecastShown(Forecast):
    """A forecast of the past, with those of the predictors that run beside the live one."""

    time: str
    time_ms: int
    shadows: dict[str, list[float]]


class Forecasts(Listed):
    """Forecasts, oldest first."""

    items: list[ForecastShown]
