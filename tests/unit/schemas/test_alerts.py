"""What the alerter decided: in which order alarms go out, and where a decision lies."""

import pytest
from pydantic import ValidationError

from schemas.alerts import STALE_AFTER_LOW_URGENCY, URGENCY, AlertsDecided, DecisionPosition, PersonTold


def test_an_urgent_low_goes_first_then_readings_lost_while_low_then_lows() -> None:
    ranked = sorted([*URGENCY.items(), ("lost while low", STALE_AFTER_LOW_URGENCY)], key=lambda item: item[1])
    assert [kind for kind, _ in ranked] == [
        "urgent_low",
        "lost while low",
        "low",
        "predicted_low",
        "stale",
        "system",
        "high",
        "no_long_acting",
    ]
    assert len({urgency for _, urgency in ranked}) == len(ranked)


def test_positions_are_in_the_order_of_the_journal_its_forecasts_and_the_ticks_behind_them() -> None:
    places = [(5, 1, 3), (5, 0, 0), (6, 0, 0), (5, 1, 0), (5, 0, 9)]
    assert sorted(DecisionPosition(*place) for place in places) == [
        (5, 0, 0),
        (5, 0, 9),
        (5, 1, 0),
        (5, 1, 3),
        (6, 0, 0),
    ]


def test_a_decision_says_something() -> None:
    with pytest.raises(ValidationError, match="events"):
        AlertsDecided(pos=DecisionPosition(0, 0, 0), events=())


def test_who_has_no_phone_of_their_own_is_told_at_the_houses() -> None:
    assert PersonTold().targets == ()
