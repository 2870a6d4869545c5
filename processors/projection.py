"""Projection: which rows of the Series follow from an event. The projector and every replay use this one function."""

from collections.abc import MutableMapping
from typing import NamedTuple

import pydantic_core

from processors.entries import EntryVersion, entry_id_of, evolve_entry, is_entry_event
from processors.readings import Reading, reading_of
from schemas.alerts import AlertsDecided, Delivered, DeliveryAttempted, Undeliverable
from schemas.envelope import Event, peek_type
from schemas.forecasts import ForecastMade
from schemas.model import ms


class PutReading(NamedTuple):
    """A reading. A later one of the same source and second takes its place; the same id again changes nothing."""

    person: str
    reading: Reading
    recorded_ms: int


class PutEntry(NamedTuple):
    """An entry as its newest revision has it."""

    version: EntryVersion


class PutForecast(NamedTuple):
    """A forecast; the first of a reading stays."""

    person: str
    reading_time_ms: int
    based_on: str
    pos: int
    body: bytes  # the event's data, JSON


class PutAlert(NamedTuple):
    """One row of the alert history; `key` says what it is, so that a repeat changes nothing."""

    person: str
    key: str
    at_ms: int
    body: bytes  # JSON


_DATA = b',"data":'
Change = PutReading | PutEntry | PutForecast | PutAlert


def project(event: Event, entries: MutableMapping[str, EntryVersion], value: bytes) -> list[Change]:
    """Changes of the Series that follow from `event`, which `value` holds as it was written. `entries` holds the
    entries it may touch, and is kept up to date.
    """
    data = event.data
    if isinstance(data, ForecastMade):
        return [PutForecast(event.subject, ms(data.reading_time), data.based_on, data.pos, _body(event, value))]
    reading = reading_of(event)
    if reading is not None:
        return [PutReading(event.subject, reading, event.recorded_ms)]
    if is_entry_event(event):
        entry_id = entry_id_of(event)
        after = evolve_entry(entries.get(entry_id), event)
        if not isinstance(after, EntryVersion):
            return []
        entries[entry_id] = after
        return [PutEntry(after)]
    return _alerts(event)


def _body(event: Event, value: bytes) -> bytes:
    """The event's data as JSON, cut out of what was written: ten times as quick as making it again, and no release
    makes it otherwise.

    `data` is the envelope's last member, and inside a string its quotes would be escaped. What an upcaster changed is
    made again.
    """
    start = value.find(_DATA)
    if start < 0 or peek_type(value) != event.data.TYPE.encode():
        return pydantic_core.to_json(event.data, exclude_none=True)
    return value[start + len(_DATA) : -1]


def _alerts(event: Event) -> list[Change]:
    data = event.data
    if isinstance(data, AlertsDecided):
        return [
            PutAlert(
                event.subject, f"{e.episode}/{e.step}/{e.change}", ms(e.at), pydantic_core.to_json(e, exclude_none=True)
            )
            for e in data.events
        ]
    if isinstance(data, DeliveryAttempted | Delivered | Undeliverable):
        what = type(data).__name__
        body = pydantic_core.to_json({"outcome": what, **data.model_dump(mode="json")})
        return [PutAlert(event.subject, f"{data.episode}/{data.step}/{data.target}/{what}", event.time_ms, body)]
    return []
