"""Ids: the same thing said twice has the same id, so that every fold can drop the repeat (RFC 9562 UUIDv5)."""

import hashlib
from uuid import UUID, uuid5

_IV3 = UUID("7f6b0d7e-3a51-5a55-9d0e-6a0c7f6b8d11")


def _id(*parts: object) -> str:
    # The length prefix keeps ("ab", "c") and ("a", "bc") apart.
    return str(uuid5(_IV3, "".join(f"{len(text)}:{text}" for text in map(str, parts))))


def reading_id(source: str, account: str, time_ms: int, glucose_mgdl: float, trend: str | None) -> str:
    """The id of a reading: a revised value is another fact, the same value seen again the same. Time counts in whole
    seconds.
    """
    return _id("reading", source, account, time_ms // 1000, f"{glucose_mgdl:.2f}", trend or "")


def entry_id(person: str, token: str, key: str, body_digest: str) -> str:
    """The id of an entry written with a key: the same Idempotency-Key and body are the same entry."""
    return _id("entry", person, token, key, body_digest)


def request_key(person: str, token: str, key: str) -> str:
    """The key under which a write is found by its Idempotency-Key, whatever its body was."""
    return hashlib.sha256(f"{len(person)}:{person}{len(token)}:{token}{key}".encode()).hexdigest()[:32]


def legacy_entry_id(person: str, kind: str, time_s: int, value: float, name: str, ordinal: int) -> str:
    """The id of an entry written without a key: `ordinal` tells equal entries apart that were meant as two."""
    return _id("seed", person, kind, time_s, f"{value:.2f}", name, ordinal)


def change_id(entry: str, revision: int, body_digest: str) -> str:
    """The id of a correction, deletion or restoration."""
    return _id("change", entry, revision, body_digest)


def episode_id(person: str, kind: str, cause: str) -> str:
    """The id of an alert episode: the same cause always opens the same one. Short, because ntfy's sequence ids hold 64
    characters.
    """
    return f"{kind.replace('_', '-')}-{_id('episode', person, kind, cause)[:13]}"


def decision_id(person: str, offset: int, place: int, digest: str) -> str:
    """The id of a decision record: what was decided at one position of the input."""
    return _id("decision", person, offset, place, digest)


def forecast_id(reading: str) -> str:
    """The id of the one forecast of a reading."""
    return _id("forecast", reading)


def derived_id(*parts: object) -> str:
    """A deterministic id of anything else, named by its parts."""
    return _id("derived", *parts)


def digest(data: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(data).hexdigest()
