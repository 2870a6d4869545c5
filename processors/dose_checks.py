"""Dose checks: a dose that looks like a mistake is asked about once, and never lost. Elapsed time counts, so that
travelling changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from processors.alerting.wording import age_words
from processors.entries import EntryVersion
from processors.profiles import action_of, nearest_name
from schemas.facts import InsulinTaken, ProfileChanged

LOOK_BACK_MS = 8 * 86_400_000  # a week's longest schedule, and a day
RECENT_RAPID_MS = 15 * 60_000
PEN_UNITS = 100.0  # pens deliver up to 160 at once, but rarely
_USUAL_EVERY_H = 24.0

Reason = Literal["unknown_insulin", "over_100", "large_rapid", "double_long", "recent_rapid"]


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a dose should be confirmed: the sentence to ask, and the dose that it speaks of (this one, or the one that is
    logged already).
    """

    reason: Reason
    title: str
    line: str
    insulin: str
    insulin_units: float
    time_ms: int
    by: str | None


def doubt_about(
    dose: InsulinTaken,
    time_ms: int,
    actor: str | None,
    profile: ProfileChanged,
    logged: Sequence[EntryVersion],
    now_ms: int,
) -> Doubt | None:
    """The doubt about a dose that looks like a mistake; None where it does not. `logged` are the entries around it,
    oldest first.
    """
    return _itself(dose, time_ms, actor, profile) or _beside(dose, time_ms, actor, profile, logged, now_ms)


def _itself(dose: InsulinTaken, time_ms: int, actor: str | None, profile: ProfileChanged) -> Doubt | None:
    def doubt(reason: Reason, title: str, line: str) -> Doubt:
        return Doubt(reason, title, line, dose.insulin, dose.units, time_ms, actor)

    if dose.action is None and profile.insulins:
        near = nearest_name(dose.insulin, profile.insulins)
        hint = f" Did you mean {near}?" if near else ""
        line = f"{dose.insulin} is not among your insulins, so it would count for nothing.{hint}"
        return doubt("unknown_insulin", "Unknown insulin", line)
    if dose.units > PEN_UNITS:
        line = f"{dose.units:g} U is above {PEN_UNITS:.0f} U."
        return doubt("over_100", "Larger than a pen's usual dose", line)
    if dose.action == "rapid" and dose.units > profile.max_rapid_units:
        line = f"{dose.units:g} U is above your {profile.max_rapid_units:g} U limit."
        return doubt("large_rapid", "Larger than usual", line)
    return None


def _beside(
    dose: InsulinTaken,
    time_ms: int,
    actor: str | None,
    profile: ProfileChanged,
    logged: Sequence[EntryVersion],
    now_ms: int,
) -> Doubt | None:
    """The newest dose of the same insulin that this one may repeat."""
    for entry in reversed(logged):
        other = entry.data
        if entry.deleted or not isinstance(other, InsulinTaken) or other.insulin != dose.insulin:
            continue
        apart_ms = abs(time_ms - entry.time_ms)
        if action_of(other.insulin, profile.insulins) == "long":
            every_h = next(
                (i.every_h for i in profile.insulins if i.name == dose.insulin and i.every_h), _USUAL_EVERY_H
            )
            reason: Reason = "double_long"
            doubtful = apart_ms < every_h * 3_600_000 / 2
        else:
            reason = "recent_rapid"
            doubtful = dose.action == "rapid" and apart_ms < RECENT_RAPID_MS and entry.actor != actor
        if doubtful:
            line = f"{other.insulin} is already logged, {age_words(now_ms - entry.time_ms)}."
            return Doubt(reason, "Already logged", line, other.insulin, other.units, entry.time_ms, entry.actor)
    return None
