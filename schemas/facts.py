"""Facts: what happened to a person, in the past tense. Each class is the `data` of one event type in `iv3.journal`."""

from typing import Annotated, Literal, get_args

from pydantic import Field, ValidationError

from schemas.model import (
    ExerciseMinutes,
    Fact,
    Grams,
    InsulinUnits,
    Jsonable,
    Mgdl,
    Moment,
    Name,
    NonEmptyText,
    StripMgdl,
    Text,
    Value,
)
from schemas.units import Unit

Trend = Literal[
    "DoubleUp",
    "SingleUp",
    "FortyFiveUp",
    "Flat",
    "FortyFiveDown",
    "SingleDown",
    "DoubleDown",
    "NotComputable",
    "RateOutOfRange",
]
TRENDS: tuple[Trend, ...] = get_args(Trend)  # in Share's own order: 1 DoubleUp .. 9 RateOutOfRange
Action = Literal["rapid", "long"]
Speed = Literal["fast", "medium", "slow"]
Intensity = Literal["light", "moderate", "hard"]
SourceState = Literal["ok", "no_data", "refused", "unreachable"]
DeviceKind = Literal["sensor", "pen", "insulin"]
Role = Literal["owner", "writer", "uploader", "reader"]


class GlucoseRead(Fact):
    """A sensor read glucose. 39 stands for LOW, 401 for HIGH, as Dexcom sends them."""

    TYPE = "iv3.reading.v1"
    glucose_mgdl: Mgdl
    trend: Trend | None = None


class InsulinTaken(Fact):
    """Insulin was injected. The name refers to the profile, which knows whether it is rapid or long-acting."""

    TYPE = "iv3.insulin.v1"
    units: InsulinUnits
    insulin: Name
    action: Action | None = None  # as the profile had it then; None where the name was unknown, never guessed
    note: Text | None = None


class CarbsEaten(Fact):
    """Carbohydrates were eaten."""

    TYPE = "iv3.carbs.v1"
    grams: Grams
    speed: Speed = "medium"
    note: Text | None = None


class FingerstickTaken(Fact):
    """Blood glucose was measured with a strip; never mixed with the sensor's readings."""

    TYPE = "iv3.fingerstick.v1"
    glucose_mgdl: StripMgdl
    note: Text | None = None


class ExerciseDone(Fact):
    """Exercise, starting at the event's time."""

    TYPE = "iv3.exercise.v1"
    minutes: ExerciseMinutes
    intensity: Intensity = "moderate"
    note: Text | None = None


class NoteWritten(Fact):
    """A note in free text."""

    TYPE = "iv3.note.v1"
    text: NonEmptyText


class DeviceStarted(Fact):
    """A sensor was inserted, a pen or an insulin vial opened."""

    TYPE = "iv3.device.v1"
    device: DeviceKind
    model: Name | None = None
    warm_up_minutes: Annotated[int, Field(ge=0, le=720)] | None = None


class Entry(Value):
    """The whole new content of an entry, as a correction carries it: kind, time and fact together."""

    type: str
    time: Moment
    data: Jsonable


class _EntryChanged(Fact):
    entry_id: Name
    revision: Annotated[int, Field(ge=2)]


class EntryCorrected(_EntryChanged):
    """An entry was changed. Carries the whole new fact; applied only if `revision` is the current one plus 1."""

    TYPE = "iv3.entry-corrected.v1"
    entry: Entry


class EntryDeleted(_EntryChanged):
    """An entry was deleted; its history stays."""

    TYPE = "iv3.entry-deleted.v1"


class EntryRestored(_EntryChanged):
    """The last change or deletion of an entry was taken back: it is again as it was in revision `as_of`, which `entry`
    repeats.
    """

    TYPE = "iv3.entry-restored.v1"
    as_of: Annotated[int, Field(ge=1)]
    entry: Entry


class Insulin(Value):
    """One insulin of a profile, with its activity curve."""

    name: Name
    action: Action
    duration_min: Annotated[float, Field(gt=0, le=5000)]
    peak_min: Annotated[float, Field(ge=0, le=2500)] = 0
    every_h: Annotated[float, Field(gt=0, le=168)] | None = None  # long-acting: how often it is taken


class Limits(Value):
    """The limits alarms and colours use, mg/dL."""

    urgent_low_mgdl: Annotated[float, Field(ge=40, le=80)] = 55
    low_mgdl: Annotated[float, Field(ge=50, le=120)] = 70
    high_mgdl: Annotated[float, Field(ge=100, le=400)] = 180
    very_high_mgdl: Annotated[float, Field(ge=150, le=400)] = 250
    predicted_low_mgdl: Annotated[float, Field(ge=40, le=150)] = 70
    high_alarm_mgdl: Annotated[float, Field(ge=100, le=400)] = 240


class Profile(Value):
    """How one person is shown and watched: unit, zone, limits, insulins."""

    name: Annotated[str, Field(max_length=80)] = ""
    unit: Unit = "mmol/L"
    zone: Annotated[str, Field(max_length=64)] | None = None  # IANA; None: not known, so pages and reports ask
    birth_year: Annotated[int, Field(ge=1900, le=2100)] | None = None
    limits: Limits = Limits()
    insulins: tuple[Insulin, ...] = ()
    no_long_acting_h: Annotated[float, Field(ge=0, le=168)] = 0  # 0: never alarm
    max_rapid_units: Annotated[float, Field(gt=0, le=100)] = 15


class ProfileChanged(Profile, Fact):
    """The whole profile, effective from the event's time on."""

    TYPE = "iv3.profile.v1"
    config_digest: str | None = None  # set when it came from the configuration file


class AlertAcknowledged(Fact):
    """Somebody answered an alarm."""

    TYPE = "iv3.alert-acknowledged.v1"
    episode: Name
    treated: bool = False


class AlertsSnoozed(Fact):
    """Alarms of one kind are quiet until a moment. Nothing but itself ever quiets an urgent low."""

    TYPE = "iv3.alerts-snoozed.v1"
    kind: Name
    until: Moment


class TokenIssued(Fact):
    """An access token was made; only its hash is kept (SHA-256 of 256 random bits, OWASP ASVS 6.5.2)."""

    TYPE = "iv3.token-issued.v1"
    token_id: Name
    name: Name
    role: Role
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    person: Name | None = None
    people: tuple[Name, ...] = ()  # whom it is bound to; none, and no `person`: everybody
    expires: Moment | None = None

    @property
    def bound_to(self) -> tuple[str, ...]:
        """People whom the token opens; empty: everybody."""
        return self.people or ((self.person,) if self.person else ())


class TokenRevoked(Fact):
    """A token no longer opens anything."""

    TYPE = "iv3.token-revoked.v1"
    token_id: Name


class PersonAdded(Fact):
    """A person is watched from now on."""

    TYPE = "iv3.person-added.v1"
    name: Annotated[str, Field(max_length=80)] = ""


class PersonSuspended(Fact):
    """A person is no longer polled nor alarmed for; the history stays."""

    TYPE = "iv3.person-suspended.v1"


class DocumentSaved(Fact):
    """A foreign document (a Nightscout treatment, say), kept verbatim."""

    TYPE = "iv3.document-saved.v1"
    collection: Name
    document_id: Name
    body: Jsonable


class DocumentRemoved(Fact):
    """A foreign document was deleted."""

    TYPE = "iv3.document-removed.v1"
    collection: Name
    document_id: Name


class SourceStateChanged(Fact):
    """The state of the glucose source. Carries the log-in back-off, so that a restart cannot lock the account."""

    TYPE = "iv3.source-state.v1"
    state: SourceState
    reason: Annotated[str, Field(max_length=500)] = ""
    refusals: Annotated[int, Field(ge=0)] = 0
    no_login_before: Moment | None = None
    clock_skew_s: float | None = None


ENTRY_FACTS: dict[str, type[Fact]] = {
    fact.TYPE: fact for fact in (InsulinTaken, CarbsEaten, FingerstickTaken, ExerciseDone, NoteWritten, DeviceStarted)
}
JOURNAL_FACTS: tuple[type[Fact], ...] = (
    GlucoseRead,
    *ENTRY_FACTS.values(),
    EntryCorrected,
    EntryDeleted,
    EntryRestored,
    ProfileChanged,
    AlertAcknowledged,
    AlertsSnoozed,
    TokenIssued,
    TokenRevoked,
    PersonAdded,
    PersonSuspended,
    DocumentSaved,
    DocumentRemoved,
    SourceStateChanged,
)


def content_of(entry: Entry, *, extra: Literal["ignore"] | None = None) -> Fact:
    """The fact that a correction carries. `extra` ignore drops fields that a newer release added, as `decode` does.
    Raises ValueError naming the field that does not fit.
    """
    fact = ENTRY_FACTS.get(entry.type)
    if fact is None:
        raise ValueError(f"{entry.type} is no kind of entry")
    try:
        return fact.model_validate(entry.data, extra=extra)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
