"""A forecast: a curve of an hour, and chances."""

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.forecasts import STEP_MIN, STEPS, ForecastMade
from schemas.model import at_ms
from tests.support.night import T0


def forecast(**more: Any) -> ForecastMade:
    curves = dict.fromkeys(("mean_mgdl", "p10_mgdl", "p25_mgdl", "p75_mgdl", "p90_mgdl"), (100.0,) * 12)
    about = {"based_on": "r", "pos": 0, "reading_time": at_ms(T0), "glucose_mgdl": 100.0, "predictor": "ar2"}
    return ForecastMade.model_validate({**about, **curves, "p_low": 0.1, "p_urgent": 0.0, "p_high": 0.0, **more})


def test_a_curve_reaches_an_hour_in_steps_of_five_minutes() -> None:
    assert STEP_MIN * STEPS == 60
    assert forecast().shadows == {}
    for wrong in ((100.0,) * 11, (100.0,) * 13):
        with pytest.raises(ValidationError, match="mean_mgdl"):
            forecast(mean_mgdl=wrong)


def test_a_chance_lies_between_never_and_always() -> None:
    assert (forecast(p_low=0.0).p_low, forecast(p_low=1.0).p_low) == (0, 1)
    for wrong in (-0.01, 1.01, float("nan")):
        with pytest.raises(ValidationError, match="p_low"):
            forecast(p_low=wrong)
