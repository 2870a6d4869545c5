"""Tokens: one per device and person, shown once, revoked at once."""

from collections.abc import Iterator
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field

from api.request.auth import caller_of
from api.request.context import context_of
from api.request.openapi import Routes
from api.request.problems import ProblemError
from api.request.values import Asked, MomentMs, iso
from api.v1.people import PersonId
from schemas.envelope import Event
from schemas.facts import Role, TokenIssued
from schemas.model import ms
from streams.commands.tokens import issue, revocation
from streams.ports.log import append_events
from streams.topics import JOURNAL

routes = Routes()


class TokenPosted(Asked):
    """A token to make."""

    role: Role
    name: Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$")]
    people: Annotated[
        tuple[PersonId, ...], Field(max_length=1_000)
    ] = ()  # whom it is bound to; nobody: it opens everybody's
    expires: MomentMs | None = None


class TokenPath(Asked):
    """Which token."""

    id: Annotated[str, Field(min_length=1, max_length=80)]


@routes.route("GET", "/v1/tokens", role="owner", tags=("tokens",), of_person=False)
async def get_tokens(request: web.Request) -> dict[str, Any]:
    """Every token that was made, without the tokens themselves."""
    items = []
    for event, data, revoked in _seen_by(request):
        items.append({
                "id": data.token_id, "name": data.name, "role": data.role, "people": list(data.bound_to), "revoked": revoked,
                "created": iso(event.time_ms),
                "expires": iso(ms(data.expires)) if data.expires else None,
            })  # fmt: skip
    return {"items": items, "next_cursor": None}


def _seen_by(request: web.Request) -> Iterator[tuple[Event, TokenIssued, bool]]:
    """Tokens that open nothing beyond what the caller's own does."""
    mine = frozenset(caller_of(request).people)
    for event, revoked in context_of(request).catalog.store.tokens():
        data = event.data
        if isinstance(data, TokenIssued) and (not mine or (data.bound_to and mine.issuperset(data.bound_to))):
            yield event, data, revoked


@routes.route("POST", "/v1/tokens", role="owner", status=201, tags=("tokens",), of_person=False, errors=(507,))
async def post_token(request: web.Request, body: TokenPosted) -> dict[str, Any]:
    """Make a token. It is shown in this answer and never again."""
    where = context_of(request)
    caller = caller_of(request)
    people = body.people or caller.people
    if caller.people and not set(people) <= set(caller.people):
        raise ProblemError(403, "A token that is bound to people can make one for these people only.", field="people")
    unknown = [person for person in people if person != where.person and not where.catalog.store.knows(person)]
    if unknown:
        raise ProblemError(422, f"iv3 knows no person {unknown[0]}.", field="people")
    token, event = issue(
        body.role, body.name, where.clock.now_ms(), people=people, expires_ms=body.expires, actor=caller.name
    )
    await append_events(where.log, JOURNAL, [event])
    await where.catalog.caught_up()
    data = event.data
    return {
        "id": data.token_id if isinstance(data, TokenIssued) else "",
        "token": token,
        "role": body.role,
        "name": body.name,
        "people": list(people),
    }


@routes.route(
    "DELETE", "/v1/tokens/{id}", role="owner", status=202, tags=("tokens",), of_person=False, errors=(404, 507)
)
async def delete_token(request: web.Request, path: TokenPath) -> dict[str, Any]:
    """Revoke a token; it opens nothing any more once this is answered."""
    where = context_of(request)
    known = {token.token_id for _, token, _ in _seen_by(request)}
    if path.id not in known:
        raise ProblemError(404, "There is no token with this id.", field="id")
    await append_events(where.log, JOURNAL, [revocation(path.id, where.clock.now_ms(), caller_of(request).name)])
    await where.catalog.caught_up()
    return {"id": path.id, "revoked": True}
