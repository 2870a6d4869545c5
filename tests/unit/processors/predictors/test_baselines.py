"""The two simplest predictors: no change, and a straight line."""

from typing import Any

import pytest

from processors.predictors.baselines import Linear, Persistence
from processors.predictors.protocol import Prediction
from processors.readings import Reading
from tests.support.night import MIN, T0


def forecast(predictor: Any, minutes: float, glucose: float) -> Prediction | None:
    """What a predictor foresees from a reading."""
    said: Prediction | None = predictor.take(Reading(T0 + round(minutes * MIN), glucose, None, "", ""))
    return said


def test_it_stays_as_it_is() -> None:
    said = forecast(Persistence(), 0, 104)
    assert said is not None
    assert said.mean_mgdl == (104,) * 12
    assert said.sd_log is None


def test_half_the_change_over_three_readings_goes_straight_on() -> None:
    line = Linear()
    assert forecast(line, 0, 100) is None
    assert forecast(line, 5, 103) is None
    said = forecast(line, 10, 104)
    assert said is not None
    assert said.mean_mgdl == pytest.approx([106, 108, 110, 112, 114, 116, 118, 120, 122, 124, 126, 128])


def test_only_the_last_three_readings_count() -> None:
    line = Linear()
    for n, glucose in enumerate((300, 100, 103)):
        forecast(line, 5 * n, glucose)
    said = forecast(line, 15, 104)
    assert said is not None
    assert said.mean_mgdl[0] == pytest.approx(106)


def test_what_is_more_than_half_an_hour_old_is_forgotten() -> None:
    for minutes, known in ((30, True), (30 + 1 / 60, False)):
        line = Linear()
        forecast(line, 0, 100)
        forecast(line, 5, 103)
        assert (forecast(line, minutes, 104) is not None) == known
