"""The history of an episode in words."""

import pytest

from processors.alerting.history import change_words, delivery_words, snooze_words, told_words
from schemas.alerts import Evidence
from schemas.model import at_ms
from tests.support.alerts import T0, event

BERLIN, READ = "Europe/Berlin", " (reading of 06:56)"


@pytest.mark.parametrize(
    ("change", "more", "words"),
    [
        ("opened", {}, f"Maya: Low 3.4 ↓{READ}"),
        ("escalated", {"step": 3}, f"nobody had answered: rang again, step 3{READ}"),
        ("escalated", {"step": 2, "by": "Dad"}, f"Dad had answered, and it was still so: rang again, step 2{READ}"),
        ("acknowledged", {"by": "Dad"}, "acknowledged by Dad"),
        ("acknowledged", {}, "acknowledged by somebody"),
        ("resolved", {}, f"over: 3.4 ↓{READ}"),
        ("resolved", {"evidence": Evidence()}, "over"),
        ("resolved", {"quiet": True}, "another alarm took over"),
        ("expired", {}, "it did not come; over without a message"),
    ],
)
def test_a_change_says_what_was_decided_and_from_which_reading(
    change: str, more: dict[str, object], words: str
) -> None:
    assert change_words(event("low", change, **more), BERLIN) == words


def test_a_time_without_a_zone_says_that_it_is_utc() -> None:
    assert told_words(T0 + 3_600_000, None, None) == "Told at 07:00 UTC."
    assert told_words(T0, None, BERLIN) == "Told at 07:00."


def test_a_message_that_never_went_out_says_why() -> None:
    assert told_words(T0, "the phone is gone", BERLIN) == "NOT DELIVERED at 07:00: the phone is gone"
    assert delivery_words(2, "the phone is gone") == "step 2 could not be delivered: the phone is gone"
    assert delivery_words(0, "no such topic") == "the all-clear could not be delivered: no such topic"
    assert delivery_words(1, None) == "ntfy accepted step 1"
    assert delivery_words(0, None) == "ntfy accepted the all-clear"


def test_a_snooze_says_until_when_and_whose_it_is_and_one_that_ends_at_once_was_lifted() -> None:
    assert snooze_words(T0, T0 + 1_800_000, "Dad", BERLIN) == "snoozed until 07:30 by Dad"
    assert snooze_words(T0, T0, None, BERLIN) == "its snooze was lifted by somebody"
    assert at_ms(T0).hour == 6, "Berlin is an hour ahead of it"
