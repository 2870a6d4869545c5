"""Alerts: open episodes, their history, acknowledging and snoozing."""

from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field

from api.request.auth import door_of
from api.request.context import ApiContext, context_of
from api.request.openapi import Routes
from api.request.values import Asked, RangeQuery, cursor_values, iso, next_cursor
from api.v1.answers.alerts import (
    Acknowledged,
    AlertReason,
    Alerts,
    AlertStep,
    EpisodeShown,
    OpenAlert,
    Snoozed,
    SnoozeLifted,
)
from api.v1.answers.parts import at
from processors.alerting import wording as words
from processors.alerting.decide import LOWS, rings_again_ms
from processors.alerting.history import change_words, delivery_words, snooze_words, told_words
from processors.alerting.snoozes import MOST_MIN, SNOOZE_CHOICES_MIN
from processors.readings import change_mgdl
from schemas.alerts import AlertEvent
from schemas.model import Name, at_ms, ms
from schemas.units import Unit
from streams.commands.alerts import acknowledge, lift_snooze, snooze
from streams.ports.catalog import EpisodeRecord

routes = Routes("alerts")

SnoozedKind = Literal["urgent_low", "low", "predicted_low", "high", "stale", "no_long_acting"]


_BEFORE_MS = 60_000  # the reading that opened it is a little older than the decision


class AlertsQuery(RangeQuery):
    """Which episodes, and in which unit their texts speak."""

    unit: Unit | None = None


class EpisodePath(Asked):
    """Which episode."""

    id: Name


class AckPosted(Asked):
    """An answer; `treated` asks to look again after 15 min."""

    treated: bool = False


class SnoozePosted(Asked):
    """Which kind is to be quiet, and for how long."""

    kind: SnoozedKind
    minutes: Annotated[int, Field(ge=1, le=MOST_MIN)]


def _event_of(event: AlertEvent, unit: Unit | None = None) -> AlertEvent:
    """A change as it was decided, without the person's name (a page is headed by it), in the unit of whoever asks."""
    shown = {"name": ""} | ({"unit": unit} if unit else {})
    return event.model_copy(update={"evidence": event.evidence.model_copy(update=shown)})


def open_alerts(context: ApiContext, now_ms: int, unit: Unit | None = None) -> list[OpenAlert]:
    """Open episodes as a page shows them, most urgent first: what is so now, since when, who was told, when it rings
    again.
    """
    person, snoozes = context.person, context.catalog.snoozes(context.person, now_ms)
    zone = context.catalog.profile(person).zone
    found = []
    for episode in context.catalog.open_episodes(person):
        decided = episode.decided
        event = _as_of_now(context, _event_of(episode.rang, unit))
        lowest = context.catalog.lowest_since(person, episode.opened_ms - _BEFORE_MS) if event.kind in LOWS else None
        answer = context.catalog.acknowledgement(episode.id) if decided.acknowledged_ms is not None else None
        treated = answer is not None and answer.treated
        found.append(
            OpenAlert(
                id=episode.id,
                kind=episode.kind,
                priority=event.priority,
                urgency=event.urgency,
                title=words.title(event),
                text=words.page_body(event, episode.opened_ms, lowest, now_ms),
                opened_ms=episode.opened_ms,
                lowest_mgdl=lowest,
                step=event.step,
                told=_told(episode, zone),
                acknowledged_ms=decided.acknowledged_ms,
                acknowledged_by=decided.acknowledged_by if decided.acknowledged_ms is not None else None,
                rings_again_ms=rings_again_ms(decided, treated=treated),
                treatable=event.kind in LOWS,
                snoozed_until_ms=snoozes.get(episode.kind),
                snooze_choices_min=list(SNOOZE_CHOICES_MIN.get(episode.kind, ())),
            )
        )
    return sorted(found, key=lambda alert: (alert.urgency, alert.opened_ms))


def _as_of_now(context: ApiContext, event: AlertEvent) -> AlertEvent:
    """The event with the newest reading in place of the one it was decided from: a card must not contradict the value
    beside it.
    """
    newest, before = context.catalog.newest_reading(context.person)
    if newest is None or event.kind in ("no_long_acting", "system"):
        return event
    fresh = {
        "glucose_mgdl": newest.glucose_mgdl,
        "delta_mgdl": change_mgdl(newest, before),
        "trend": newest.trend,
        "reading_time": at_ms(newest.time_ms),
    }
    return event.model_copy(update={"evidence": event.evidence.model_copy(update=fresh)})


def _told(episode: EpisodeRecord, zone: str | None) -> str:
    last = next((delivery for delivery in reversed(episode.deliveries) if delivery.step), None)
    return told_words(last.at_ms, last.refused, zone) if last is not None else "Nobody has been told."


@routes.route("GET", "/v1/alerts", role="reader")
async def get_alerts(request: web.Request, query: AlertsQuery) -> Alerts:
    """Episodes opened in a range, newest first, each with what was decided, who was told and when."""
    context = context_of(request)
    start, to = query.bounds(context.clock.now_ms())
    after = tuple(cursor_values(query.cursor, [0, ""])) if query.cursor is not None else None
    limit = min(query.limit, 1_000)
    found = context.catalog.episodes(context.person, start, to, limit + 1, after)
    zone = context.catalog.profile(context.person).zone
    items = [_history(context, episode, zone, query.unit) for episode in found[:limit]]
    more = next_cursor([found[limit - 1].opened_ms, found[limit - 1].id]) if len(found) > limit else None
    return Alerts(items=items, next_cursor=more)


def _history(context: ApiContext, episode: EpisodeRecord, zone: str | None, unit: Unit | None) -> EpisodeShown:
    changes, first = episode.changes, _event_of(episode.changes[0], unit)
    why = [AlertReason(time_ms=ms(change.at), text=change_words(_event_of(change, unit), zone)) for change in changes]
    why += [
        AlertReason(time_ms=delivery.at_ms, text=delivery_words(delivery.step, delivery.refused))
        for delivery in episode.deliveries
    ]
    why += _snooze(context, episode, zone)
    closing = next((change for change in changes if change.change in ("resolved", "expired")), None)
    return EpisodeShown(
        id=episode.id,
        kind=episode.kind,
        title=words.title(first),
        opened=iso(episode.opened_ms),
        opened_ms=episode.opened_ms,
        resolved_ms=episode.closed_ms,
        outcome=closing.change if closing else None,
        steps=[
            AlertStep(step=change.step, time_ms=ms(change.at), delivered_ms=_delivered_ms(episode, change.step))
            for change in changes
            if change.change in ("opened", "escalated")
        ],
        why=sorted(why, key=lambda row: row.time_ms),
    )


def _snooze(context: ApiContext, episode: EpisodeRecord, zone: str | None) -> list[AlertReason]:
    """The last snooze of its kind, if it was set while the episode was open."""
    said = context.catalog.snooze(context.person, episode.kind)
    if said is None or not episode.opened_ms <= said.time_ms <= (episode.closed_ms or said.time_ms):
        return []
    return [AlertReason(time_ms=said.time_ms, text=snooze_words(said.time_ms, said.until_ms, said.actor, zone))]


def _delivered_ms(episode: EpisodeRecord, step: int) -> int | None:
    return next((d.at_ms for d in episode.deliveries if d.step == step and d.outcome == "delivered"), None)


@routes.route("POST", "/v1/alerts/{id}/ack", role="writer", status=202, errors=(404, 409))
async def acknowledge_alert(request: web.Request, path: EpisodePath, body: AckPosted) -> Acknowledged:
    """Acknowledge an episode: it stops ringing, and rings again later if nothing changed. Again is harmless."""
    position = await acknowledge(door_of(request), path.id, treated=body.treated)
    return Acknowledged(id=path.id, position=at(position))


@routes.route("POST", "/v1/snoozes", role="writer", status=202)
async def post_snooze(request: web.Request, body: SnoozePosted) -> Snoozed:
    """Keep one kind of alarm quiet for a while. An urgent low is quieted by nothing but its own, for at most 30 min."""
    until_ms, position = await snooze(door_of(request), body.kind, body.minutes)
    return Snoozed(kind=body.kind, until=iso(until_ms), until_ms=until_ms, position=at(position))


class SnoozePath(Asked):
    """Which kind."""

    kind: SnoozedKind


@routes.route("DELETE", "/v1/snoozes/{kind}", role="writer", status=202)
async def delete_snooze(request: web.Request, path: SnoozePath) -> SnoozeLifted:
    """Let a kind ring again. Harmless where nothing is snoozed."""
    position = await lift_snooze(door_of(request), path.kind)
    return SnoozeLifted(kind=path.kind, position=at(position))
