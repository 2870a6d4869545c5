"""AR2 with its cone."""

import json
from pathlib import Path
from typing import Any

import pytest

from processors.predictors.ar2 import Ar2
from processors.predictors.protocol import Prediction
from processors.readings import Reading
from tests.support.night import MIN, T0

CONE = json.loads((Path(__file__).parents[1] / "fixtures" / "ar2_cone.json").read_text())


def forecast(predictor: Any, minutes: float, glucose: float) -> Prediction | None:
    """What a predictor foresees from a reading."""
    said: Prediction | None = predictor.take(Reading(T0 + round(minutes * MIN), glucose, None, "", ""))
    return said


@pytest.mark.parametrize("published", CONE["five_minutes_apart"], ids=lambda case: f"{case['before']} {case['now']}")
def test_ar2_gives_the_numbers_of_nightscouts_cone(published: dict[str, Any]) -> None:
    predictor = Ar2()
    assert forecast(predictor, 0, published["before"]) is None
    said = forecast(predictor, 5, published["now"])
    assert said is not None
    assert said.mean_mgdl == pytest.approx(published["mean"], abs=6e-5)
    assert said.sd_log == tuple(CONE["cone"])
    if "below" in published:
        assert said.quantile(-1) == pytest.approx(published["below"], abs=6e-5)
        assert said.quantile(1) == pytest.approx(published["above"], abs=6e-5)


def test_after_a_gap_there_is_nothing_honest_to_say() -> None:
    predictor = Ar2()
    predictor.take(Reading(T0, 110, None, "", ""))
    assert predictor.take(Reading(T0 + 21 * MIN, 104, None, "", "")) is None


@pytest.mark.parametrize(("minutes", "known"), [(2.5, True), (2.5 - 1 / 60, False), (20, True), (20 + 1 / 60, False)])
def test_a_slope_needs_a_reading_from_two_and_a_half_to_twenty_minutes_ago(minutes: float, known: bool) -> None:
    predictor = Ar2()
    forecast(predictor, 0, 110)
    assert (forecast(predictor, minutes, 104) is not None) == known


def test_a_slope_is_brought_to_five_minutes_whatever_lies_between() -> None:
    """110 to 104 in five minutes is the same as 116 to 104 in ten, and as 107 to 104 in two and a half."""
    curves = []
    for minutes, before in ((5, 110), (10, 116), (2.5, 107)):
        predictor = Ar2()
        forecast(predictor, 0, before)
        said = forecast(predictor, minutes, 104)
        assert said is not None
        curves.append(said.mean_mgdl)
    assert curves[1] == pytest.approx(curves[0])
    assert curves[2] == pytest.approx(curves[0])


def test_a_sensor_of_one_minute_is_compared_with_its_last_reading_of_two_and_a_half_minutes_ago_or_more() -> None:
    quick, usual = Ar2(), Ar2()
    for minutes, glucose in ((0, 300), (2, 107.6), (3, 106.4), (4, 105.2)):
        forecast(quick, minutes, glucose)
    forecast(usual, 0, 110)
    first, second = forecast(quick, 5, 104), forecast(usual, 5, 104)
    assert first is not None
    assert second is not None
    assert first.mean_mgdl == pytest.approx(second.mean_mgdl)


def test_a_revised_value_takes_the_place_of_the_one_it_revises() -> None:
    revised, once = Ar2(), Ar2()
    for glucose in (300, 110):
        forecast(revised, 0, glucose)
    forecast(once, 0, 110)
    assert forecast(revised, 5, 104) == forecast(once, 5, 104)


def test_a_curve_stays_within_what_a_sensor_shows() -> None:
    down, up = Ar2(), Ar2()
    forecast(down, 0, 120)
    forecast(up, 0, 250)
    low, high = forecast(down, 5, 60), forecast(up, 5, 390)
    assert low is not None
    assert high is not None
    assert min(low.mean_mgdl) == 36
    assert max(high.mean_mgdl) == 400
