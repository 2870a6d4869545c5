"""Readings of a range, what became of an upload, gaps."""

from typing import Annotated

from pydantic import ConfigDict, Field

from api.v1.answers.parts import Answer, At, Listed
from schemas.facts import Trend


class ReadingRow(Answer):
    """A canonical reading."""

    time: str
    time_ms: int
    glucose_mgdl: float
    glucose_mmol: float
    trend: Trend | None
    source: str
    id: str


class Readings(Listed):
    """Canonical readings, oldest first."""

    items: list[ReadingRow]


class ReadingsTaken(Answer):
    """What became of an upload, in its order; `position` is null where none was new."""

    ids: list[str]
    new: int
    position: At | None


class GapRow(Answer):
    """A hole in the readings; `to` is null while it is open."""

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    from_: Annotated[str, Field(alias="from")]
    from_ms: int
    to: str | None
    to_ms: int | None


class Gaps(Listed):
    """Holes, oldest first."""

    items: list[GapRow]
