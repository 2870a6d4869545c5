"""What a predictor says: curves, and chances for the next half hour."""

import math

import pytest

from processors.predictors.protocol import (
    CHANCE_STEPS,
    HORIZONS_MIN,
    LEAST_MGDL,
    MOST_MGDL,
    STEP_20_MIN,
    ForecastLimits,
    Prediction,
)

FLAT = Prediction((100.0,) * 12, (0.1,) * 12)


def test_a_curve_has_a_value_each_five_minutes_for_an_hour() -> None:
    assert HORIZONS_MIN == (5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60)
    assert HORIZONS_MIN[STEP_20_MIN] == 20
    assert HORIZONS_MIN[CHANCE_STEPS - 1] == 30


def test_until_a_profile_says_otherwise_the_usual_limits_are_foretold() -> None:
    assert ForecastLimits() == (70, 55, 180, 70)


def test_a_quantile_lies_so_many_deviations_from_the_mean_and_within_what_a_sensor_shows() -> None:
    assert FLAT.quantile(0) == FLAT.mean_mgdl
    assert FLAT.quantile(1)[0] == pytest.approx(110.517, abs=1e-3)
    assert FLAT.quantile(-2)[11] == pytest.approx(81.873, abs=1e-3)
    assert FLAT.quantile(-90) == (LEAST_MGDL,) * 12 == (36,) * 12
    assert FLAT.quantile(90) == (MOST_MGDL,) * 12 == (400,) * 12
    assert Prediction((100.0,) * 12).quantile(3) == (100.0,) * 12


def test_a_chance_is_that_of_the_normal_distribution_on_the_logarithm() -> None:
    assert FLAT.chance_below(100) == pytest.approx(0.5)
    assert FLAT.chance_below(100 * math.exp(-0.1)) == pytest.approx(0.158655, abs=1e-6)
    assert FLAT.chance_above(100 * math.exp(0.196)) == pytest.approx(0.025, abs=1e-4)
    assert FLAT.chance_below(100 * math.exp(0.1)) == pytest.approx(0.841345, abs=1e-6)


def test_a_chance_is_the_largest_of_the_next_half_hours_steps() -> None:
    dip = Prediction((100.0,) * 5 + (70.0,) + (40.0,) * 6, (0.1,) * 12)
    assert dip.chance_below(70) == pytest.approx(0.5)
    rise = Prediction((100.0,) * 5 + (180.0,) + (300.0,) * 6, (0.1,) * 12)
    assert rise.chance_above(180) == pytest.approx(0.5)


def test_without_a_spread_it_is_sure() -> None:
    line = Prediction((100.0,) * 5 + (69.9,) + (40.0,) * 6)
    assert (line.chance_below(70), line.chance_below(69.9), line.chance_above(99), line.chance_above(101)) == (
        1,
        0,
        1,
        0,
    )
