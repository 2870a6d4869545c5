"""Entries: one model a kind, their history, what was written."""

from typing import Annotated, Literal

from pydantic import Field

from api.v1.answers.parts import Answer, At, Listed, Sometimes
from schemas.facts import Action, Intensity, Speed


class _EntryShown(Answer):
    id: str
    time: str
    time_ms: int
    recorded_time: str
    revision: int
    deleted: bool
    by: str | None
    note: str | None


class InsulinEntry(_EntryShown):
    """A dose."""

    kind: Literal["insulin"]
    units: float
    insulin: str


class CarbsEntry(_EntryShown):
    """Carbohydrates."""

    kind: Literal["carbs"]
    grams: float
    speed: Speed


class FingerstickEntry(_EntryShown):
    """A finger-stick."""

    kind: Literal["fingerstick"]
    glucose_mgdl: float
    glucose_mmol: float


class ExerciseEntry(_EntryShown):
    """Exercise."""

    kind: Literal["exercise"]
    minutes: float
    intensity: Intensity


class NoteEntry(_EntryShown):
    """Free text."""

    kind: Literal["note"]
    text: str


class DeviceEntry(_EntryShown):
    """A sensor, a pen or a vial was begun."""

    kind: Literal["device"]
    device: str
    model: str | None = Sometimes
    warm_up_minutes: int | None = Sometimes


EntryShown = Annotated[
    InsulinEntry | CarbsEntry | FingerstickEntry | ExerciseEntry | NoteEntry | DeviceEntry, Field(discriminator="kind")
]


class Entries(Listed):
    """Entries, oldest first."""

    items: list[EntryShown]


class EntryWritten(Answer):
    """An entry that is in the log; `position` is null for one of which that is not known any more."""

    id: str
    position: At | None


class EntryRevisionShown(Answer):
    """One version of an entry."""

    revision: int
    kind: str
    time: str
    time_ms: int
    deleted: bool
    recorded_time: str
    by: str | None
    units: float | None = Sometimes
    insulin: str | None = Sometimes
    action: Action | None = Sometimes
    grams: float | None = Sometimes
    speed: Speed | None = Sometimes
    glucose_mgdl: float | None = Sometimes
    minutes: float | None = Sometimes
    intensity: Intensity | None = Sometimes
    text: str | None = Sometimes
    device: str | None = Sometimes
    model: str | None = Sometimes
    warm_up_minutes: int | None = Sometimes
    note: str | None = Sometimes


class EntryConflictShown(Answer):
    """A change that came too late to be applied."""

    revision: int
    recorded_time: str
    by: str | None
    type: str


class EntryHistory(Listed):
    """Every version of an entry, oldest first."""

    items: list[EntryRevisionShown]
    conflicts: list[EntryConflictShown]
