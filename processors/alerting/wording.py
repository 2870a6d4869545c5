"""Words: what a notification says. Words that cannot cause a second injection: "logged" or "no ... logged", never an
order to act.

A test scans every sentence here. Ages are worked out at the moment of sending, so that an old alarm never reads like a
new one.
"""

from datetime import UTC
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from schemas.alerts import AlertEvent, Evidence
from schemas.model import Moment, at_ms, ms
from schemas.units import spoken

ARROWS = {
    "DoubleUp": "↑↑",
    "SingleUp": "↑",
    "FortyFiveUp": "↗",
    "Flat": "→",
    "FortyFiveDown": "↘",
    "SingleDown": "↓",
    "DoubleDown": "↓↓",
}
CHANCES = (
    (0.05, "Less than 1 in 20"),
    (0.14, "About 1 in 10"),
    (0.22, "About 1 in 5"),
    (0.29, "About 1 in 4"),
    (0.40, "About 1 in 3"),
    (0.60, "About 1 in 2"),
    (0.71, "About 2 in 3"),
    (0.85, "About 3 in 4"),
    (2.00, "About 9 in 10"),
)
TAGS = {
    "urgent_low": ("rotating_light",),
    "low": ("small_red_triangle_down",),
    "predicted_low": ("chart_with_downwards_trend",),
    "high": ("small_orange_diamond",),
    "stale": ("satellite",),
    "no_long_acting": ("memo",),
    "system": ("warning",),
}


def chance_words(chance: float) -> str:
    """A chance as a natural frequency, never a percentage."""
    return next(words for limit, words in CHANCES if chance < limit)


def age_words(age_ms: int) -> str:
    """An age in whole minutes, hours or days."""
    minutes = max(0, age_ms) // 60_000
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return f"{minutes} min ago"
    if minutes < 1440:
        rest = f" {minutes % 60} min" if minutes % 60 else ""
        return f"{minutes // 60} h{rest} ago"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h ago"


def clock_words(moment: Moment, zone: str | None) -> str:
    """The time of day where the person is; in UTC, and saying so, where no zone is known, or none
    that is known here.
    """
    try:
        local = moment.astimezone(ZoneInfo(zone)) if zone else None
    except (ZoneInfoNotFoundError, ValueError, OSError):  # this machine's zone data does not have it
        local = None
    return f"{local:%H:%M}" if local is not None else f"{moment.astimezone(UTC):%H:%M} UTC"


def value_words(evidence: Evidence) -> str:
    """A glucose value with its trend arrow, "3.6 ↓"."""
    if evidence.glucose_mgdl is None:
        return ""
    arrow = ARROWS.get(evidence.trend or "", "")
    return f"{spoken(evidence.glucose_mgdl, evidence.unit)} {arrow}".strip()


def title(event: AlertEvent) -> str:
    """A notification's title."""
    e, value = event.evidence, value_words(event.evidence)
    match event.kind:
        case "urgent_low" if not _is_past(e):
            text = f"URGENT LOW {value}"
        case "urgent_low":
            text = f"Still low {value}"
        case "low" if _is_past(e):
            text = f"Not yet clear {value}"
        case "low":
            text = f"Low {value}"
        case "predicted_low":
            text = f"Low predicted, now {value}"
        case "high":
            text = f"High {value}"
        case "stale":
            text = "Lost while low" if event.urgency == 1 else "No readings"
        case "no_long_acting":
            text = f"No {e.insulin} logged"
        case _:
            text = "iv3 needs attention"
    return f"{e.name}: {text}" if e.name else text


def body(event: AlertEvent, now_ms: int) -> str:
    """A notification's body: what happened, how sure it is, and how old what is known is."""
    e = event.evidence
    last = f"last reading {age_words(now_ms - ms(e.reading_time))}" if e.reading_time else "no reading yet"
    match event.kind:
        case "urgent_low" | "low" if _is_past(e):
            what = "an urgent low" if event.kind == "urgent_low" else "a low"
            text = f"Not yet clear of {what}: {value_words(e)} {e.unit}{_delta(e)}; {last}."
        case "urgent_low" | "low":
            limit = "the urgent limit" if event.kind == "urgent_low" else "the low limit"
            text = f"Below {limit}: {value_words(e)} {e.unit}{_delta(e)}; {last}."
        case "predicted_low":
            text = (
                f"{chance_words(e.chance or 0)} chance below {spoken(e.limit_mgdl or 70, e.unit)} "
                f"within 30 min; {last}."
            )
        case "high":
            text = f"Above the high limit for an hour or more: {value_words(e)} {e.unit}{_delta(e)}; {last}."
        case "stale":
            known = (
                f"Last known {value_words(e)} {age_words(now_ms - ms(e.reading_time))}, nothing since"
                if e.reading_time
                else "Nothing yet"
            )
            text = f"{known} ({e.reason}). Check by finger-stick."
        case "no_long_acting":
            since = f" for {hours_words(now_ms - ms(e.last_logged))}" if e.last_logged else ""
            text = f"No {e.insulin} logged{since}. It may have been given and not logged: check before injecting."
        case _:
            text = e.reason[:1].upper() + e.reason[1:] + "."
    if event.step > 1 and event.kind != "stale":
        text += (
            f" {event.by} answered before, and it is still so."
            if event.by
            else f" Reminder {event.step - 1}, nobody has answered yet."
        )
    return text


def page_body(event: AlertEvent, opened_ms: int, lowest_mgdl: float | None, now_ms: int) -> str:
    """The body of an open episode on a page; `event` carries the newest reading."""
    e = event.evidence
    if event.kind not in ("urgent_low", "low", "high") or e.limit_mgdl is None or e.reading_time is None:
        return body(event, now_ms)
    since = clock_words(at_ms(opened_ms), e.zone)
    last = f"last reading {age_words(now_ms - ms(e.reading_time))}"
    limit = spoken(e.limit_mgdl, e.unit)
    if event.kind == "high":
        return f"Above {limit} for an hour or more at {since}; {last}."
    lowest = f", lowest {spoken(lowest_mgdl, e.unit)}" if lowest_mgdl is not None else ""
    return f"Below {limit} at {since}{lowest}; {last}."


def _is_past(e: Evidence) -> bool:
    """Whether glucose is above the limit that opened a low, though not yet clear of it."""
    return e.glucose_mgdl is not None and e.limit_mgdl is not None and e.glucose_mgdl > e.limit_mgdl


def hours_words(length_ms: int) -> str:
    """A length in whole hours."""
    return f"{max(0, length_ms) // 3_600_000} h"


def _delta(e: Evidence) -> str:
    if e.delta_mgdl is None:
        return ""
    sign = "+" if e.delta_mgdl > 0 else "\u2212" if e.delta_mgdl < 0 else "±"
    size = abs(e.delta_mgdl)
    return f", {sign}{size / 18.01559:.1f}" if e.unit == "mmol/L" else f", {sign}{size:.0f}"


def clear_title(event: AlertEvent) -> str:
    """The title of an all-clear."""
    e = event.evidence
    match event.kind:
        case "stale":
            text = f"Readings are back: {value_words(e)}"
        case "no_long_acting":
            text = f"{e.insulin} logged"
        case "system":
            text = "iv3 works again"
        case _:
            text = f"All clear: {value_words(e)}"
    return f"{e.name}: {text}" if e.name else text


def clear_body(event: AlertEvent, opened_ms: int, now_ms: int) -> str:
    """The body of an all-clear."""
    e = event.evidence
    minutes = max(1, (ms(event.at) - opened_ms) // 60_000)
    match event.kind:
        case "no_long_acting":
            return f"Logged {age_words(now_ms - ms(e.last_logged))}." if e.last_logged else "Logged."
        case "system":
            return f"After {minutes} min."
        case "stale":
            return f"After {minutes} min without."
        case _:
            last = f"; last reading {age_words(now_ms - ms(e.reading_time))}" if e.reading_time else ""
            return f"Back in range after {minutes} min{last}."
