"""People: whom iv3 knows, as far as a token may see them; who is added, suspended and taken up again. Their accounts are not entered here:
passwords go through `iv3 person add`, into an encrypted file.
"""

from typing import Annotated, Any

from aiohttp import web
from pydantic import Field

from api.request.auth import Caller, caller_of
from api.request.context import ApiContext, context_of
from api.request.openapi import Routes
from api.request.problems import ProblemError
from api.request.values import Asked, Whole, cursor_values, iso, next_cursor
from schemas.envelope import SYSTEM
from schemas.facts import PersonAdded, PersonSuspended, ProfileChanged
from schemas.model import Fact
from schemas.units import Unit, mmol
from streams.commands.people import coming_and_going
from streams.ports.log import append_events
from streams.topics import JOURNAL

routes = Routes()

PersonId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")]
MOST_PEOPLE = 1_000
_STALE_MS = 15 * 60_000


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


def people_seen(where: ApiContext, people: tuple[str, ...]) -> int:
    """How many people a token opens."""
    return len(people) or max(1, where.catalog.store.count_people())


@routes.route("GET", "/v1/people", role="now", tags=("people",), of_person=False)
async def get_people(request: web.Request, query: PeopleQuery) -> dict[str, Any]:
    """Everybody whom this token opens, by id, with the newest reading of each."""
    where, caller = context_of(request), caller_of(request)
    known = where.catalog.store.people()
    known.setdefault(where.person, True)
    behind = cursor_values(query.cursor, [""])[0]
    names = sorted(
        name for name in known if name != SYSTEM and name > behind and (not caller.people or name in caller.people)
    )
    found = names[: query.limit]
    items = [_row(where, name, watched=known[name]) for name in found]
    return {"items": items, "next_cursor": next_cursor([found[-1]]) if len(names) > query.limit else None}


def _row(where: ApiContext, person: str, *, watched: bool) -> dict[str, Any]:
    newest, _ = where.catalog.newest_reading(person)
    age_ms = where.clock.now_ms() - newest.time_ms if newest is not None else None
    return {
        "id": person,
        "name": where.catalog.store.profile(person).name or person,
        "watched": watched,
        "default": person == where.person,
        "time": iso(newest.time_ms) if newest is not None else None,
        "time_ms": newest.time_ms if newest is not None else None,
        "glucose_mgdl": newest.glucose_mgdl if newest is not None else None,
        "glucose_mmol": mmol(newest.glucose_mgdl) if newest is not None else None,
        "trend": newest.trend if newest is not None else None,
        "stale": age_ms is None or age_ms >= _STALE_MS,
        "alerts": len(where.catalog.store.open_episodes(person)),
    }


@routes.route("POST", "/v1/people", role="owner", status=201, tags=("people",), errors=(409, 507), of_person=False)
async def post_person(request: web.Request, body: PersonPosted) -> dict[str, Any]:
    """Watch a person from now on. Readings come by upload, or from the account that `iv3 person add` is told."""
    where, caller = context_of(request), _of_everybody(request)
    await where.catalog.caught_up()
    if where.catalog.store.people().get(body.id) is not None or body.id == where.person:
        raise ProblemError(409, "There is a person with this id already.", field="id")
    profile = ProfileChanged(name=body.name or body.id, unit=body.unit, birth_year=body.birth_year)
    await _say(where, body.id, caller.name, PersonAdded(name=body.name), profile)
    return {"id": body.id, "watched": True}


@routes.route(
    "POST", "/v1/people/{id}/suspend", role="owner", status=202, tags=("people",), errors=(404, 507), of_person=False
)
async def suspend_person(request: web.Request, path: PersonPath) -> dict[str, Any]:
    """Neither ask for this person's readings nor alarm for them any more. The history stays."""
    where, caller = context_of(request), _of_everybody(request)
    _refuse_unknown(where, path.id)
    await _say(where, path.id, caller.name, PersonSuspended())
    return {"id": path.id, "watched": False}


@routes.route(
    "POST", "/v1/people/{id}/resume", role="owner", status=202, tags=("people",), errors=(404, 507), of_person=False
)
async def resume_person(request: web.Request, path: PersonPath) -> dict[str, Any]:
    """Watch a person again."""
    where, caller = context_of(request), _of_everybody(request)
    _refuse_unknown(where, path.id)
    await _say(where, path.id, caller.name, PersonAdded(name=where.catalog.store.profile(path.id).name))
    return {"id": path.id, "watched": True}


def _refuse_unknown(where: ApiContext, person: str) -> None:
    if not where.catalog.store.knows(person):
        raise ProblemError(404, "iv3 knows no person with this id.", field="id")


def _of_everybody(request: web.Request) -> Caller:
    caller = caller_of(request)
    if caller.people:
        raise ProblemError(
            403, "This token is bound to people; who is watched is for an owner of the whole house to say."
        )
    return caller


async def _say(where: ApiContext, person: str, actor: str, *facts: Fact) -> None:
    await append_events(where.log, JOURNAL, coming_and_going(person, where.clock.now_ms(), "api", actor, *facts))
    await where.catalog.caught_up()
