"""Readings from an uploader. The same reading again is the same fact, whoever sends it twice."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.envelope import Event
from schemas.facts import GlucoseRead, Trend
from schemas.identity import reading_id
from streams.commands.door import Door
from streams.commands.refusals import BadValue
from streams.ports.log import Position

MOST_AT_ONCE = 1_000
_LOWEST_MGDL, _HIGHEST_MGDL = 39, 600  # what sensors give

# Of these ids and this range of time (first and last, epoch milliseconds), those that were written before, as far as is
# known.
KnownReadings = Callable[[int, int], Awaitable[set[str]]]


class UploadedReading(NamedTuple):
    """One reading as it was sent."""

    time_ms: int
    glucose_mgdl: float
    trend: Trend | None


class Uploaded(NamedTuple):
    """What became of an upload. `position` is of the last one that was new; None where none was."""

    ids: list[str]
    new: int
    position: Position | None


@dataclass(slots=True)
class LatelyUploaded:
    """Ids that this process appended lately, so that a phone that sends again soon costs the log nothing."""

    _ids: "OrderedDict[str, None]" = field(default_factory=OrderedDict)

    def __contains__(self, name: str) -> bool:
        return name in self._ids

    def add(self, names: Sequence[str]) -> None:
        """Remember these, and forget the oldest."""
        self._ids.update(dict.fromkeys(names))
        while len(self._ids) > 10 * MOST_AT_ONCE:
            self._ids.popitem(last=False)


async def upload_readings(
    door: Door, account: str, readings: Sequence[UploadedReading], known: KnownReadings, lately: LatelyUploaded
) -> Uploaded:
    """Append what is new, oldest first, whatever order it came in. The folds drop what was new only to this process.

    Raises BadValue naming the first reading that cannot be one, and as `Log.append`.
    """
    now_ms, source = door.clock.now_ms(), door.author.source
    events: list[Event] = []
    # A forecast follows from the newest, and from what was before it.
    for number, reading in sorted(enumerate(readings), key=lambda numbered: numbered[1].time_ms):
        if not _LOWEST_MGDL <= reading.glucose_mgdl <= _HIGHEST_MGDL:
            why = f"is no glucose a sensor gives ({_LOWEST_MGDL} to {_HIGHEST_MGDL} mg/dL)"
            raise BadValue(why, field=f"items.{number}.glucose_mgdl")
        door.refuse_odd_time(reading.time_ms, named=f"items.{number}.time")
        name = reading_id(source, account, reading.time_ms, reading.glucose_mgdl, reading.trend)
        fact = GlucoseRead(glucose_mgdl=reading.glucose_mgdl, trend=reading.trend)
        events.append(door.author.say(fact, name, door.person, now_ms, time_ms=reading.time_ms))
    fresh = list({event.id: event for event in events if event.id not in lately}.values())
    if fresh:
        have = await known(min(event.time_ms for event in fresh), max(event.time_ms for event in fresh))
        fresh = [event for event in fresh if event.id not in have]
    positions = await door.append(fresh) if fresh else []
    lately.add([event.id for event in fresh])
    return Uploaded([event.id for event in events], len(fresh), positions[-1] if positions else None)
