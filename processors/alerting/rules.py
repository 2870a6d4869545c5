"""Rules: which conditions hold for a person now. Each has its precedent in docs/reference/alerts.md.

A condition says that an episode should be open; whether it opens, rings again or ends is `decide`'s matter.
"""

from dataclasses import dataclass

from processors.alerting.person_state import PersonState
from processors.alerting.wording import clock_words
from processors.physiology.carbs import cob_fraction
from processors.predictors.protocol import LIKELIER_THAN_NOT
from processors.predictors.registry import called_low_unstated
from processors.readings import STALE_S, Reading, change_mgdl
from schemas.alerts import STALE_AFTER_LOW_URGENCY, URGENCY, AlertKind, Evidence
from schemas.forecasts import ForecastMade
from schemas.model import at_ms

_MIN = 60_000
_REASON_MOST = 300  # characters of a reason in an event
FRESH_MS = int(STALE_S * 1000)  # a reading older than this opens nothing
HIGH_FOR_MS = 60 * _MIN
MEAL_GRACE_MS = 150 * _MIN
VERY_HIGH_BREAKS_GRACE_MGDL = 300.0
CARBS_HELP_MS = 30 * _MIN
BOLUS_NEAR_MS = 20 * _MIN
LATE_FORECASTS = 3  # in a row; one that is overtaken by the next reading is no trouble
SETTLED_MS = 15 * _MIN  # at a start, history is worked off first
FIRST_ANSWER_MS = 5 * _MIN  # a source that has said nothing for so long since the start will not: it is judged without
UPLOADERS_TURN_MS = 10 * _MIN  # after a start, an uploader gets this long to bring what it kept


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that should be told. `cause` names the episode: the same cause always opens the same one."""

    kind: AlertKind
    cause: str
    priority: int
    urgency: int
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class SystemState:
    """What the rules must know of the running system: when it began to evaluate, whether it lags, and what of it does
    not work.
    """

    started_ms: int
    up_ms: int  # for how long; setting the clock back takes nothing off it
    has_source: bool = True
    troubles: tuple[str, ...] = ()  # a few words each
    behind: bool = False  # readings wait to be evaluated, so nothing may be concluded from their absence
    house_told: bool = False  # what is wrong with iv3 is told once to the house, and not about each of several people


def heard_since_start(state: PersonState, system: SystemState) -> bool:
    """Whether the source has answered or failed once since the start, an uploader had its turn, or none of it can be
    waited for any longer.

    Before that nothing may be concluded from time alone: what is missing may be a moment away.
    """
    if not system.has_source:
        return system.up_ms >= UPLOADERS_TURN_MS
    return state.source_recorded_ms >= system.started_ms or system.up_ms >= FIRST_ANSWER_MS


def evidence_of(state: PersonState, **more: object) -> Evidence:
    """Evidence from the newest reading."""
    newest = state.canonical.newest
    person = {"name": state.profile.name, "unit": state.profile.unit, "zone": state.profile.zone}
    if newest is None:
        return Evidence.model_validate(person | more)
    return Evidence.model_validate(
        {
            "glucose_mgdl": newest.glucose_mgdl,
            "delta_mgdl": change_mgdl(newest, state.canonical.before(newest)),
            "trend": newest.trend,
            "reading_time": at_ms(newest.time_ms),
            **person,
            **more,
        }
    )


def glucose_condition(state: PersonState, now_ms: int) -> Condition | None:
    """Urgent low, low or persistent high, from the newest reading. LOW (39) is an urgent low, HIGH (401) a high."""
    newest = state.canonical.newest
    if newest is None or now_ms - newest.time_ms > FRESH_MS:
        return None
    limits = state.profile.limits
    if newest.glucose_mgdl <= limits.urgent_low_mgdl:
        return _glucose(state, newest, "urgent_low", 5, limits.urgent_low_mgdl)
    if newest.glucose_mgdl < limits.low_mgdl:
        return _glucose(state, newest, "low", 4, limits.low_mgdl)
    if _persistently_high(state, newest):
        return _glucose(state, newest, "high", 3, limits.high_alarm_mgdl)
    return None


def _glucose(state: PersonState, newest: Reading, kind: AlertKind, priority: int, limit_mgdl: float) -> Condition:
    return Condition(kind, newest.id, priority, URGENCY[kind], evidence_of(state, limit_mgdl=limit_mgdl))


def _persistently_high(state: PersonState, newest: Reading) -> bool:
    """Above the limit for an hour; after carbs with a bolus it waits 2.5 h, unless it is very high."""
    if state.high_since_ms is None or newest.time_ms - state.high_since_ms < HIGH_FOR_MS:
        return False
    if newest.glucose_mgdl >= VERY_HIGH_BREAKS_GRACE_MGDL:
        return True
    rapid = [dose.time_ms for dose in state.doses("rapid")]
    for time, *_ in state.meals():
        if 0 <= newest.time_ms - time <= MEAL_GRACE_MS and any(abs(time - dose) <= BOLUS_NEAR_MS for dose in rapid):
            return False
    return True


def predicted_low_condition(state: PersonState, now_ms: int) -> Condition | None:
    """The predicted-low condition, by the rule that the forecast states. The forecast must rest on the newest reading,
    at most 1.5 cadences old.
    """
    newest, forecast = state.canonical.newest, state.forecast
    if newest is None or forecast is None or forecast.based_on != newest.id:
        return None
    if now_ms - newest.time_ms > 1.5 * state.canonical.cadence_s * 1000:
        return None
    limits = state.profile.limits
    if newest.glucose_mgdl < limits.low_mgdl or not _calls(newest, forecast, limits.predicted_low_mgdl):
        return None
    if _treated_already(state, newest, forecast):
        return None
    evidence = evidence_of(state, chance=forecast.p_low, limit_mgdl=limits.low_mgdl)
    return Condition("predicted_low", newest.id, 4, URGENCY["predicted_low"], evidence)


def _calls(newest: Reading, forecast: ForecastMade, limit_mgdl: float) -> bool:
    """What the forecast itself says, whichever predictor made it; where it has no rule of its own, whether a low is
    likelier than not.
    """
    if forecast.limit_mgdl is None:
        return called_low_unstated(forecast, newest, limit_mgdl)
    return forecast.calls_low if forecast.calls_low is not None else forecast.p_low > LIKELIER_THAN_NOT


def _treated_already(state: PersonState, newest: Reading, forecast: ForecastMade) -> bool:
    """Carbs on the way, with no rapid dose near them, hold a predicted low back; never when it is likelier than not."""
    if forecast.p_low > LIKELIER_THAN_NOT:
        return False
    rapid = [dose.time_ms for dose in state.doses("rapid")]
    for time, *_ in state.meals():
        recent = (
            0 <= newest.time_ms - time <= CARBS_HELP_MS and cob_fraction((newest.time_ms - time) / _MIN, "fast") > 0
        )
        if recent and not any(abs(time - dose) <= BOLUS_NEAR_MS for dose in rapid):
            return True
    return False


def stale_condition(state: PersonState, now_ms: int, system: SystemState, *, low_open: bool) -> Condition | None:
    """The stale condition: no reading for too long, and why.

    Lost while low (last below 80, a chance of a low of a quarter, or a low that is open): at 2 cadences and a minute,
    ringing through. Otherwise at the larger of 15 min and 3 cadences, ringing through at twice that.
    """
    if not heard_since_start(state, system):
        return None
    newest = state.canonical.newest
    since = newest.time_ms if newest is not None else state.source_since_ms
    if not since or now_ms < state.warm_up_until_ms:
        return None
    age_s = (now_ms - max(since, state.warm_up_until_ms)) / 1000
    cadence = state.canonical.cadence_s
    reason = stale_reason(state)
    cause = newest.id if newest is not None else f"no reading since {since}"
    chance = state.forecast.p_low if state.forecast and newest and state.forecast.based_on == newest.id else 0.0
    was_low = newest is not None and (newest.glucose_mgdl < 80 or chance >= 0.25)
    if (was_low or low_open) and age_s > 2 * cadence + 60:
        evidence = evidence_of(state, reason=reason)
        return Condition("stale", cause, 5, STALE_AFTER_LOW_URGENCY, evidence)
    warn_s = max(STALE_S, 3 * cadence)
    if age_s <= warn_s:
        return None
    priority = 5 if age_s > 2 * warn_s else 4
    return Condition("stale", cause, priority, URGENCY["stale"], evidence_of(state, reason=reason))


def stale_reason(state: PersonState) -> str:
    """The reason why there are no readings, as far as iv3 knows."""
    source = state.source
    newest = state.canonical.newest
    if source is None:
        if newest is None:
            return "nothing was ever uploaded"
        name = newest.source.removeprefix("upload/")
        return f"no upload from {name} since {clock_words(at_ms(newest.time_ms), state.profile.zone)}"
    said = f": {source.reason}" if source.reason else ""
    match source.state:
        case "refused":
            text = f"Dexcom refuses the log-in{said}"
        case "unreachable":
            text = f"Dexcom does not answer{said}"
        case _:
            text = f"Dexcom: no data{said}"
    return text if len(text) <= _REASON_MOST else f"{text[: _REASON_MOST - 1]}…"


def long_acting_condition(state: PersonState, now_ms: int) -> Condition | None:
    """The missing-dose condition: no long-acting dose logged for longer than the profile allows. Without any on record
    there is nothing to go by.
    """
    hours = state.profile.no_long_acting_h
    doses = state.doses("long")
    if not hours or not doses:
        return None
    time, _, insulin = doses[-1]
    if now_ms - time <= hours * 3_600_000:
        return None
    evidence = evidence_of(state, insulin=insulin, last_logged=at_ms(time))
    return Condition("no_long_acting", f"{insulin}/{time}", 3, URGENCY["no_long_acting"], evidence)


def system_troubles_of(state: PersonState, system: SystemState) -> list[str]:
    """What of iv3 itself, or of this machine, shows in the data of one person; worded the same for as long as
    it lasts.
    """
    troubles = []
    if system.up_ms >= SETTLED_MS and state.late_forecasts >= LATE_FORECASTS and not state.decision_stage:
        troubles.append("forecasts are late, so a low may not be foreseen")
    skew_s = state.source.clock_skew_s if state.source is not None else None
    if skew_s is not None:
        troubles.append(
            f"this machine's clock is {_length(abs(skew_s))} {'fast' if skew_s > 0 else 'slow'}; Dexcom's "
            "is used instead"
        )
    return troubles


def system_condition(state: PersonState, now_ms: int, system: SystemState) -> Condition | None:
    """The system condition: something of iv3 itself does not work; the sentences say what."""
    troubles = [] if system.house_told else [*system.troubles, *system_troubles_of(state, system)]
    if not troubles:
        return None
    evidence = evidence_of(state, reason="; ".join(troubles)[:300])
    return Condition("system", f"{troubles[0]}/{now_ms}", 4, URGENCY["system"], evidence)


def _length(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.0f} h"
