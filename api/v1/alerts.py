"""Alerts: open episodes, their history, acknowledging and snoozing."""

from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field

from api.request.auth import caller_of
from api.request.context import ApiContext, context_of
from api.request.openapi import Routes
from api.request.problems import ProblemError
from api.request.values import Asked, RangeQuery, cursor_values, iso, next_cursor
from processors.alerting import wording as words
from processors.alerting.decide import LOWS, rings_again_ms
from processors.alerting.snoozes import MOST_SNOOZE_MIN, SNOOZE_CHOICES_MIN, USUAL_MOST_MIN
from schemas.alerts import AlertEvent
from schemas.envelope import make
from schemas.facts import AlertAcknowledged, AlertsSnoozed
from schemas.identity import derived_id
from schemas.model import at_ms
from schemas.units import Unit
from streams.ports.log import Position, append_events
from streams.topics import JOURNAL

routes = Routes()

SnoozedKind = Literal["urgent_low", "low", "predicted_low", "high", "stale", "no_long_acting"]


_NEAR_MS = 660_000  # two readings further apart say nothing of a change
_BEFORE_MS = 60_000  # the reading that opened it is a little older than the decision


class AlertsQuery(RangeQuery):
    """Which episodes, and in which unit their texts speak."""

    unit: Unit | None = None


class EpisodePath(Asked):
    """Which episode."""

    id: Annotated[str, Field(min_length=1, max_length=80)]


class AckPosted(Asked):
    """An answer; `treated` asks to look again after 15 min."""

    treated: bool = False


class SnoozePosted(Asked):
    """Which kind is to be quiet, and for how long."""

    kind: SnoozedKind
    minutes: Annotated[int, Field(ge=1, le=USUAL_MOST_MIN)]


def _event_of(change: dict[str, Any], unit: Unit | None = None) -> AlertEvent:
    """A change as it was decided, without the person's name (a page is headed by it), in the unit of whoever asks."""
    event = AlertEvent.model_validate({k: v for k, v in change.items() if k != "at_ms"}, strict=False)
    shown = {"name": ""} | ({"unit": unit} if unit else {})
    return event.model_copy(update={"evidence": event.evidence.model_copy(update=shown)})


def open_alerts(where: ApiContext, person: str, now_ms: int, unit: Unit | None = None) -> list[dict[str, Any]]:
    """Open episodes as a page shows them, most urgent first: what is so now, since when, who was told, when it rings again."""
    snoozes = where.catalog.store.snoozes(person, now_ms)
    zone = where.catalog.store.profile(person).zone
    found = []
    for episode in where.catalog.store.open_episodes(person):
        last = [c for c in episode["changes"] if c["change"] in ("opened", "escalated")][-1]
        acks = [c for c in episode["changes"] if c["change"] == "acknowledged" and c["at_ms"] >= last["at_ms"]]
        acked = acks[-1] if acks else None
        event = _as_of_now(where, person, _event_of(last, unit))
        lowest = where.catalog.lowest_since(person, episode["opened_ms"] - _BEFORE_MS) if event.kind in LOWS else None
        again = rings_again_ms(
            event.kind,
            event.step,
            last["at_ms"],
            acked["at_ms"] if acked else None,
            treated=bool(acked and _treated(where, episode)),
        )
        found.append({
            "id": episode["id"],
            "kind": episode["kind"],
            "priority": event.priority,
            "urgency": event.urgency,
            "title": words.title(event),
            "text": words.page_body(event, episode["opened_ms"], lowest, now_ms),
            "opened_ms": episode["opened_ms"],
            "lowest_mgdl": lowest,
            "step": event.step,
            "told": _told(episode, zone),
            "acknowledged_ms": acked["at_ms"] if acked else None,
            "acknowledged_by": acked.get("by") if acked else None,
            "rings_again_ms": again,
            "treatable": event.kind in LOWS,
            "snoozed_until_ms": snoozes.get(episode["kind"]),
            "snooze_choices_min": list(SNOOZE_CHOICES_MIN.get(episode["kind"], ())),
        })  # fmt: skip
    return sorted(found, key=lambda a: (a["urgency"], a["opened_ms"]))


def _as_of_now(where: ApiContext, person: str, event: AlertEvent) -> AlertEvent:
    """The event with the newest reading in place of the one it was decided from: a card must not contradict the value beside it."""
    newest, before = where.catalog.newest_reading(person)
    if newest is None or event.kind in ("no_long_acting", "system"):
        return event
    near = before is not None and newest.time_ms - before.time_ms <= _NEAR_MS
    fresh = {
        "glucose_mgdl": newest.glucose_mgdl,
        "delta_mgdl": newest.glucose_mgdl - before.glucose_mgdl if before is not None and near else None,
        "trend": newest.trend,
        "reading_time": at_ms(newest.time_ms),
    }
    return event.model_copy(update={"evidence": event.evidence.model_copy(update=fresh)})


def _treated(where: ApiContext, episode: dict[str, Any]) -> bool:
    said = where.catalog.store.newest(episode["id"], "ack")
    return said is not None and isinstance(said.data, AlertAcknowledged) and said.data.treated


def _told(episode: dict[str, Any], zone: str | None) -> str:
    deliveries = [d for d in episode["deliveries"] if d["step"]]
    if not deliveries:
        return "Nobody has been told."
    last = deliveries[-1]
    moment = words.clock_words(at_ms(last["at_ms"]), zone)
    if last["outcome"] == "undeliverable":
        return f"NOT DELIVERED at {moment}: {last['reason']}"
    return f"Told at {moment}."


@routes.route("GET", "/v1/alerts", role="reader", tags=("alerts",))
async def get_alerts(request: web.Request, query: AlertsQuery) -> dict[str, Any]:
    """Episodes opened in a range, newest first, each with what was decided, who was told and when."""
    where = context_of(request)
    start, to = query.bounds(where.clock.now_ms())
    (to,) = cursor_values(query.cursor, [to])
    person = where.person
    limit = min(query.limit, 1_000)
    zone = where.catalog.store.profile(person).zone
    found = where.catalog.store.episodes(person, start, to, limit + 1)
    items = [_history(where, person, episode, zone, query.unit) for episode in found[:limit]]
    more = next_cursor([found[limit - 1]["opened_ms"]]) if len(found) > limit else None
    return {"items": items, "next_cursor": more}


def _history(
    where: ApiContext, person: str, episode: dict[str, Any], zone: str | None, unit: Unit | None
) -> dict[str, Any]:
    event = _event_of(episode["changes"][0], unit)
    why = [{"time_ms": c["at_ms"], "text": _why(_event_of(c, unit), zone)} for c in episode["changes"]]
    why += [{"time_ms": d["at_ms"], "text": _delivery(d)} for d in episode["deliveries"]]
    why += _snooze(where, person, episode, zone)
    closing = next((c for c in episode["changes"] if c["change"] in ("resolved", "expired")), None)
    return {
        "id": episode["id"],
        "kind": episode["kind"],
        "title": words.title(event),
        "opened": iso(episode["opened_ms"]),
        "opened_ms": episode["opened_ms"],
        "resolved_ms": episode["closed_ms"],
        "outcome": closing["change"] if closing else None,
        "steps": [
            {"step": c["step"], "time_ms": c["at_ms"], "delivered_ms": _delivered_ms(episode, c["step"])}
            for c in episode["changes"]
            if c["change"] in ("opened", "escalated")
        ],
        "why": sorted(why, key=lambda row: row["time_ms"]),
    }


def _snooze(where: ApiContext, person: str, episode: dict[str, Any], zone: str | None) -> list[dict[str, Any]]:
    """The last snooze of its kind, if it was set while the episode was open."""
    said = where.catalog.store.newest(person, f"snooze/{episode['kind']}")
    if said is None or not isinstance(said.data, AlertsSnoozed):
        return []
    if not episode["opened_ms"] <= said.time_ms <= (episode["closed_ms"] or said.time_ms):
        return []
    lifted = said.data.until <= said.time
    text = "its snooze was lifted" if lifted else f"snoozed until {words.clock_words(said.data.until, zone)}"
    return [{"time_ms": said.time_ms, "text": f"{text} by {said.actor or 'somebody'}"}]


def _delivered_ms(episode: dict[str, Any], step: int) -> int | None:
    return next((d["at_ms"] for d in episode["deliveries"] if d["step"] == step and d["outcome"] == "delivered"), None)


def _why(event: AlertEvent, zone: str | None) -> str:
    value = words.value_words(event.evidence)
    read = (
        f" (reading of {words.clock_words(event.evidence.reading_time, zone)})" if event.evidence.reading_time else ""
    )
    match event.change:
        case "opened":
            return f"{words.title(event)}{read}"
        case "escalated":
            why = f"{event.by} had answered, and it was still so" if event.by else "nobody had answered"
            return f"{why}: rang again, step {event.step}{read}"
        case "acknowledged":
            return f"acknowledged by {event.by or 'somebody'}"
        case "resolved":
            return "another alarm took over" if event.quiet else f"over: {value}{read}".rstrip(": ")
        case _:
            return "it did not come; over without a message"


def _delivery(delivery: dict[str, Any]) -> str:
    what = "the all-clear" if not delivery["step"] else f"step {delivery['step']}"
    if delivery["outcome"] == "delivered":
        return f"ntfy accepted {what}"
    return f"{what} could not be delivered: {delivery['reason']}"


@routes.route("POST", "/v1/alerts/{id}/ack", role="writer", status=202, tags=("alerts",), errors=(404, 409))
async def acknowledge_alert(request: web.Request, path: EpisodePath, body: AckPosted) -> dict[str, Any]:
    """Acknowledge an episode: it stops ringing, and rings again later if nothing changed. Again is harmless."""
    where, caller = context_of(request), caller_of(request)
    episode = where.catalog.store.episode(path.id)
    if episode is None:
        await where.catalog.caught_up()
        episode = where.catalog.store.episode(path.id)
    if episode is None or where.catalog.store.person_of_episode(path.id) != where.person:
        raise ProblemError(404, "There is no alert with this id.", field="id")
    if episode["closed_ms"] is not None:
        raise ProblemError(409, "This alert is over already.", code="closed")
    now_ms = where.clock.now_ms()
    step = max(c["step"] for c in episode["changes"])
    event = make(
        AlertAcknowledged(episode=path.id, treated=body.treated), id=derived_id("ack", path.id, step, caller.token_id, body.treated),
        source="api", subject=where.person, time=at_ms(now_ms), recordedtime=at_ms(now_ms), actor=caller.name,
    )  # fmt: skip
    (position,) = await append_events(where.log, JOURNAL, [event])
    return {"id": path.id, "position": position._asdict()}


@routes.route("POST", "/v1/snoozes", role="writer", status=202, tags=("alerts",))
async def post_snooze(request: web.Request, body: SnoozePosted) -> dict[str, Any]:
    """Keep one kind of alarm quiet for a while. An urgent low is quieted by nothing but its own, for at most 30 min."""
    where, caller = context_of(request), caller_of(request)
    most = MOST_SNOOZE_MIN.get(body.kind, USUAL_MOST_MIN)
    if body.minutes > most:
        raise ProblemError(422, f"may be at most {most} for {body.kind}", field="minutes")
    now_ms = where.clock.now_ms()
    until = now_ms + body.minutes * 60_000
    position = await _quiet(where, body.kind, until, now_ms, caller.name)
    return {"kind": body.kind, "until": iso(until), "until_ms": until, "position": position._asdict()}


class SnoozePath(Asked):
    """Which kind."""

    kind: SnoozedKind


@routes.route("DELETE", "/v1/snoozes/{kind}", role="writer", status=202, tags=("alerts",))
async def delete_snooze(request: web.Request, path: SnoozePath) -> dict[str, Any]:
    """Let a kind ring again. Harmless where nothing is snoozed."""
    where, caller = context_of(request), caller_of(request)
    now_ms = where.clock.now_ms()
    position = await _quiet(where, path.kind, now_ms, now_ms, caller.name)
    return {"kind": path.kind, "position": position._asdict()}


async def _quiet(where: ApiContext, kind: str, until_ms: int, now_ms: int, actor: str) -> Position:
    event = make(
        AlertsSnoozed(kind=kind, until=at_ms(until_ms)), id=derived_id("snooze", where.person, kind, now_ms), source="api",
        subject=where.person, time=at_ms(now_ms), recordedtime=at_ms(now_ms), actor=actor,
    )  # fmt: skip
    (position,) = await append_events(where.log, JOURNAL, [event])
    await where.catalog.caught_up()
    return position
