"""Snoozes: how long each kind of alarm may be kept quiet."""

from typing import get_args

import pytest

from processors.alerting.snoozes import MOST_MIN, SNOOZE_CHOICES_MIN, most_snooze_min, quiet_until_ms
from schemas.alerts import AlertKind
from schemas.facts import AlertsSnoozed
from schemas.model import at_ms
from tests.support.night import MIN, T0

DAY = 24 * 60 * MIN


def test_an_urgent_low_is_never_quiet_for_longer_than_half_an_hour() -> None:
    assert most_snooze_min("urgent_low") == 30
    assert SNOOZE_CHOICES_MIN["urgent_low"] == (10, 20, 30)


def test_a_low_is_offered_at_most_half_an_hour_and_a_high_two() -> None:
    assert SNOOZE_CHOICES_MIN["low"] == SNOOZE_CHOICES_MIN["predicted_low"] == (15, 30)
    assert SNOOZE_CHOICES_MIN["high"] == (30, 60, 120)
    assert SNOOZE_CHOICES_MIN["stale"] == SNOOZE_CHOICES_MIN["no_long_acting"] == (30, 60)


def test_whatever_is_offered_may_be_chosen_and_what_is_wrong_with_iv3_is_not_to_be_snoozed() -> None:
    assert set(SNOOZE_CHOICES_MIN) == set(get_args(AlertKind)) - {"system"}
    for kind, choices in SNOOZE_CHOICES_MIN.items():
        assert max(choices) <= most_snooze_min(kind)
    assert MOST_MIN == most_snooze_min("low") == 12 * 60


@pytest.mark.parametrize(("kind", "most_min"), [("urgent_low", 30), ("low", 720), ("stale", 720)])
def test_a_snooze_of_ten_years_counts_for_as_long_as_its_kind_may_be_quiet(kind: str, most_min: int) -> None:
    decade = AlertsSnoozed(kind=kind, until=at_ms(T0 + 3_652 * DAY))
    assert quiet_until_ms(decade, T0) == T0 + most_min * MIN
    for minutes in (5, most_min):
        assert quiet_until_ms(AlertsSnoozed(kind=kind, until=at_ms(T0 + minutes * MIN)), T0) == T0 + minutes * MIN


def test_a_snooze_is_counted_from_when_it_was_accepted_not_from_when_it_is_read() -> None:
    decade = AlertsSnoozed(kind="urgent_low", until=at_ms(T0 + 3_652 * DAY))
    assert quiet_until_ms(decade, T0 - DAY) < T0, "an old one silences nothing any more"
