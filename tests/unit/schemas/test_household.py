"""Everybody whom the configuration names, and the profile that it states of each."""

import pytest

from schemas.facts import Insulin
from schemas.household import household, people_without_phone, profile_of
from schemas.settings import PersonSettings, Settings, ThresholdSettings


def settings(**said: object) -> Settings:
    return Settings.model_validate(said)


def test_a_configuration_that_names_nobody_watches_one_person() -> None:
    assert [person.id for person in household(settings())] == ["me"]


def test_the_person_of_the_top_level_goes_before_all_others() -> None:
    both = settings(person={"id": "dad"}, people=[{"id": "maya"}])
    assert [person.id for person in household(both)] == ["dad", "maya"]
    shared = settings(dexcom={"account": "a"}, people=[{"id": "maya"}])
    assert [person.id for person in household(shared)] == ["me", "maya"]
    assert [person.id for person in household(settings(people=[{"id": "maya"}, {"id": "ada"}]))] == ["maya", "ada"]


def test_two_of_one_id_or_with_one_account_are_refused() -> None:
    with pytest.raises(ValueError, match="two with the id maya"):
        household(settings(people=[{"id": "maya"}, {"id": "maya"}]))
    account = {"account": "A@example.org", "region": "ous"}
    with pytest.raises(ValueError, match="maya and ada have the same Dexcom account"):
        household(
            settings(
                people=[
                    {"id": "maya", "dexcom": account},
                    {"id": "ada", "dexcom": account | {"account": "a@example.org"}},
                ]
            )
        )
    apart = settings(people=[{"id": "maya", "dexcom": account}, {"id": "ada", "dexcom": account | {"region": "us"}}])
    assert len(household(apart)) == 2


def test_who_has_no_phone_of_their_own_is_told_at_the_houses() -> None:
    people = [{"id": "maya", "ntfy": {"topic": "hers"}}, {"id": "ada"}]
    assert people_without_phone(settings(people=people)) == ["ada"]
    assert people_without_phone(settings(people=people, ntfy={"topic": "house"})) == []


def test_a_profile_is_what_the_configuration_states() -> None:
    (person,) = household(
        settings(
            people=[
                {
                    "id": "maya",
                    "name": "Maya",
                    "unit": "mg/dL",
                    "zone": "Europe/Berlin",
                    "birth_year": 2015,
                    "max_rapid_units": 8,
                    "low_threshold": 80,
                    "high_threshold": 250,
                    "missing_long_threshold": 26,
                    "insulin": [
                        {"name": "Humalog", "duration": 300, "peak": 75, "period_type": "short", "every_h": 4},
                        {"name": "Tresiba", "duration": 2520, "period_type": "long", "every_h": 24},
                        {"name": "Unsaid", "duration": 300},
                    ],
                }
            ],
        )
    )
    profile = profile_of(person, "digest")
    assert (profile.name, profile.unit, profile.zone, profile.birth_year) == ("Maya", "mg/dL", "Europe/Berlin", 2015)
    assert (profile.max_rapid_units, profile.no_long_acting_h, profile.config_digest) == (8, 26, "digest")
    assert (profile.limits.predicted_low_mgdl, profile.limits.high_alarm_mgdl, profile.limits.low_mgdl) == (80, 250, 70)
    assert profile.insulins == (
        Insulin(name="Humalog", action="rapid", duration_min=300, peak_min=75),
        Insulin(name="Tresiba", action="long", duration_min=2520, every_h=24),
    ), "of one that does not say what it is, nobody may guess that it is rapid"


def test_a_limit_that_is_not_set_is_the_usual_one() -> None:
    (person,) = household(settings())
    limits = profile_of(person, "").limits
    assert (limits.predicted_low_mgdl, limits.high_alarm_mgdl) == (70, 240)


def test_whatever_is_stated_of_the_first_person_is_stated_of_one_of_the_household() -> None:
    """Each setting of `person` and each threshold of `iv3`: one that is added later must come along."""
    settings = Settings.model_validate(
        {
            "person": {"id": "ada", "name": "Ada", "birth_year": 1984, "zone": "UTC", "max_rapid_units": 9},
            "iv3": {"unit": "mg/dL", "low_threshold": 75, "high_threshold": 200, "missing_long_threshold": 30},
        }
    )
    (first,) = household(settings)
    stated = dict(settings.person) | {name: getattr(settings.iv3, name) for name in ThresholdSettings.model_fields}
    assert {name: getattr(first, name) for name in stated} == stated
    usual = dict(PersonSettings()) | dict(ThresholdSettings())
    assert not [name for name, value in stated.items() if value == usual[name]], "each has another value here"
