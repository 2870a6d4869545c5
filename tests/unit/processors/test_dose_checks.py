"""A dose that looks like a mistake is asked about once, and never lost."""

from typing import Any

import pytest

from processors.dose_checks import doubt_about
from processors.entries import EntryVersion
from schemas.facts import CarbsEaten, Insulin, InsulinTaken, ProfileChanged
from tests.support.night import HOUR, INSULINS, MIN, T0

WEEKLY = Insulin(name="Icodec", action="long", duration_min=5000, every_h=168)
TWICE = Insulin(name="Levemir", action="long", duration_min=1000, every_h=12)
UNSAID = Insulin(name="Toujeo", action="long", duration_min=1440)
PROFILE = ProfileChanged(insulins=(*INSULINS, WEEKLY, TWICE, UNSAID))


def asked(
    dose: InsulinTaken, *logged: EntryVersion, profile: ProfileChanged = PROFILE, at: int = T0, actor: str = "Dad"
) -> str | None:
    """For what reason it is asked about, or None."""
    doubt = doubt_about(dose, at, actor, profile, logged, at)
    return doubt.reason if doubt is not None else None


def logged(units: float, insulin: str, at: int, actor: str = "Mum", *, deleted: bool = False) -> EntryVersion:
    data = InsulinTaken(units=units, insulin=insulin)
    return EntryVersion(f"{insulin}{at}", "me", "insulin", at, 1, deleted, data, at, actor)


def dose(units: float, insulin: str, action: Any) -> InsulinTaken:
    return InsulinTaken(units=units, insulin=insulin, action=action)


LONG, RAPID = dose(18, "Tresiba", "long"), dose(4, "Humalog", "rapid")


def test_an_ordinary_dose_is_not_asked_about() -> None:
    assert asked(LONG) is None
    assert asked(RAPID) is None


@pytest.mark.parametrize(("insulin", "hours"), [("Tresiba", 12), ("Icodec", 84), ("Levemir", 6), ("Toujeo", 12)])
def test_a_second_long_acting_dose_within_half_its_interval_is_asked_about(insulin: str, hours: float) -> None:
    again, half = dose(18, insulin, "long"), int(hours * HOUR)
    for apart, reason in ((half - 1, "double_long"), (half, None)):
        assert asked(again, logged(18, insulin, T0 - apart)) == reason
        assert asked(again, logged(18, insulin, T0 + apart)) == reason, "one that was logged for later counts too"


def test_of_long_acting_doses_only_one_of_the_same_insulin_that_is_still_there_counts() -> None:
    assert asked(LONG, logged(18, "Levemir", T0 - HOUR)) is None
    assert asked(LONG, logged(18, "Tresiba", T0 - HOUR, deleted=True)) is None
    assert (
        asked(LONG, logged(18, "Tresiba", T0 - HOUR, deleted=True), logged(18, "Tresiba", T0 - 2 * HOUR))
        == "double_long"
    )


def test_the_same_rapid_insulin_by_another_person_within_a_quarter_of_an_hour_is_asked_about() -> None:
    for apart, reason in ((15 * MIN - 1, "recent_rapid"), (15 * MIN, None)):
        assert asked(RAPID, logged(4, "Humalog", T0 - apart)) == reason
    assert asked(RAPID, logged(4, "Humalog", T0 - MIN, "Dad")) is None, "who logged the first knows of it"
    assert asked(RAPID, logged(4, "Fiasp", T0 - MIN)) is None


def test_a_rapid_dose_above_the_persons_limit_is_asked_about() -> None:
    assert asked(dose(15, "Humalog", "rapid")) is None
    assert asked(dose(15.01, "Humalog", "rapid")) == "large_rapid"
    small = PROFILE.model_copy(update={"max_rapid_units": 5})
    assert asked(dose(5.5, "Humalog", "rapid"), profile=small) == "large_rapid"
    assert asked(dose(40, "Tresiba", "long"), profile=small) is None


def test_more_than_a_hundred_units_are_asked_about_whatever_the_insulin() -> None:
    assert asked(dose(100, "Tresiba", "long")) is None
    assert asked(dose(100.01, "Tresiba", "long")) == "over_100"


def test_an_insulin_that_the_profile_does_not_know_is_asked_about_and_never_guessed() -> None:
    assert asked(dose(4, "Humalgo", None)) == "unknown_insulin"
    assert asked(dose(4, "Humalgo", None), profile=ProfileChanged()) is None, "who named no insulins uses none of it"


def test_other_entries_around_it_are_no_doses() -> None:
    meal = EntryVersion("m", "me", "carbs", T0, 1, False, CarbsEaten(grams=20), T0, "Mum")
    assert asked(RAPID, meal) is None


def test_what_is_asked_names_the_dose_that_is_there_already_and_who_logged_it() -> None:
    doubt = doubt_about(LONG, T0, "Dad", PROFILE, [logged(17, "Tresiba", T0 - 4 * MIN)], T0)
    assert doubt is not None
    assert (doubt.title, doubt.line) == ("Already logged", "Tresiba is already logged, 4 min ago.")
    assert (doubt.insulin, doubt.insulin_units, doubt.time_ms, doubt.by) == ("Tresiba", 17, T0 - 4 * MIN, "Mum")


def test_an_insulin_that_was_misspelled_is_asked_about_with_the_one_that_was_meant() -> None:
    doubt = doubt_about(dose(4, "Humalgo", None), T0, "Dad", PROFILE, [], T0)
    assert doubt is not None
    assert doubt.line == "Humalgo is not among your insulins, so it would count for nothing. Did you mean Humalog?"
