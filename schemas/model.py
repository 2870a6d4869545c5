"""The two bases of everything that is said: `Value` for values, `Fact` for the data of an event."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, TypeAdapter


class Value(BaseModel):
    """A frozen value. Strict, and unknown fields are refused when it is written."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class Fact(Value):
    """The data of an event. `TYPE` is its CloudEvents type, `iv3.<name>.v<N>`, and names exactly one class."""

    TYPE: ClassVar[str]


_NO_OFFSET = timedelta()
# pydantic's own UTC: one object for all it reads
_READ_UTC = TypeAdapter(datetime).validate_json('"1970-01-01T00:00:00Z"').tzinfo
_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=_READ_UTC), timedelta(milliseconds=1)


def _to_utc_ms(moment: datetime) -> datetime:
    """Aware, in UTC, whole milliseconds: the finest grain iv3 keeps."""
    offset = _NO_OFFSET if moment.tzinfo is _READ_UTC else moment.utcoffset()
    if offset == _NO_OFFSET and not moment.microsecond % 1000:
        return moment  # as every event has it that we wrote ourselves
    if offset is None:
        raise ValueError("needs a time zone, such as the Z of 2026-01-31T07:05:00Z")
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _hundredths(value: float) -> float:
    """Doses and carbs are kept to 0.01; finer is noise from binary fractions."""
    if round(value, 2) != value:
        raise ValueError("has more than two decimals")
    return value


Moment = Annotated[datetime, AfterValidator(_to_utc_ms), PlainSerializer(_iso, return_type=str, when_used="json")]
Name = Annotated[str, Field(min_length=1, max_length=80)]
PERSON_ID = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$"  # the key of everything in the log
PersonId = Annotated[str, Field(pattern=PERSON_ID)]
MOST_TEXT = 2_000  # characters of a note; longer text belongs in a document
Text = Annotated[str, Field(max_length=MOST_TEXT)]
NonEmptyText = Annotated[str, Field(min_length=1, max_length=MOST_TEXT)]
Mgdl = Annotated[float, Field(ge=39, le=600)]  # of a sensor: 39 is LOW, 401 HIGH
StripMgdl = Annotated[float, Field(ge=10, le=900)]  # no meter shows more, nor less
# Pens deliver up to 160 at once; above 300 is a mistake.
InsulinUnits = Annotated[float, Field(gt=0, le=300), AfterValidator(_hundredths)]
Grams = Annotated[float, Field(gt=0, le=500), AfterValidator(_hundredths)]
ExerciseMinutes = Annotated[float, Field(gt=0, le=1440)]


def ms(moment: datetime) -> int:
    """Epoch milliseconds of an aware moment."""
    if moment.tzinfo is _READ_UTC and not moment.microsecond % 1000:  # by hand, for a replay does this a million times
        return (moment - _EPOCH) // _MILLISECOND
    return round(moment.timestamp() * 1000)


def at_ms(time_ms: int) -> datetime:
    """The moment (UTC) of epoch milliseconds, exactly."""
    return datetime.fromtimestamp(time_ms // 1000, UTC).replace(microsecond=time_ms % 1000 * 1000)


Jsonable = dict[str, Any]


Partition = tuple[str, int]  # (topic, partition)
