"""Alerts: open episodes, their history, acknowledging and snoozing."""

from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field

from api.auth import caller_of
from api.hearing import Hearing, hearing
from api.openapi import Routes
from api.problems import ProblemError
from api.values import Asked, RangeQuery, iso, next_cursor, place_of
from processors.alerting import words
from schemas.alerts import AlertEvent
from schemas.envelope import make
from schemas.facts import AlertAcknowledged, AlertsSnoozed
from schemas.identity import derived_id
from schemas.model import at_ms
from streams.ports import append_events
from streams.topics import JOURNAL

routes = Routes()

SNOOZE_CHOICES_MIN: dict[str, tuple[int, ...]] = {
    "urgent_low": (10, 20, 30),
    "low": (15, 30),
    "predicted_low": (15, 30),
    "high": (30, 60, 120),
    "stale": (30, 60),
    "no_long_acting": (30, 60),
}
MOST_SNOOZE_MIN = {"urgent_low": 30}  # an urgent low is never quiet for longer, and only by its own snooze
_USUAL_MOST_MIN = 720


class EpisodePath(Asked):
    """Which episode."""

    id: Annotated[str, Field(min_length=1, max_length=80)]


class AckPosted(Asked):
    """An answer; `treated` asks to look again after 15 min."""

    treated: bool = False


class SnoozePosted(Asked):
    """Which kind is to be quiet, and for how long."""

    kind: Literal["urgent_low", "low", "predicted_low", "high", "stale", "no_long_acting"]
    minutes: Annotated[int, Field(ge=1, le=_USUAL_MOST_MIN)]


def _event_of(change: dict[str, Any]) -> AlertEvent:
    return AlertEvent.model_validate({k: v for k, v in change.items() if k != "at_ms"}, strict=False)


def open_alerts(where: Hearing, person: str, now_ms: int) -> list[dict[str, Any]]:
    """Open episodes as a page shows them, most urgent first."""
    snoozes = where.catalog.store.snoozes(person, now_ms)
    zone = where.catalog.store.profile(person).zone
    found = []
    for episode in where.catalog.store.open_episodes(person):
        rings = [c for c in episode["changes"] if c["change"] in ("opened", "escalated")]
        last, acks = rings[-1], [c for c in episode["changes"] if c["change"] == "acknowledged"]
        acked = acks[-1] if acks and acks[-1]["at_ms"] >= last["at_ms"] else None
        event = _event_of(last)
        found.append({
            "id": episode["id"],
            "kind": episode["kind"],
            "priority": event.priority,
            "urgency": event.urgency,
            "title": words.title(event),
            "text": words.body(event, now_ms),
            "opened_ms": episode["opened_ms"],
            "step": event.step,
            "told": _told(episode, zone),
            "acknowledged_ms": acked["at_ms"] if acked else None,
            "acknowledged_by": acked.get("by") if acked else None,
            "snoozed_until_ms": snoozes.get(episode["kind"]),
            "snooze_choices_min": list(SNOOZE_CHOICES_MIN.get(episode["kind"], ())),
        })  # fmt: skip
    return sorted(found, key=lambda a: (a["urgency"], a["opened_ms"]))


def _told(episode: dict[str, Any], zone: str | None) -> str:
    deliveries = [d for d in episode["deliveries"] if d["step"]]
    if not deliveries:
        return "Nobody has been told yet."
    last = deliveries[-1]
    moment = words.clock_words(at_ms(last["at_ms"]), zone)
    if last["outcome"] == "undeliverable":
        return f"NOT DELIVERED at {moment}: {last['reason']}"
    return f"Told at {moment}."


@routes.route("GET", "/v1/alerts", role="reader", tags=("alerts",))
async def get_alerts(request: web.Request, query: RangeQuery) -> dict[str, Any]:
    """Episodes opened in a range, newest first, each with what was decided, who was told and when."""
    where = hearing(request)
    start, to = query.bounds(where.clock.now_ms())
    (to,) = place_of(query.cursor, [to])
    person = query.person or where.person
    limit = min(query.limit, 1_000)
    zone = where.catalog.store.profile(person).zone
    found = where.catalog.store.episodes(person, start, to, limit + 1)
    items = [_history(episode, zone) for episode in found[:limit]]
    more = next_cursor([found[limit - 1]["opened_ms"]]) if len(found) > limit else None
    return {"items": items, "next_cursor": more}


def _history(episode: dict[str, Any], zone: str | None) -> dict[str, Any]:
    first = episode["changes"][0]
    event = _event_of(first)
    why = [{"time_ms": c["at_ms"], "text": _why(_event_of(c), zone)} for c in episode["changes"]]
    why += [{"time_ms": d["at_ms"], "text": _delivery(d)} for d in episode["deliveries"]]
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
    where, caller = hearing(request), caller_of(request)
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
    where, caller = hearing(request), caller_of(request)
    most = MOST_SNOOZE_MIN.get(body.kind, _USUAL_MOST_MIN)
    if body.minutes > most:
        raise ProblemError(422, f"may be at most {most} for {body.kind}", field="minutes")
    now_ms = where.clock.now_ms()
    until = now_ms + body.minutes * 60_000
    event = make(
        AlertsSnoozed(kind=body.kind, until=at_ms(until)), id=derived_id("snooze", where.person, body.kind, now_ms), source="api",
        subject=where.person, time=at_ms(now_ms), recordedtime=at_ms(now_ms), actor=caller.name,
    )  # fmt: skip
    (position,) = await append_events(where.log, JOURNAL, [event])
    return {"kind": body.kind, "until": iso(until), "until_ms": until, "position": position._asdict()}
