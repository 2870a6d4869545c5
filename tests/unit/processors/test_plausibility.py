"""Moments that nobody can have meant."""

import pytest

from processors.plausibility import odd_time
from tests.support.night import T0

YEAR_2000 = 946_684_800_000


@pytest.mark.parametrize(
    ("time_ms", "why"),
    [
        (YEAR_2000 - 1, "lies before the year 2000"),
        (YEAR_2000, ""),
        (T0 - 1, ""),
        (T0 + 600_000, ""),
        (T0 + 600_001, "lies more than ten minutes ahead"),
    ],
)
def test_a_moment_lies_between_the_year_2000_and_ten_minutes_from_now(time_ms: int, why: str) -> None:
    assert odd_time(time_ms, T0) == why
