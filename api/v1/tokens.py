"""Tokens: one per device and person, shown once, revoked at once."""

from collections.abc import Iterator
from typing import Annotated

from aiohttp import web
from pydantic import Field

from api.request.auth import caller_of, door_of
from api.request.context import context_of
from api.request.openapi import Routes
from api.request.problems import ProblemError
from api.request.values import Asked, MomentMs, iso
from api.v1.answers.people import TokenMade, TokenRevocation, TokenRow, Tokens
from schemas.facts import Role
from schemas.model import Name, PersonId, ms
from streams.commands.tokens import issue_token, revoke_token
from streams.ports.catalog import TokenRecord

routes = Routes("tokens")


class TokenPosted(Asked):
    """A token to make."""

    role: Role
    name: Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$")]
    # Whom it is bound to; nobody: it opens everybody's.
    people: Annotated[tuple[PersonId, ...], Field(max_length=1_000)] = ()
    expires: MomentMs | None = None


class TokenPath(Asked):
    """Which token."""

    id: Name


@routes.route("GET", "/v1/tokens", role="owner", of_person=False)
async def get_tokens(request: web.Request) -> Tokens:
    """Every token that was made, without the tokens themselves."""
    items = [
        TokenRow(
            id=token.token_id,
            name=token.name,
            role=token.role,
            people=list(token.bound_to),
            revoked=revoked,
            created=iso(created_ms),
            expires=iso(ms(token.expires)) if token.expires else None,
        )
        for token, created_ms, revoked in _seen_by(request)
    ]
    return Tokens(items=items, next_cursor=None)


def _seen_by(request: web.Request) -> Iterator[TokenRecord]:
    """Tokens that open nothing beyond what the caller's own does."""
    mine = frozenset(caller_of(request).people)
    for record in context_of(request).catalog.tokens():
        bound = record.token.bound_to
        if not mine or (bound and mine.issuperset(bound)):
            yield record


@routes.route("POST", "/v1/tokens", role="owner", status=201, of_person=False, errors=(507,))
async def post_token(request: web.Request, body: TokenPosted) -> TokenMade:
    """Make a token. It is shown in this answer and never again."""
    context = context_of(request)
    caller = caller_of(request)
    people = body.people or caller.people
    if caller.people and not set(people) <= set(caller.people):
        raise ProblemError(403, "A token that is bound to people can make one for these people only.", field="people")
    unknown = [person for person in people if person != context.person and not context.catalog.knows(person)]
    if unknown:
        raise ProblemError(422, f"iv3 knows no person {unknown[0]}.", field="people")
    made = await issue_token(door_of(request), body.role, body.name, people=people, expires_ms=body.expires)
    return TokenMade(id=made.token_id, token=made.secret, role=body.role, name=body.name, people=list(people))


@routes.route("DELETE", "/v1/tokens/{id}", role="owner", status=202, of_person=False, errors=(404, 507))
async def delete_token(request: web.Request, path: TokenPath) -> TokenRevocation:
    """Revoke a token; it opens nothing any more once this is answered."""
    if path.id not in {record.token.token_id for record in _seen_by(request)}:
        raise ProblemError(404, "There is no token with this id.", field="id")
    await revoke_token(door_of(request), path.id)
    return TokenRevocation(id=path.id, revoked=True)
