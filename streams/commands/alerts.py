"""Alerts: an answer to one, a kind kept quiet for a while, a kind that may ring again."""

from typing import NamedTuple

from processors.alerting.snoozes import most_snooze_min
from schemas.facts import AlertAcknowledged, AlertsSnoozed
from schemas.identity import derived_id
from schemas.model import at_ms
from streams.commands.door import Door
from streams.commands.refusals import BadValue, Conflict, NotFound
from streams.ports.log import Position


class SnoozeWritten(NamedTuple):
    """Until when a kind is quiet, epoch milliseconds, and where that was written."""

    until_ms: int
    position: Position


async def acknowledge(door: Door, episode_id: str, *, treated: bool) -> Position:
    """Answer an open episode: it stops ringing, and rings again later if nothing changed; `treated` asks sooner. Again
    is harmless.

    Raises NotFound, Conflict (`closed`), and as `Log.append`.
    """
    episode = door.catalog.episode(episode_id)
    if episode is None:
        await door.catalog.caught_up()
        episode = door.catalog.episode(episode_id)
    if episode is None or episode.person != door.person:
        raise NotFound("There is no alert with this id.", field="id")
    if episode.closed_ms is not None:
        raise Conflict("This alert is over already.", code="closed")
    step = max(change.step for change in episode.changes)
    name = derived_id("ack", episode_id, step, door.owner, treated)
    answer = AlertAcknowledged(episode=episode_id, treated=treated)
    (position,) = await door.append([door.author.say(answer, name, door.person, door.clock.now_ms())])
    return position


async def snooze(door: Door, kind: str, minutes: int) -> SnoozeWritten:
    """Keep a kind of alarm quiet for so many minutes from now. Raises BadValue for longer than is allowed, and as
    `Log.append`.
    """
    most = most_snooze_min(kind)
    if minutes > most:
        raise BadValue(f"may be at most {most} for {kind}", field="minutes")
    return await _quiet(door, kind, minutes)


async def lift_snooze(door: Door, kind: str) -> Position:
    """Let a kind ring again. Harmless where nothing is snoozed. Raises as `Log.append`."""
    return (await _quiet(door, kind, 0)).position


async def _quiet(door: Door, kind: str, minutes: int) -> SnoozeWritten:
    now_ms = door.clock.now_ms()
    until_ms = now_ms + minutes * 60_000
    said = AlertsSnoozed(kind=kind, until=at_ms(until_ms))
    event = door.author.say(said, derived_id("snooze", door.person, kind, now_ms), door.person, now_ms)
    return SnoozeWritten(until_ms, await door.append_one(event))
