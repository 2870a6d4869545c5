"""Who may do what. Denied by default: every route names the least role, and a request shows a token in one of the ways
clients know.

Tokens are 256 random bits; only SHA-256 is stored. Wrong tokens are counted per address: 30 at once, then one a minute;
a right one always works.
"""

import base64
import binascii
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import hdrs, web

from api.request.context import ApiContext, context_of
from api.request.openapi import ROLE
from api.request.person_scope import settle_person
from api.request.problems import Handler, ProblemError
from schemas.envelope import Author
from schemas.facts import TokenIssued
from schemas.model import ms
from streams.commands.door import Door
from streams.commands.tokens import hash_of

MAY: Mapping[str, frozenset[str]] = {
    "public": frozenset(),
    "now": frozenset({"reader", "writer", "uploader", "owner"}),
    "reader": frozenset({"reader", "writer", "owner"}),
    "writer": frozenset({"writer", "owner"}),
    "uploader": frozenset({"uploader", "owner"}),
    "owner": frozenset({"owner"}),
    "seed": frozenset({"seed", "owner"}),
}
COOKIE, SECURE_COOKIE = "iv3", "__Host-iv3"
_BURST, _REFILL_S = 30, 60.0
_MOST_ADDRESSES = 10_000
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the token's id and name, its role, and whom it is bound to (nobody: it opens everybody's)."""

    token_id: str
    name: str
    role: str
    people: tuple[str, ...] = ()


class FailedTries:
    """Counts wrong tokens per address."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._left: dict[str, tuple[float, float]] = {}

    def exhausted(self, address: str) -> bool:
        """Whether this address must wait."""
        left, at = self._left.get(address, (float(_BURST), 0.0))
        return left + (self._now() - at) / _REFILL_S < 1 and address in self._left

    def spend(self, address: str) -> bool:
        """Whether one more wrong try may be answered as such."""
        now = self._now()
        left, at = self._left.get(address, (float(_BURST), now))
        left = min(float(_BURST), left + (now - at) / _REFILL_S)
        if len(self._left) >= _MOST_ADDRESSES and address not in self._left:
            self._left.pop(next(iter(self._left)))
        self._left[address] = (max(0.0, left - 1), now)
        return left >= 1


TRIES = web.AppKey("tries", FailedTries)
CALLER = web.RequestKey("caller", Caller)


@web.middleware
async def authorize(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let the request through to a route only if its caller may."""
    match = request.match_info
    if match.http_exception is not None:
        return await handler(request)
    needed = getattr(match.handler, ROLE, None)
    if needed == "public":
        return await handler(request)
    if needed is None:
        raise ProblemError(403, "This address declares no role, so nobody may use it.")
    context = context_of(request)
    if not context.catalog.ready:
        raise ProblemError(503, "iv3 is still reading its log; try again in a moment.", headers={"Retry-After": "1"})
    caller = _caller(request, needed)
    if caller is None:
        await context.catalog.caught_up()
        caller = _caller(request, needed)
    if caller is None:
        raise _unauthorized(request, needed)
    if caller.role not in MAY[needed]:
        raise ProblemError(403, f"A {caller.role} token may not do this; it takes the role {needed}.")
    request[CALLER] = caller
    settle_person(request, context, caller.people)
    return await handler(request)


def caller_of(request: web.Request) -> Caller:
    """Who asks; only after `authorize`."""
    return request[CALLER]


def door_of(request: web.Request, *, source: str = "api", person: str | None = None) -> Door:
    """The caller's way to write, by the door that `source` names; only after `authorize`."""
    caller = caller_of(request)
    return context_of(request).door(Author(source, caller.name), caller.token_id, person=person)


def still_open(context: ApiContext, caller: Caller) -> bool:
    """Whether the token of somebody who was let in a while ago would let them in now."""
    issued = context.catalog.token_by_id(caller.token_id)
    return issued is not None and (issued.expires is None or ms(issued.expires) > context.clock.now_ms())


def _unauthorized(request: web.Request, needed: str) -> ProblemError:
    shown = request.headers.get(hdrs.AUTHORIZATION) or _cookie(request)
    if shown and not request.app[TRIES].spend(request.remote or ""):
        return too_many()
    detail = "The token is unknown, revoked or expired." if shown else "Show a token: Authorization: Bearer …"
    # Only the seed's apps expect to be asked for a name and a password; to a browser it would mean a dialog of its own
    # over our page.
    scheme = 'Basic realm="iv3", charset="UTF-8"' if needed == "seed" else 'Bearer realm="iv3"'
    return ProblemError(401, detail, headers={"WWW-Authenticate": scheme})


def too_many() -> ProblemError:
    """What an address is answered that has guessed too often."""
    return ProblemError(429, "Too many wrong tokens from this address; wait a minute.", headers={"Retry-After": "60"})


def _cookie(request: web.Request) -> str | None:
    return request.cookies.get(SECURE_COOKIE) or request.cookies.get(COOKIE)


def _caller(request: web.Request, needed: str) -> Caller | None:
    kind, _, rest = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    match kind.lower():
        case "bearer":
            return _by_token(request, rest.strip())
        case "basic":
            user, password = _basic(rest)
            if request.headers.get("Sec-Fetch-Site") == "cross-site" and request.method not in _SAFE:
                raise _foreign()  # a browser that remembers a password sends it along with any page's request
            # A password that somebody chose can be guessed, so it is not even looked at once an address has guessed too
            # often.
            may_guess = not request.app[TRIES].exhausted(request.remote or "")
            if needed == "seed" and may_guess and _is_seed_user(request, user, password):
                return Caller("seed", "the seed's API user", "seed", (context_of(request).person,))
            return _by_token(request, password)
        case _:
            token = _cookie(request)
            if not token:
                return None
            _refuse_foreign_pages(request)
            return _by_token(request, token)


def _basic(encoded: str) -> tuple[str, str]:
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password


def _is_seed_user(request: web.Request, user: str, password: str) -> bool:
    seed = context_of(request).legacy
    if not seed.username:
        return False
    same_user = hmac.compare_digest(user.encode(), seed.username.encode())
    return hmac.compare_digest(hash_of(password), seed.password_sha256) and same_user


def _by_token(request: web.Request, token: str) -> Caller | None:
    context = context_of(request)
    issued: TokenIssued | None = context.catalog.token_by_hash(hash_of(token)) if token else None
    if issued is None or not hmac.compare_digest(issued.sha256, hash_of(token)):
        return None
    if issued.expires is not None and ms(issued.expires) <= context.clock.now_ms():
        return None
    return Caller(issued.token_id, issued.name, issued.role, issued.bound_to)


def _refuse_foreign_pages(request: web.Request) -> None:
    """A cookie is sent by any page the browser shows; a write must come from ours (SameSite=Strict is the first
    net).
    """
    if request.method in _SAFE:
        return
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get(hdrs.ORIGIN)
    same = origin is None or origin == f"{request.scheme}://{request.host}"
    if site not in (None, "same-origin", "none") or not same:
        raise _foreign()


def _foreign() -> ProblemError:
    return ProblemError(403, "This write comes from another site's page, so it is refused.")
