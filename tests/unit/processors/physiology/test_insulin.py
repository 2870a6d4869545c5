"""Insulin at work: the model's numbers come from outside, and which curve a dose follows."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.physiology.insulin import Dose, iob_fraction, iob_units
from schemas.facts import Insulin
from tests.support.night import HOUR, INSULINS, MIN, T0

PUBLISHED = json.loads((Path(__file__).parents[1] / "fixtures" / "insulin_on_board.json").read_text())["numbers"]
SHORT = Insulin(name="Fiasp", action="rapid", duration_min=360, peak_min=55)


def test_elapsed_time_counts_in_parts_of_a_minute_wherever_the_clock_stands() -> None:
    at_once, after = Dose(40_000, 1, "Humalog"), 40_000 + 90_000
    assert iob_units([Dose(2, 1, "Humalog")], INSULINS, 5) == pytest.approx(1, abs=1e-6)
    assert iob_units([at_once], INSULINS, after) == iob_fraction(1.5, 300, 75) < iob_fraction(1, 300, 75)


@pytest.mark.parametrize(("duration", "peak", "minutes", "left"), PUBLISHED)
def test_insulin_on_board_has_the_numbers_of_loops_exponential_model(
    duration: float, peak: float, minutes: float, left: float
) -> None:
    assert iob_fraction(minutes, duration, peak) == pytest.approx(left, abs=1.5e-6)


def test_there_are_twenty_numbers() -> None:
    assert len(PUBLISHED) == 20


@given(st.floats(120, 600), st.floats(0.05, 0.45))
def test_a_dose_begins_whole_ends_at_nothing_and_never_grows(duration: float, share: float) -> None:
    times = [*(duration * n / 100 for n in range(100)), duration]
    values = [iob_fraction(minutes, duration, duration * share) for minutes in times]
    assert values[0] == 1
    assert values[-1] == 0
    assert all(0 <= b <= a + 1e-12 <= 1 + 1e-12 for a, b in pairwise(values))


def test_nothing_acts_before_its_time_or_after_its_duration() -> None:
    assert iob_fraction(-1, 300, 75) == iob_fraction(-0.5, 300, 75) == iob_fraction(0, 300, 75) == 1
    assert iob_fraction(300, 300, 75) == iob_fraction(301, 300, 75) == 0
    assert 0 < iob_fraction(0.5, 300, 75) < 1
    assert 0 < iob_fraction(299.5, 300, 75) < 1


def test_the_curve_falls_fastest_at_its_peak() -> None:
    steps = [iob_fraction(t, 360, 75) - iob_fraction(t + 1, 360, 75) for t in range(360)]
    assert steps.index(max(steps)) in (74, 75)


def test_a_dose_acts_as_its_insulin_does_in_the_profile() -> None:
    later = T0 + 60 * MIN
    assert iob_units([Dose(T0, 10, "Humalog")], INSULINS, later) == pytest.approx(7.64006, abs=1e-4)
    assert iob_units([Dose(T0, 10, "Fiasp")], (*INSULINS, SHORT), later) == pytest.approx(6.80710, abs=1e-4)


def test_doses_add_up() -> None:
    doses = [Dose(T0, 4, "Humalog"), Dose(T0 + 60 * MIN, 10, "Humalog")]
    assert iob_units(doses, INSULINS, T0 + 120 * MIN) == pytest.approx(4 * 0.410580 + 10 * 0.764006, abs=1e-4)
    assert iob_units([], INSULINS, T0) == 0


def test_an_insulin_that_left_the_profile_acts_for_five_hours_with_a_peak_at_75_minutes() -> None:
    for minutes, left in ((60, 0.764006), (180, 0.158796), (285, 0.001756)):
        assert iob_units([Dose(T0, 1, "Gone")], INSULINS, T0 + minutes * MIN) == pytest.approx(left, abs=1.5e-6)
    assert iob_units([Dose(T0, 1, "Gone")], INSULINS, T0 + 5 * HOUR) == 0


def test_an_insulins_name_counts_whatever_its_case_and_the_spaces_around_it() -> None:
    profile = (Insulin(name=" fiASP ", action="rapid", duration_min=360, peak_min=55),)
    assert iob_units([Dose(T0, 1, "Fiasp  ")], profile, T0 + 60 * MIN) == pytest.approx(0.680710, abs=1.5e-6)


def test_long_acting_and_the_future_count_for_nothing_and_what_follows_them_still_counts() -> None:
    long_acting, ahead, now = Dose(T0, 20, "Tresiba"), Dose(T0 + 1, 5, "Humalog"), Dose(T0, 4, "Humalog")
    assert iob_units([long_acting, ahead], INSULINS, T0) == 0
    assert iob_units([long_acting, ahead, now], INSULINS, T0) == 4


@pytest.mark.parametrize("peak", [0, 150, 200])
def test_a_peak_that_the_model_does_not_know_is_replaced_by_the_usual_one(peak: float) -> None:
    """The model is defined for a peak before half the duration; a profile may leave it out, or have it wrong."""
    profile = (Insulin(name="Humalog", action="rapid", duration_min=300, peak_min=peak),)
    left = iob_units([Dose(T0, 1, "Humalog")], profile, T0 + 60 * MIN)
    assert left == pytest.approx(0.764006, abs=1.5e-6)


def test_the_usual_peak_is_never_later_than_a_quarter_of_the_duration() -> None:
    brief = (Insulin(name="Brief", action="rapid", duration_min=220, peak_min=0),)
    named = (Insulin(name="Brief", action="rapid", duration_min=220, peak_min=55),)
    later = T0 + 60 * MIN
    assert iob_units([Dose(T0, 1, "Brief")], brief, later) == iob_units([Dose(T0, 1, "Brief")], named, later)


def test_any_peak_before_half_the_duration_is_taken_as_it_is() -> None:
    late = (Insulin(name="Late", action="rapid", duration_min=301, peak_min=150.2),)
    assert iob_units([Dose(T0, 1, "Late")], late, T0 + 60 * MIN) == iob_fraction(60, 301, 150.2)
    assert iob_fraction(60, 301, 150.2) > iob_fraction(60, 301, 110) > iob_fraction(60, 301, 75)
    odd = (Insulin(name="Odd", action="rapid", duration_min=222, peak_min=0),)
    assert iob_units([Dose(T0, 1, "Odd")], odd, T0 + 60 * MIN) == iob_fraction(60, 222, 55.5)


def test_an_early_peak_is_a_peak() -> None:
    profile = (Insulin(name="Early", action="rapid", duration_min=300, peak_min=0.5),)
    assert iob_units([Dose(T0, 1, "Early")], profile, T0 + 60 * MIN) < 0.01
