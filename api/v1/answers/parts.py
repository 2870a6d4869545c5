"""What answers are made of: positions, pages of a list, fields that only some have."""

from pydantic import BaseModel, ConfigDict, Field

from streams.ports.log import Position


class Answer(BaseModel):
    """An answer or a part of one."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class At(Answer):
    """A position in the log."""

    topic: str
    partition: int
    offset: int


def at(position: Position) -> At:
    """A position as clients get it."""
    return At(topic=position.topic, partition=position.partition, offset=position.offset)


class Listed(Answer):
    """A page of a list; `next_cursor` asks for what comes behind it."""

    next_cursor: str | None


def _is_none(value: object) -> bool:
    return value is None


Sometimes = Field(default=None, exclude_if=_is_none)  # left out where it is not so
