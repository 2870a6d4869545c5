"""The predictors by name, and which one is live."""

import pytest

from processors.predictors.registry import LIVE, PREDICTORS
from processors.readings import Reading
from tests.support.night import MIN, T0


def test_ar2_is_live_and_the_simplest_ones_show_what_it_is_worth() -> None:
    assert LIVE == "ar2"
    assert {"ar2", "persistence", "linear"} <= set(PREDICTORS)


@pytest.mark.parametrize("name", PREDICTORS)
def test_a_predictor_is_called_by_its_name(name: str) -> None:
    assert PREDICTORS[name]().name == name


@pytest.mark.parametrize("name", PREDICTORS)
def test_a_predictor_takes_up_its_own_state_and_says_the_same(name: str) -> None:
    whole, halved = PREDICTORS[name](), PREDICTORS[name]()
    for n in range(20):
        one = Reading(T0 + n * 5 * MIN, 100 + 7 * (n % 5), None, "", "")
        if n == 9:
            state = halved.dump()
            halved = PREDICTORS[name]()
            halved.load(state)
        assert whole.take(one) == halved.take(one)
