"""Values of requests and answers: moments, ranges, cursors, glucose in both units."""

import base64
import binascii
import json
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from api.request.problems import ProblemError
from schemas.model import StripMgdl, at_ms
from schemas.units import mgdl

MOST_ROWS = 50_000  # 120 days at 5 min; more comes by cursor
USUAL_ROWS = 5_000
LATEST_MS = 253_402_300_799_000  # the end of the year 9999
MOST_ID = 80  # characters
DAY_MS = 86_400_000


class Asked(BaseModel):
    """What a request holds: strict, and unknown fields are refused."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


def _moment(value: object) -> object:
    """Epoch milliseconds from ISO 8601 with an offset, or from a number."""
    if isinstance(value, bool):
        raise ValueError("is no time")  # noqa: TRY004 - pydantic turns a ValueError into a sentence
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        text = value.strip()
        if text.lstrip("-").isdigit():
            return int(text)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError("is no time; write it like 2026-01-31T07:05:00Z or in epoch milliseconds") from None
        if moment.tzinfo is None:
            raise ValueError("needs a time zone, such as the Z of 2026-01-31T07:05:00Z")
        return round(moment.timestamp() * 1000)
    raise ValueError("is no time; write it like 2026-01-31T07:05:00Z or in epoch milliseconds")


MomentMs = Annotated[
    int,
    BeforeValidator(_moment, json_schema_input_type=str | int),
    Field(ge=0, le=LATEST_MS, description="ISO 8601 with an offset, or epoch milliseconds"),
]
Whole = Annotated[int, BeforeValidator(lambda v: int(v) if isinstance(v, str) and v.isdigit() else v)]
Flag = Annotated[bool, BeforeValidator(lambda v: {"1": True, "true": True, "0": False, "false": False}.get(v, v))]


class RangeQuery(Asked):
    """A range of time, and how much of it."""

    from_: Annotated[MomentMs | None, Field(alias="from")] = None
    to: MomentMs | None = None
    limit: Annotated[Whole, Field(ge=1, le=MOST_ROWS)] = USUAL_ROWS
    cursor: Annotated[str, Field(max_length=400)] | None = None

    def bounds(self, now_ms: int) -> tuple[int, int]:
        """[from, to): the last 24 h where nothing was asked for."""
        to = self.to if self.to is not None else now_ms + 1
        start = self.from_ if self.from_ is not None else to - DAY_MS
        if start > to:
            raise ProblemError(422, "from lies after to.", field="from")
        return start, to


class WaitQuery(Asked):
    """Whether to answer only once it can be read back."""

    wait: Flag = False


def next_cursor(place: list[Any]) -> str:
    """An opaque name of a place in a list."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def cursor_values(cursor: str | None, default: list[Any]) -> list[Any]:
    """The place a cursor names. Raises a 422 for one we never made."""
    if cursor is None:
        return default
    try:
        place: object = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError):
        place = None
    if (
        not isinstance(place, list)
        or [type(x) for x in place] != [type(x) for x in default]
        or not all(map(_small, place))
    ):
        raise ProblemError(422, "is no cursor of ours; ask again without it", field="cursor")
    return place


def _small(part: object) -> bool:
    """Whether a part of a cursor can be one that we made: a moment or an id."""
    return abs(part) <= LATEST_MS if isinstance(part, int) else len(str(part)) <= MOST_ID


def iso(time_ms: int) -> str:
    """ISO 8601 in UTC; milliseconds only where there are some."""
    text = at_ms(time_ms).isoformat(timespec="milliseconds" if time_ms % 1000 else "seconds")
    return text.replace("+00:00", "Z")


class GlucoseAsked(Asked):
    """Glucose with its unit in the name; exactly one of the two."""

    glucose_mgdl: StripMgdl | None = None
    glucose_mmol: Annotated[float, Field(ge=0.6, le=50)] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> "GlucoseAsked":
        if (self.glucose_mgdl is None) == (self.glucose_mmol is None):
            raise ValueError("give either glucose_mgdl or glucose_mmol; a glucose without a unit is refused")
        return self

    def in_mgdl(self) -> float:
        """The value in mg/dL."""
        if self.glucose_mgdl is not None:
            return self.glucose_mgdl
        return mgdl(self.glucose_mmol or 0.0)
