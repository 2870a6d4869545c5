"""Insulin and carbohydrate at work now, from a person's entries and their profile."""

from collections.abc import Sequence
from typing import NamedTuple

from processors.entries import EntryVersion
from processors.physiology.carbs import Meal, cob_grams
from processors.physiology.insulin import Dose, iob_units
from processors.profiles import action_of_dose
from schemas.facts import CarbsEaten, InsulinTaken, ProfileChanged

LOOK_BACK_MS = 12 * 3_600_000  # longer than any rapid dose or meal is at work


class AtWork(NamedTuple):
    """IOB and COB with the time of the last dose and meal, epoch milliseconds; None where nothing was logged, for
    nothing known is not zero. `unknown_doses` have no known action, and are in neither.
    """

    iob_units: float | None
    unknown_doses: int
    iob_last_ms: int | None
    cob_grams: float | None
    cob_last_ms: int | None


def at_work(entries: Sequence[EntryVersion], profile: ProfileChanged, now_ms: int) -> AtWork:
    """IOB (units, to 0.01) and COB (grams, to 0.1) at a moment, from the entries of `LOOK_BACK_MS` before it, oldest
    first.
    """
    logged = [(entry.time_ms, entry.data) for entry in entries if isinstance(entry.data, InsulinTaken)]
    actions = [action_of_dose(taken, profile.insulins) for _, taken in logged]
    known = zip(logged, actions, strict=True)
    doses = [Dose(time_ms, taken.units, taken.insulin) for (time_ms, taken), action in known if action == "rapid"]
    meals = [Meal(e.time_ms, e.data.grams, e.data.speed) for e in entries if isinstance(e.data, CarbsEaten)]
    return AtWork(
        iob_units=round(iob_units(doses, profile.insulins, now_ms), 2) if doses else None,
        unknown_doses=actions.count(None),
        iob_last_ms=doses[-1].time_ms if doses else None,
        cob_grams=round(cob_grams(meals, now_ms), 1) if meals else None,
        cob_last_ms=meals[-1].time_ms if meals else None,
    )
