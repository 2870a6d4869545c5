"""Entries as requests hold them, one model per kind, and as answers show them."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from api.request.values import Asked, GlucoseAsked, MomentMs, iso
from api.v1.answers.entries import EntryShown
from processors.entries import EntryVersion, data_of
from processors.profiles import action_of, proper_name
from schemas.facts import (
    CarbsEaten,
    ExerciseDone,
    FingerstickTaken,
    InsulinTaken,
    Intensity,
    NoteWritten,
    ProfileChanged,
    Speed,
)
from schemas.model import ExerciseMinutes, Fact, Grams, InsulinUnits, Name, NonEmptyText, StripMgdl, Text
from schemas.units import mmol

Units = Annotated[InsulinUnits, Field(description="units, to 0.01")]
CarbGrams = Annotated[Grams, Field(description="grams, to 0.01")]
InsulinName = Annotated[Name, Field(pattern=r"\S")]


class _Posted(Asked):
    time: MomentMs | None = None
    confirm: bool = False


class InsulinPosted(_Posted):
    """A dose."""

    kind: Literal["insulin"]
    units: Units
    insulin: InsulinName
    note: Text | None = None


class CarbsPosted(_Posted):
    """Carbohydrates."""

    kind: Literal["carbs"]
    grams: CarbGrams
    speed: Speed = "medium"
    note: Text | None = None


class NotePosted(_Posted):
    """Free text."""

    kind: Literal["note"]
    text: NonEmptyText


class FingerstickPosted(GlucoseAsked):
    """A finger-stick."""

    kind: Literal["fingerstick"]
    time: MomentMs | None = None
    confirm: bool = False
    note: Text | None = None


class ExercisePosted(_Posted):
    """Exercise."""

    kind: Literal["exercise"]
    minutes: ExerciseMinutes
    intensity: Intensity = "moderate"
    note: Text | None = None


EntryPosted = Annotated[
    InsulinPosted | CarbsPosted | NotePosted | FingerstickPosted | ExercisePosted, Field(discriminator="kind")
]


class EntryPatched(Asked):
    """What to change, and the revision it was seen in. The kind stays."""

    revision: Annotated[int, Field(ge=1)]
    time: MomentMs | None = None
    units: Units | None = None
    insulin: InsulinName | None = None
    grams: CarbGrams | None = None
    speed: Speed | None = None
    text: NonEmptyText | None = None
    glucose_mgdl: StripMgdl | None = None
    glucose_mmol: Annotated[float, Field(ge=0.6, le=50)] | None = None
    minutes: ExerciseMinutes | None = None
    intensity: Intensity | None = None
    note: Text | None = None
    confirm: bool = False


def fact_of(
    body: InsulinPosted | CarbsPosted | NotePosted | FingerstickPosted | ExercisePosted, profile: ProfileChanged
) -> Fact:
    """The fact a request states."""
    match body:
        case InsulinPosted():
            name = proper_name(body.insulin, profile.insulins)
            action = action_of(name, profile.insulins)
            return InsulinTaken(units=body.units, insulin=name, action=action, note=body.note)
        case CarbsPosted():
            return CarbsEaten(grams=body.grams, speed=body.speed, note=body.note)
        case NotePosted():
            return NoteWritten(text=body.text)
        case FingerstickPosted():
            return FingerstickTaken(glucose_mgdl=body.in_mgdl(), note=body.note)
        case ExercisePosted():
            return ExerciseDone(minutes=body.minutes, intensity=body.intensity, note=body.note)


_ENTRY_SHOWN: TypeAdapter[EntryShown] = TypeAdapter(EntryShown)


def shown(entry: EntryVersion, *, created_ms: int | None = None) -> EntryShown:
    """An entry as clients get it."""
    data = data_of(entry)
    data.pop("action", None)
    if "glucose_mgdl" in data:
        data["glucose_mmol"] = mmol(data["glucose_mgdl"])
    recorded = created_ms if created_ms is not None else entry.recorded_ms
    said = {
        "id": entry.id,
        "kind": entry.kind,
        "time": iso(entry.time_ms),
        "time_ms": entry.time_ms,
        "recorded_time": iso(recorded),
        "revision": entry.revision,
        "deleted": entry.deleted,
        "by": entry.actor,
        "note": None,
        **data,
    }
    return _ENTRY_SHOWN.validate_python(said)
