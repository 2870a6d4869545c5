"""Entries: doses, carbs, notes; what a correction, a deletion or its undoing does to one.

A change is applied if and only if its revision is the current one plus 1; anything else is a conflict, which changes
nothing and is kept to be shown. Every change carries the whole new content, so a fold needs only the current revision.
The last change, come twice, is a repeat and no conflict.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from schemas.envelope import Event
from schemas.facts import (
    ENTRY_FACTS,
    CarbsEaten,
    DeviceStarted,
    EntryCorrected,
    EntryDeleted,
    EntryRestored,
    ExerciseDone,
    FingerstickTaken,
    InsulinTaken,
    NoteWritten,
    content_of,
)
from schemas.model import Fact, ms

KINDS: dict[str, str] = {
    InsulinTaken.TYPE: "insulin",
    CarbsEaten.TYPE: "carbs",
    FingerstickTaken.TYPE: "fingerstick",
    ExerciseDone.TYPE: "exercise",
    NoteWritten.TYPE: "note",
    DeviceStarted.TYPE: "device",
}
TYPES = {kind: name for name, kind in KINDS.items()}
_ENTRY_EVENTS = frozenset({*ENTRY_FACTS, EntryCorrected.TYPE, EntryDeleted.TYPE, EntryRestored.TYPE})


class EntryVersion(NamedTuple):
    """An entry as one revision has it. A deleted one keeps the content it had."""

    id: str
    person: str
    kind: str
    time_ms: int
    revision: int
    deleted: bool
    data: Fact
    recorded_ms: int
    actor: str | None


class Conflict(NamedTuple):
    """A conflicting change: it was made from another revision than the current one, or of an entry
    nobody knows.
    """

    entry_id: str
    revision: int
    current: int


def is_entry_event(event: Event) -> bool:
    """Whether the event makes or changes an entry."""
    return event.type in _ENTRY_EVENTS


def entry_id_of(event: Event) -> str:
    """The entry that the event makes or changes."""
    data = event.data
    return data.entry_id if isinstance(data, EntryCorrected | EntryDeleted | EntryRestored) else event.id


def evolve_entry(current: EntryVersion | None, event: Event) -> EntryVersion | Conflict | None:
    """What the event makes of the entry: its next version, a Conflict, or None where it changes nothing (a repeat)."""
    data = event.data
    if isinstance(data, EntryDeleted):
        if current is not None and current.deleted and data.revision == current.revision:
            return None
        if current is None or data.revision != current.revision + 1 or current.deleted:
            return _not_applied(current, data.entry_id, data.revision)
        return current._replace(revision=data.revision, deleted=True, recorded_ms=event.recorded_ms, actor=event.actor)
    if isinstance(data, EntryCorrected | EntryRestored):
        if current is None or data.revision not in (current.revision, current.revision + 1):
            return _not_applied(current, data.entry_id, data.revision)
        after = current._replace(
            kind=KINDS[data.entry.type],
            time_ms=ms(data.entry.time),
            revision=data.revision,
            deleted=False,
            data=content_of(data.entry, extra="ignore"),  # `decode` has seen that it can be read
            recorded_ms=event.recorded_ms,
            actor=event.actor,
        )
        if data.revision == current.revision:
            return None if after == current else _not_applied(current, data.entry_id, data.revision)
        return after
    if current is not None or event.type not in KINDS:
        return None
    return EntryVersion(
        event.id, event.subject, KINDS[event.type], event.time_ms, 1, False, data, event.recorded_ms, event.actor
    )


def _not_applied(current: EntryVersion | None, entry_id: str, revision: int) -> Conflict:
    return Conflict(entry_id, revision, current.revision if current else 0)


def data_of(version: EntryVersion) -> dict[str, Any]:
    """An entry's content as a JSON object, unset fields left out."""
    return version.data.model_dump(mode="json", exclude_none=True)


def content_json(version: EntryVersion) -> bytes:
    """The content as every Series keeps it: JSON, the same bytes for the same content."""
    return json.dumps(data_of(version), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def entry_of(row: Sequence[Any]) -> EntryVersion:
    """The entry in a row of a Series: an EntryVersion whose content is JSON."""
    entry_id, person, kind, time_ms, revision, deleted, data, recorded_ms, actor = row
    fact = ENTRY_FACTS[TYPES[kind]].model_validate_json(data)
    return EntryVersion(entry_id, person, kind, time_ms, revision, bool(deleted), fact, recorded_ms, actor)
