"""Decide: what must be said because of one input. Pure: it changes nothing; `Episodes.evolve` follows when the decision
was read back.

A decision is one record with the position of its input. At or before the position up to which a person is decided it is
always empty, so that a redelivered journal, met by decisions that are already ahead of it, can never open an episode a
second time.
"""

from collections.abc import Mapping

from processors.alerting.episodes import Episode, Episodes, is_repeat
from processors.alerting.person_state import PersonState
from processors.alerting.rules import (
    FRESH_MS,
    Condition,
    SystemState,
    evidence_of,
    glucose_condition,
    heard_since_start,
    long_acting_condition,
    predicted_low_condition,
    stale_condition,
    system_condition,
)
from schemas.alerts import AlertEvent, AlertKind, AlertsDecided, DecisionPosition, Evidence
from schemas.identity import episode_id
from schemas.model import at_ms, ms

Closed = Mapping[tuple[str, str], int]  # (person, kind) -> when the last episode of it ended
_MIN = 60_000
_SET_BACK_MS = _MIN  # a ring that lies further ahead was dated by a clock that was wrong
# Minutes until an alarm nobody answered rings again, by step; the last one repeats. Urgent low as Dexcom's: every 5
# min.
REPEATS_MIN: dict[AlertKind, tuple[int, ...]] = {
    "urgent_low": (5, 10, 10),
    "low": (15,),
    "high": (60,),
    "stale": (60,),
    "no_long_acting": (60,),
    "system": (60, 240, 720),
}
AGAIN_AFTER_ACK_MIN: dict[AlertKind, int] = {
    "urgent_low": 30,
    "low": 30,
    "high": 120,
    "stale": 60,
    "no_long_acting": 120,
    "system": 1440,
}
RECHECK_AFTER_TREATED_MIN = 15
PREDICTED_LOW_LASTS_MS = 60 * _MIN
PREDICTED_LOW_PAUSE_MS = 20 * _MIN
LOWS: tuple[AlertKind, ...] = ("urgent_low", "low")
_CLEAR_READINGS = 2
_CLEAR_FRESH_MS = 10 * _MIN


def decide(
    state: PersonState, episodes: Episodes, position: DecisionPosition, now_ms: int, system: SystemState
) -> AlertsDecided | None:
    """The alert decision on the input at `position`, or None where nothing follows from it. `state` has already taken
    the input in; `episodes` is as read back.
    """
    if is_repeat(position, episodes.through.get(state.person)):
        return None
    mine = episodes.of(state.person)
    if state.suspended_ms:  # nobody is alarmed for them any more; what lies on a phone is taken off it
        events = [_event("expired", episode, None, now_ms, quiet=True) for episode in mine.values()]
    elif position.tick_ms:
        events = _at_tick(state, mine, episodes.closed, now_ms, system)
    elif position.stage:
        events = _at_forecast(state, mine, episodes, now_ms)
    else:
        events = _answers(state, mine, now_ms)
        events += _closings(state, mine, now_ms)
        events += _openings([glucose_condition(state, now_ms)], mine, episodes.closed, state, now_ms)
        events += _long_acting(state, mine, episodes.closed, now_ms, opening=False)
    return AlertsDecided(pos=position, events=tuple(events)) if events else None


def _at_tick(
    state: PersonState, mine: dict[str, Episode], closed: Closed, now_ms: int, system: SystemState
) -> list[AlertEvent]:
    failing = system_condition(state, now_ms, system)
    told = _system(state, mine, closed, now_ms, failing)
    if system.behind or not heard_since_start(state, system):
        return told + _lows_again(state, mine, now_ms)
    events = told + _expiries(mine, now_ms)
    stale = stale_condition(state, now_ms, system, low_open="low" in mine or "urgent_low" in mine)
    events += _openings([stale], mine, closed, state, now_ms)
    events += _long_acting(state, mine, closed, now_ms, opening=True)
    left = {kind: episode for kind, episode in mine.items() if kind not in {event.kind for event in events}}
    return events + _repeats(state, left, now_ms, {"stale": stale, "system": failing})


def _at_forecast(state: PersonState, mine: dict[str, Episode], episodes: Episodes, now_ms: int) -> list[AlertEvent]:
    """Open a predicted low, or end one that is foreseen no longer; after its end it stays quiet for a while instead of
    flickering.
    """
    condition = predicted_low_condition(state, now_ms)
    episode, newest = mine.get("predicted_low"), state.canonical.newest
    if episode is not None:
        if condition is None and newest is not None and newest.glucose_mgdl >= state.profile.limits.low_mgdl + 10:
            return [_event("resolved", episode, None, now_ms, evidence=evidence_of(state))]
        return []
    if now_ms - episodes.closed.get((state.person, "predicted_low"), -PREDICTED_LOW_PAUSE_MS) < PREDICTED_LOW_PAUSE_MS:
        return []
    return _openings([condition], mine, episodes.closed, state, now_ms)


def _system(
    state: PersonState, mine: dict[str, Episode], closed: Closed, now_ms: int, condition: Condition | None
) -> list[AlertEvent]:
    """What of iv3 itself does not work is told at once, and again at once when more is added."""
    episode = mine.get("system")
    if episode is None:
        return _openings([condition], mine, closed, state, now_ms)
    if condition is None:
        return [_event("resolved", episode, None, now_ms)]
    known = episode.evidence.reason.split("; ")
    if all(reason in known for reason in condition.evidence.reason.split("; ")):
        return []
    return [_event("escalated", episode, None, now_ms, step=episode.step + 1, evidence=condition.evidence)]


def _event(
    change: str, episode: Episode | None, condition: Condition | None, now_ms: int, /, **more: object
) -> AlertEvent:
    of = episode or condition
    if of is None:
        raise ValueError("an alert event needs an episode or a condition")
    fields: dict[str, object] = {
        "change": change,
        "kind": of.kind,
        "priority": of.priority,
        "urgency": of.urgency,
        "evidence": of.evidence,
        "at": at_ms(now_ms),
    }
    if episode is not None:
        fields |= {"episode": episode.id, "step": episode.step}
    return AlertEvent.model_validate(fields | more)


def _openings(
    conditions: list[Condition | None], mine: dict[str, Episode], closed: Closed, state: PersonState, now_ms: int
) -> list[AlertEvent]:
    events: list[AlertEvent] = []
    for condition in conditions:
        if condition is None or condition.kind in mine or _covered(condition, mine):
            continue
        if state.snoozes.get(condition.kind, 0) > now_ms:
            continue
        # What opens again for the same cause is another episode: under the first one's name its rings would count as
        # delivered.
        again = closed.get((state.person, condition.kind))
        name = episode_id(
            state.person, condition.kind, condition.cause if again is None else f"{condition.cause}/{again}"
        )
        events += _taken_over(condition, mine, now_ms)
        events.append(_event("opened", None, condition, now_ms, episode=name, step=1))
    return events


def _covered(condition: Condition, mine: dict[str, Episode]) -> bool:
    """A milder alarm of the same thing says nothing while a worse one is open."""
    if condition.kind == "low":
        return "urgent_low" in mine
    if condition.kind == "predicted_low":
        return "urgent_low" in mine or "low" in mine
    return False


def _taken_over(condition: Condition, mine: dict[str, Episode], now_ms: int) -> list[AlertEvent]:
    """A worse alarm of the same thing ends the milder one without a word."""
    milder: dict[str, tuple[str, ...]] = {"urgent_low": ("low", "predicted_low"), "low": ("predicted_low",)}
    return [
        _event("resolved", mine[kind], None, now_ms, quiet=True)
        for kind in milder.get(condition.kind, ())
        if kind in mine
    ]


def _closings(state: PersonState, mine: dict[str, Episode], now_ms: int) -> list[AlertEvent]:
    """What a new reading ends. Missing data never ends a low: two readings of 80 or more do, the newest at most 10 min
    old.
    """
    newest = state.canonical.newest
    if newest is None:
        return []
    events = []
    fresh_enough = now_ms - newest.time_ms <= _CLEAR_FRESH_MS
    for kind, episode in mine.items():
        over = False
        if kind in LOWS:
            over = state.clear_readings >= _CLEAR_READINGS and fresh_enough
        elif kind == "high":
            over = newest.glucose_mgdl < state.profile.limits.high_alarm_mgdl - 10
        elif kind == "stale":
            lost = episode.evidence.reading_time
            over = now_ms - newest.time_ms <= FRESH_MS and (lost is None or newest.time_ms > ms(lost))
        if over:
            events.append(_event("resolved", episode, None, now_ms, evidence=evidence_of(state)))
    return events


def _long_acting(
    state: PersonState, mine: dict[str, Episode], closed: Closed, now_ms: int, *, opening: bool
) -> list[AlertEvent]:
    condition = long_acting_condition(state, now_ms)
    episode = mine.get("no_long_acting")
    if episode is not None and condition is None:
        doses, before = state.doses("long"), episode.evidence.last_logged
        if doses and (before is None or doses[-1].time_ms > ms(before)):
            evidence = evidence_of(state, insulin=doses[-1].insulin, last_logged=at_ms(doses[-1].time_ms))
            return [_event("resolved", episode, None, now_ms, evidence=evidence)]
        # The dose it counted from is gone, or the alarm was switched off.
        return [_event("resolved", episode, None, now_ms, quiet=True)]
    return _openings([condition], mine, closed, state, now_ms) if opening else []


def _answers(state: PersonState, mine: dict[str, Episode], now_ms: int) -> list[AlertEvent]:
    """Acknowledgements that were not yet taken note of."""
    events = []
    for episode in mine.values():
        answer = state.acknowledged.get(episode.id)
        if answer is not None and episode.acknowledged_ms is None and answer.at_ms >= episode.rang_ms:
            events.append(_event("acknowledged", episode, None, now_ms, by=answer.by))
    return events


def _expiries(mine: dict[str, Episode], now_ms: int) -> list[AlertEvent]:
    """A predicted low that did not come is over after an hour. Nothing else ends by itself."""
    episode = mine.get("predicted_low")
    if episode is not None and now_ms - episode.opened_ms >= PREDICTED_LOW_LASTS_MS:
        return [_event("expired", episode, None, now_ms)]
    return []


def _lows_again(state: PersonState, mine: dict[str, Episode], now_ms: int) -> list[AlertEvent]:
    """An unanswered low rings again also while nothing may be concluded from what is missing: a fresh reading says that
    it was one.
    """
    newest = state.canonical.newest
    if newest is None or now_ms - newest.time_ms > FRESH_MS:
        return []
    return _repeats(state, {kind: episode for kind, episode in mine.items() if kind in LOWS}, now_ms, {})


def _repeats(
    state: PersonState, mine: dict[str, Episode], now_ms: int, holds: dict[str, Condition | None]
) -> list[AlertEvent]:
    """`holds` are the conditions of now that may have become worse, or another reason, since the episode rang."""
    events = []
    for kind, episode in mine.items():
        now = holds.get(kind)
        worse = now is not None and now.priority > episode.priority
        if not worse and not _due_again(state, episode, now_ms):
            continue
        if state.snoozes.get(kind, 0) > now_ms:
            continue
        more = {
            "step": episode.step + 1,
            "priority": now.priority if now is not None and worse else min(5, episode.priority + (kind == "low")),
            "urgency": now.urgency if now is not None and worse else episode.urgency,
            "evidence": now.evidence if now is not None else _evidence_now(state, episode),
            "by": episode.acknowledged_by,
        }
        events.append(_event("escalated", episode, None, now_ms, **more))
    return events


def _evidence_now(state: PersonState, episode: Episode) -> Evidence:
    if episode.kind in ("no_long_acting", "stale", "system"):
        return episode.evidence
    return evidence_of(state, limit_mgdl=episode.evidence.limit_mgdl)


def _due_again(state: PersonState, episode: Episode, now_ms: int) -> bool:
    if episode.kind != "predicted_low" and max(episode.rang_ms, episode.acknowledged_ms or 0) > now_ms + _SET_BACK_MS:
        return True  # the clock was set back since: once more, rather than silence until it is that late again
    answer = state.acknowledged.get(episode.id)
    treated = answer is not None and answer.treated
    again_ms = rings_again_ms(episode, treated=treated)
    if again_ms is None or now_ms < again_ms:
        return False
    if episode.acknowledged_ms is not None:
        return _still(state, episode)
    # On the way to the all-clear it would say what is no longer so.
    return not (episode.kind in LOWS and _rising_out(state, now_ms))


def rings_again_ms(episode: Episode, *, treated: bool) -> int | None:
    """The time of an open episode's next escalation, epoch milliseconds, if nothing changes; None: it has none."""
    if episode.kind == "predicted_low":
        return None
    if episode.acknowledged_ms is not None:
        again_min = RECHECK_AFTER_TREATED_MIN if treated else AGAIN_AFTER_ACK_MIN[episode.kind]
        return episode.acknowledged_ms + again_min * _MIN
    waits = REPEATS_MIN[episode.kind]
    return episode.rang_ms + waits[min(episode.step, len(waits)) - 1] * _MIN


def _rising_out(state: PersonState, now_ms: int) -> bool:
    """Whether a fresh reading is in range again. Without fresh data nobody may hope so."""
    newest = state.canonical.newest
    fresh_ms = max(_CLEAR_FRESH_MS, 1.5 * state.canonical.cadence_s * 1000)
    if newest is None or now_ms - newest.time_ms > fresh_ms:
        return False
    return newest.glucose_mgdl >= state.profile.limits.low_mgdl


def _still(state: PersonState, episode: Episode) -> bool:
    """Whether what was acknowledged is still so. Without data it is; an urgent low is, as long as it is a low."""
    newest = state.canonical.newest
    return newest is None or episode.kind not in LOWS or newest.glucose_mgdl < state.profile.limits.low_mgdl
