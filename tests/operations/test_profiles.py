"""The digest of what the configuration states of a profile: it changes with that, and with nothing else."""

from typing import Any

import pytest

from iv3.assembly.profiles import stated_digest
from schemas.household import household
from schemas.settings import Settings

STATED: dict[str, Any] = {
    "person": {"id": "me", "name": "M", "zone": "UTC", "birth_year": 1980},
    "insulin": [
        {"name": "H", "duration": 300, "peak": 75, "period_type": "short"},
        {"name": "T", "duration": 2520, "period_type": "long", "every_h": 24},
    ],
    "iv3": {"unit": "mg/dL", "low_threshold": 72, "endpoint": "x"},
}


def digest_of(stated: dict[str, Any]) -> str:
    settings = Settings.model_validate(stated)
    return stated_digest(settings, household(settings)[0])


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ({}, "abeeaa39a0d58adc"),
        (STATED, "eaa17afd42917f3a"),
        ({"people": [{"id": "a", "insulin": [{"name": "H", "duration": 300}]}]}, "df6b8a8d12467e65"),
    ],
)
def test_a_release_with_more_settings_declares_no_profile_anew(stated: dict[str, Any], told: str) -> None:
    """Where it did, the start after an upgrade would undo what was set on the page."""
    assert digest_of(stated) == told


@pytest.mark.parametrize(
    "change",
    [
        {"person": {**STATED["person"], "zone": "Europe/Berlin"}},
        {"insulin": STATED["insulin"][:1]},
        {"iv3": {**STATED["iv3"], "low_threshold": 75}},
    ],
)
def test_what_is_stated_otherwise_is_declared_anew(change: dict[str, Any]) -> None:
    assert digest_of(STATED | change) != digest_of(STATED)


def test_an_account_or_a_phone_is_no_part_of_a_profile() -> None:
    more = {"dexcom": {"account": "a", "password": "p"}, "ntfy": {"topic": "t"}}
    assert digest_of(STATED | more) == digest_of(STATED)
