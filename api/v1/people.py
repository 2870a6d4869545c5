"""People: whom iv3 knows, as far as a token may see them; who is added, suspended and taken up again. Their accounts
are not entered here: passwords go through `iv3 person add`, into an encrypted file.
"""

from typing import Annotated

from aiohttp import web
from pydantic import Field

from api.request.auth import caller_of, door_of
from api.request.context import ApiContext, context_of
from api.request.openapi import Routes
from api.request.problems import ProblemError
from api.request.values import Asked, Whole, cursor_values, iso, next_cursor
from api.v1.answers.people import PeopleListed, PersonRow, PersonWatched
from processors.readings import STALE_S
from schemas.envelope import SYSTEM
from schemas.facts import ProfileChanged
from schemas.model import PersonId
from schemas.units import Unit, mmol
from streams.commands import people as commands

routes = Routes("people")

MOST_PEOPLE = 1_000


class PeopleQuery(Asked):
    """How many, and behind whom."""

    limit: Annotated[Whole, Field(ge=1, le=MOST_PEOPLE)] = 200
    cursor: Annotated[str, Field(max_length=400)] | None = None


class PersonPosted(Asked):
    """A person to watch."""

    id: PersonId
    name: Annotated[str, Field(max_length=80)] = ""
    birth_year: Annotated[int, Field(ge=1900, le=2100)] | None = None
    unit: Unit = "mmol/L"


class PersonPath(Asked):
    """Which person."""

    id: PersonId


def people_seen(context: ApiContext, people: tuple[str, ...]) -> int:
    """How many people a token opens."""
    return len(people) or max(1, context.catalog.count_people())


@routes.route("GET", "/v1/people", role="now", of_person=False)
async def get_people(request: web.Request, query: PeopleQuery) -> PeopleListed:
    """Everybody whom this token opens, by id, with the newest reading of each."""
    context, caller = context_of(request), caller_of(request)
    known = context.catalog.people()
    known.setdefault(context.person, True)
    behind = cursor_values(query.cursor, [""])[0]
    opened = (name for name in known if name != SYSTEM and (not caller.people or name in caller.people))
    names = sorted(name for name in opened if name > behind)
    found = names[: query.limit]
    items = [_row(context, name, watched=known[name]) for name in found]
    return PeopleListed(items=items, next_cursor=next_cursor([found[-1]]) if len(names) > query.limit else None)


def _row(context: ApiContext, person: str, *, watched: bool) -> PersonRow:
    newest, _ = context.catalog.newest_reading(person)
    age_ms = context.clock.now_ms() - newest.time_ms if newest is not None else None
    return PersonRow(
        id=person,
        name=context.catalog.profile(person).name or person,
        watched=watched,
        default=person == context.person,
        time=iso(newest.time_ms) if newest is not None else None,
        time_ms=newest.time_ms if newest is not None else None,
        glucose_mgdl=newest.glucose_mgdl if newest is not None else None,
        glucose_mmol=mmol(newest.glucose_mgdl) if newest is not None else None,
        trend=newest.trend if newest is not None else None,
        stale=age_ms is None or age_ms >= STALE_S * 1000,
        alerts=context.catalog.count_open_episodes(person),
    )


@routes.route("POST", "/v1/people", role="owner", status=201, errors=(409, 507), of_person=False)
async def post_person(request: web.Request, body: PersonPosted) -> PersonWatched:
    """Watch a person from now on. Readings come by upload, or from the account that `iv3 person add` is told."""
    _of_everybody(request)
    if body.id == context_of(request).person:
        raise ProblemError(409, "There is a person with this id already.", field="id")
    profile = ProfileChanged(name=body.name or body.id, unit=body.unit, birth_year=body.birth_year)
    await commands.add_person(door_of(request, person=body.id), body.name, profile)
    return PersonWatched(id=body.id, watched=True)


@routes.route("POST", "/v1/people/{id}/suspend", role="owner", status=202, errors=(404, 507), of_person=False)
async def suspend_person(request: web.Request, path: PersonPath) -> PersonWatched:
    """Neither ask for this person's readings nor alarm for them any more. The history stays."""
    _of_everybody(request)
    await commands.suspend_person(door_of(request, person=path.id))
    return PersonWatched(id=path.id, watched=False)


@routes.route("POST", "/v1/people/{id}/resume", role="owner", status=202, errors=(404, 507), of_person=False)
async def resume_person(request: web.Request, path: PersonPath) -> PersonWatched:
    """Watch a person again."""
    _of_everybody(request)
    await commands.resume_person(door_of(request, person=path.id))
    return PersonWatched(id=path.id, watched=True)


def _of_everybody(request: web.Request) -> None:
    if caller_of(request).people:
        raise ProblemError(
            403, "This token is bound to people; who is watched is for an owner of the whole house to say."
        )
