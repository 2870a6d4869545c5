"""Tokens, made and revoked."""

import hashlib
import secrets

from schemas.envelope import SYSTEM, Event, make
from schemas.facts import Role, TokenIssued, TokenRevoked
from schemas.identity import derived_id
from schemas.model import at_ms


def new_token(role: Role) -> tuple[str, str]:
    """A fresh token and its hash. The token is shown once and kept nowhere."""
    token = f"iv3_{role}_{secrets.token_urlsafe(32)}"
    return token, hash_of(token)


def hash_of(token: str) -> str:
    """What is stored of a token. A plain hash does for 256 random bits (OWASP ASVS 6.5.2)."""
    return hashlib.sha256(token.encode()).hexdigest()


def issue(
    role: Role,
    name: str,
    now_ms: int,
    *,
    people: tuple[str, ...] = (),
    expires_ms: int | None = None,
    actor: str | None = None,
) -> tuple[str, Event]:
    """A new token, and the event that makes it known. The event holds its hash only."""
    token, hashed = new_token(role)
    token_id = secrets.token_hex(6)
    issued = TokenIssued(
        token_id=token_id,
        name=name,
        role=role,
        sha256=hashed,
        people=people,
        expires=at_ms(expires_ms) if expires_ms is not None else None,
    )
    event = make(
        issued, id=derived_id("token", token_id), source="api", subject=SYSTEM, time=at_ms(now_ms), recordedtime=at_ms(now_ms), actor=actor
    )  # fmt: skip
    return token, event


def revocation(token_id: str, now_ms: int, actor: str | None = None) -> Event:
    """The event that ends a token."""
    return make(
        TokenRevoked(token_id=token_id), id=derived_id("token-revoked", token_id), source="api", subject=SYSTEM, time=at_ms(now_ms),
        recordedtime=at_ms(now_ms), actor=actor,
    )  # fmt: skip
