"""Carbs at work."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.physiology.carbs import Meal, cob_fraction, cob_grams
from tests.support.night import HOUR, MIN, T0

WORKED_OUT = json.loads((Path(__file__).parents[1] / "fixtures" / "carbs_on_board.json").read_text())["numbers"]
SPEEDS = ("fast", "medium", "slow")


def test_elapsed_time_counts_in_parts_of_a_minute_wherever_the_clock_stands() -> None:
    assert cob_grams([Meal(2, 10, "fast")], 5) == 10
    assert cob_grams([Meal(40_000, 10, "fast")], 40_000 + 4_050_000) == pytest.approx(5)


@pytest.mark.parametrize(("speed", "minutes", "left"), WORKED_OUT)
def test_fast_carbs_are_absorbed_in_two_hours_medium_ones_in_three_slow_ones_in_four(
    speed: str, minutes: float, left: float
) -> None:
    assert cob_fraction(minutes, speed) == pytest.approx(left, abs=1e-6)


def test_a_speed_that_nobody_knows_is_medium() -> None:
    assert cob_fraction(97.5, "glacial") == 0.5


@given(st.sampled_from(SPEEDS))
def test_carbs_begin_whole_end_at_nothing_and_never_grow(speed: str) -> None:
    values = [cob_fraction(minutes, speed) for minutes in range(-10, 300)]
    assert values[0] == 1
    assert values[-1] == 0
    assert all(0 <= b <= a <= 1 for a, b in pairwise(values))


def test_meals_add_up_and_one_that_is_not_yet_eaten_counts_for_nothing() -> None:
    meals = [Meal(T0, 40, "medium"), Meal(T0 + 1, 99, "fast")]
    assert cob_grams(meals, T0) == 40
    assert cob_grams(meals, T0 - 1) == 0
    assert cob_grams([Meal(T0, 40, "fast"), Meal(T0, 20, "slow")], T0 + round(67.5 * MIN)) == pytest.approx(
        40 * 0.5 + 20 * (240 - 67.5) / 225
    )
    assert cob_grams([Meal(T0, 10, "fast"), Meal(T0, 10, "slow")], T0 + 2 * HOUR) == pytest.approx(10 * 120 / 225)
