"""Snoozes: how long each kind of alarm may be kept quiet."""

SNOOZE_CHOICES_MIN: dict[str, tuple[int, ...]] = {
    "urgent_low": (10, 20, 30),
    "low": (15, 30),
    "predicted_low": (15, 30),
    "high": (30, 60, 120),
    "stale": (30, 60),
    "no_long_acting": (30, 60),
}


MOST_SNOOZE_MIN = {"urgent_low": 30}  # an urgent low is never quiet for longer, and only by its own snooze


USUAL_MOST_MIN = 720
