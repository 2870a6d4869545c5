"""Carbohydrate at work: carbs on board (COB)."""

from collections.abc import Iterable
from typing import NamedTuple

ABSORPTION_MIN = {"fast": 120.0, "medium": 180.0, "slow": 240.0}


CARBS_DELAY_MIN = 15.0


class Meal(NamedTuple):
    """Carbohydrates."""

    time_ms: int
    grams: float
    speed: str


def cob_fraction(minutes: float, speed: str) -> float:
    """The fraction of carbs still to be absorbed after `minutes`: nothing for 15 min, then evenly."""
    whole = ABSORPTION_MIN.get(speed, ABSORPTION_MIN["medium"])
    return min(1.0, max(0.0, 1 - (minutes - CARBS_DELAY_MIN) / (whole - CARBS_DELAY_MIN)))


def cob_grams(meals: Iterable[Meal], now_ms: int) -> float:
    """Carbohydrates on board, grams."""
    return sum(
        meal.grams * cob_fraction((now_ms - meal.time_ms) / 60_000, meal.speed)
        for meal in meals
        if meal.time_ms <= now_ms
    )
