"""Guards: a dose that looks like a mistake is asked about once, and never lost. Elapsed time counts, so that travelling changes nothing."""

from collections.abc import Sequence

from api.request.problems import ProblemError
from processors.alerting.wording import age_words
from processors.entries import EntryVersion
from processors.profiles import action_of, nearest_name
from schemas.facts import InsulinTaken, ProfileChanged

RECENT_RAPID_MS = 15 * 60_000
PEN_UNITS = 100.0  # pens deliver up to 160 at once, but rarely
_USUAL_EVERY_H = 24.0


def ask_about(
    dose: InsulinTaken, time_ms: int, actor: str, profile: ProfileChanged, logged: Sequence[EntryVersion], now_ms: int
) -> None:
    """Raise a 409 `needs_confirm` for a dose that looks like a mistake. `logged` are the entries around it, oldest first."""
    if dose.action is None and profile.insulins:
        near = nearest_name(dose.insulin, profile.insulins)
        hint = f" Did you mean {near}?" if near else ""
        line = f"{dose.insulin} is not among your insulins, so it would count for nothing.{hint}"
        _ask("unknown_insulin", "Unknown insulin", line, dose.insulin, dose.units, time_ms, actor, now_ms)
    if dose.units > PEN_UNITS:
        line = f"{dose.units:g} U is above {PEN_UNITS:.0f} U."
        _ask("over_100", "Larger than a pen's usual dose", line, dose.insulin, dose.units, time_ms, actor, now_ms)
    if dose.action == "rapid" and dose.units > profile.max_rapid_units:
        line = f"{dose.units:g} U is above your {profile.max_rapid_units:g} U limit."
        _ask("large_rapid", "Larger than usual", line, dose.insulin, dose.units, time_ms, actor, now_ms)
    for entry in reversed(logged):
        other = entry.data
        if entry.deleted or not isinstance(other, InsulinTaken) or other.insulin != dose.insulin:
            continue
        apart = abs(time_ms - entry.time_ms)
        line = f"{other.insulin} is already logged, {age_words(now_ms - entry.time_ms)}."
        facts = ("Already logged", line, other.insulin, other.units, entry.time_ms, entry.actor, now_ms)
        if action_of(other.insulin, profile.insulins) == "long":
            every = next((i.every_h for i in profile.insulins if i.name == dose.insulin and i.every_h), _USUAL_EVERY_H)
            if apart < every * 3_600_000 / 2:
                _ask("double_long", *facts)
        elif dose.action == "rapid" and apart < RECENT_RAPID_MS and entry.actor != actor:
            _ask("recent_rapid", *facts)


def _ask(
    reason: str, title: str, line: str, insulin: str, units: float, time_ms: int, by: str | None, now_ms: int
) -> None:
    facts = {
        "reason": reason,
        "title": title,
        "line": line,
        "insulin": insulin,
        "units": units,
        "time_ms": time_ms,
        "by": by,
        "minutes_ago": max(0, (now_ms - time_ms) // 60_000),
    }
    detail = f'{line} Send it again with "confirm": true to log it all the same.'
    raise ProblemError(409, detail, code="needs_confirm", facts=facts)
