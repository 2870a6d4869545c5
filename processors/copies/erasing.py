"""Erasing a person: which records are theirs, and what takes the place of one.

A record is theirs by its key or subject. Of what belongs to nobody (tokens, foreign documents), it is what names them;
and what nobody can read any more, but names them. A record of somebody else that names them, or was written with a
token of theirs, is that person's, and stays: it is counted, so that it can be told.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Any

import pydantic_core

from schemas.bookkeeping import RecordErased
from schemas.envelope import SYSTEM, encode, make, peek_type
from schemas.identity import derived_id
from schemas.model import at_ms

SOURCE = "iv3/erase"
_ID = "the-id-goes-here"
_TYPE = RecordErased.TYPE.encode()
_ISSUED, _REVOKED, _LETTER = b"iv3.token-issued.", b"iv3.token-revoked.", b"iv3.dead-letter."
_DOCUMENT = b"iv3.document-"
_PROFILE, _ADDED = b"iv3.profile.", b"iv3.person-added."
_NAMING = ("person", "people", "subject")  # fields of a fact that name whom it is about


class Ownership(Enum):
    """A record's relation to a person."""

    NOBODYS = "nothing"
    MENTIONS = "somebody else's, and names them"
    THEIRS = "theirs"


def is_placeholder(value: bytes | None) -> bool:
    """Whether this is what an erasure left."""
    return peek_type(value) == _TYPE


def placeholder(log_id: str, topic: str, partition: int, offset: int, erased_ms: int) -> bytes:
    """The placeholder that takes a record's offset: nothing of it but the place, and an id that no other record of any
    log has.
    """
    before, after = _around_id(erased_ms)
    return before + derived_id("erased", log_id, topic, partition, offset).encode() + after


@lru_cache(4)
def _around_id(erased_ms: int) -> tuple[bytes, bytes]:
    """All placeholders of an erasure are the same but for the id, and there may be a million."""
    moment = at_ms(erased_ms)
    event = make(RecordErased(), id=_ID, source=SOURCE, subject=SYSTEM, time=moment, recordedtime=moment)
    before, _, after = encode(event).partition(_ID.encode())
    return before, after


@dataclass
class Traces:
    """Traces of a person in a log. `tokens` (id -> name) are those that opened their data: they go, and so does what
    ended them.
    """

    person: str
    tokens: dict[str, str] = field(default_factory=dict)
    _key: bytes = b""
    _quoted: bytes = b""
    _actors: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        """Work out how the person is written in a key and in JSON."""
        self._key = self.person.encode()
        self._quoted = pydantic_core.to_json(self.person)

    def note_token(self, value: bytes | None) -> None:
        """Remember a token that was bound to them; anything else is passed over."""
        if value is None or not peek_type(value).startswith(_ISSUED) or self._quoted not in value:
            return
        data = _parsed(value).get("data", {})
        if _names(data, self.person):
            self.tokens[str(data.get("token_id"))] = str(data.get("name"))
            self._actors += (b'"actor":' + pydantic_core.to_json(data.get("name")),)

    def ownership(self, key: bytes | None, value: bytes | None) -> Ownership:
        """The owner of a record. A dead letter also counts by the record it speaks of, which is looked up elsewhere."""
        if key == self._key:
            return Ownership.THEIRS
        if value is None:
            return Ownership.NOBODYS
        if (
            self.tokens
            and peek_type(value).startswith(_REVOKED)
            and _parsed(value).get("data", {}).get("token_id") in self.tokens
        ):
            return Ownership.THEIRS
        if self._quoted not in value:
            return Ownership.MENTIONS if any(actor in value for actor in self._actors) else Ownership.NOBODYS
        event = _parsed(value)
        if not event or event.get("subject") == self.person:
            return Ownership.THEIRS
        if peek_type(value).startswith(_LETTER) and self._in_words(event):
            return Ownership.THEIRS
        if event.get("subject") == SYSTEM:
            found = _holds if peek_type(value).startswith(_DOCUMENT) else _names
            return Ownership.THEIRS if found(event.get("data"), self.person) else Ownership.NOBODYS
        return Ownership.MENTIONS

    def name_in(self, value: bytes | None) -> str:
        """The person's name in one of their records; empty where it has none."""
        if value is None or not peek_type(value).startswith((_PROFILE, _ADDED)):
            return ""
        return str(_parsed(value).get("data", {}).get("name") or "")

    def _in_words(self, event: Mapping[str, Any]) -> bool:
        """Whether the reason of a dead letter names them."""
        return self._quoted.decode() in str(event.get("data", {}).get("reason", ""))


def dead_lettered_position(value: bytes | None) -> tuple[str, int, int] | None:
    """The place of the record that a dead letter speaks of."""
    if value is None or not peek_type(value).startswith(_LETTER):
        return None
    data = _parsed(value).get("data", {})
    try:
        return str(data["topic"]), int(data["partition"]), int(data["offset"])
    except (KeyError, TypeError, ValueError):
        return None


def _parsed(value: bytes) -> dict[str, Any]:
    """The JSON object in these bytes; empty where there is none."""
    try:
        found = pydantic_core.from_json(value)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _names(said: Any, person: str) -> bool:  # noqa: ANN401 - JSON
    """Whether a field that is there to name somebody names this person."""
    if isinstance(said, dict):
        return any(
            (name in _NAMING and (value == person or (isinstance(value, list) and person in value)))
            or _names(value, person)
            for name, value in said.items()
        )
    return isinstance(said, list) and any(_names(value, person) for value in said)


def _holds(said: Any, person: str) -> bool:  # noqa: ANN401 - JSON
    """Whether any text in it is the person's id."""
    if isinstance(said, dict):
        return any(name == person or _holds(value, person) for name, value in said.items())
    if isinstance(said, list):
        return any(_holds(value, person) for value in said)
    return bool(said == person)
