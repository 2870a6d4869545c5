"""Profiles: what an insulin's name means."""

from processors.profiles import DEFAULT, action_of, action_of_dose, nearest_name, proper_name
from schemas.facts import Insulin, InsulinTaken
from tests.support.night import INSULINS


def test_an_insulin_is_what_the_profile_says_and_never_guessed() -> None:
    assert action_of("Humalog", INSULINS) == "rapid"
    assert action_of(" tresiBA ", INSULINS) == "long"
    assert action_of("Humalo", INSULINS) is None
    assert action_of("Humalog", ()) is None
    spaced = (Insulin(name=" Fiasp ", action="rapid", duration_min=300),)
    assert action_of("fiasp", spaced) == "rapid"


def test_a_logged_dose_is_what_the_profile_says_now_or_what_it_said_then() -> None:
    then = InsulinTaken(units=4, insulin="Gone", action="rapid")
    assert action_of_dose(then, INSULINS) == "rapid"
    assert action_of_dose(then.model_copy(update={"insulin": "Tresiba"}), INSULINS) == "long"
    assert action_of_dose(InsulinTaken(units=4, insulin="Gone"), INSULINS) is None


def test_a_name_with_a_slip_of_the_thumb_is_likely_the_nearest_one() -> None:
    assert nearest_name("humalgo ", INSULINS) == "Humalog"
    assert nearest_name("TRESBIA", INSULINS) == "Tresiba"
    assert nearest_name("Insulatard", INSULINS) is None
    assert nearest_name("Humalog", ()) is None


def test_a_name_is_spelled_as_the_profile_has_it_and_otherwise_as_it_was_said() -> None:
    assert proper_name(" hUMALOG", INSULINS) == "Humalog"
    assert proper_name(" Gone ", INSULINS) == "Gone"


def test_who_has_set_nothing_has_no_insulins_and_the_usual_limits() -> None:
    assert (DEFAULT.insulins, DEFAULT.no_long_acting_h) == ((), 0)
    assert (DEFAULT.limits.urgent_low_mgdl, DEFAULT.limits.low_mgdl, DEFAULT.limits.high_alarm_mgdl) == (55, 70, 240)
