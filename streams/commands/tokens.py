"""Tokens: one per device and person, shown once, revoked at once. The log holds hashes only."""

import hashlib
import secrets
from typing import NamedTuple

from schemas.envelope import SYSTEM, Author, Event
from schemas.facts import Role, TokenIssued, TokenRevoked
from schemas.identity import derived_id
from schemas.model import at_ms
from streams.commands.door import Door

_API = Author("api")


class IssuedToken(NamedTuple):
    """A fresh token. `secret` is shown once and kept nowhere."""

    token_id: str
    secret: str


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
    author: Author = _API,
) -> tuple[str, Event]:
    """A new token, which is shown once and kept nowhere, and the event that makes it known."""
    secret, token_id = f"iv3_{role}_{secrets.token_urlsafe(32)}", secrets.token_hex(6)
    sha256, expires = hash_of(secret), at_ms(expires_ms) if expires_ms is not None else None
    issued = TokenIssued(token_id=token_id, name=name, role=role, sha256=sha256, people=people, expires=expires)
    return secret, author.say(issued, derived_id("token", token_id), SYSTEM, now_ms)


def revocation(token_id: str, now_ms: int, author: Author = _API) -> Event:
    """The event that ends a token."""
    return author.say(TokenRevoked(token_id=token_id), derived_id("token-revoked", token_id), SYSTEM, now_ms)


async def issue_token(
    door: Door, role: Role, name: str, *, people: tuple[str, ...] = (), expires_ms: int | None = None
) -> IssuedToken:
    """Make a token, bound to these people, or to nobody: then it opens everybody's. Raises as `Log.append`."""
    now_ms = door.clock.now_ms()
    secret, event = issue(role, name, now_ms, people=people, expires_ms=expires_ms, author=door.author)
    await door.append_one(event)
    return IssuedToken(event.data.token_id if isinstance(event.data, TokenIssued) else "", secret)


async def revoke_token(door: Door, token_id: str) -> None:
    """End a token: it opens nothing any more here once this returns. Raises NotReadYet where the log has that, and this
    process has not seen it in time; and as `Log.append`.
    """
    await door.append_one(revocation(token_id, door.clock.now_ms(), door.author))
    await door.refuse_unread("The token is ended; it may open a page for a moment more. Ask for it again.")
