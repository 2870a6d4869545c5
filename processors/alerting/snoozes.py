"""Snoozes: how long each kind of alarm may be kept quiet.

The rule holds where a snooze is folded, whichever door wrote it and however long ago: a fact in the log that asks for
more counts for as long as is allowed, from the moment in which it was accepted.
"""

from schemas.facts import AlertsSnoozed
from schemas.model import ms

# What a page offers, minutes.
SNOOZE_CHOICES_MIN: dict[str, tuple[int, ...]] = {
    "urgent_low": (10, 20, 30),
    "low": (15, 30),
    "predicted_low": (15, 30),
    "high": (30, 60, 120),
    "stale": (30, 60),
    "no_long_acting": (30, 60),
}
MOST_MIN = 720
# An urgent low is never quiet for longer, and only by its own snooze.
_LESS_MIN = {"urgent_low": 30}


def most_snooze_min(kind: str) -> int:
    """The longest snooze of a kind of alarm, minutes."""
    return _LESS_MIN.get(kind, MOST_MIN)


def quiet_until_ms(snooze: AlertsSnoozed, recorded_ms: int) -> int:
    """Until when a snooze that was accepted at `recorded_ms` keeps its kind quiet. Epoch milliseconds."""
    return min(ms(snooze.until), recorded_ms + most_snooze_min(snooze.kind) * 60_000)
