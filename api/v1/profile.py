"""The profile: unit, zone, limits, insulins. A change is an event; reports of the past keep the profile of the past."""

from typing import Annotated
from zoneinfo import available_timezones

from aiohttp import web
from pydantic import AfterValidator, Field

from api.request.auth import door_of
from api.request.context import context_of
from api.request.openapi import Routes
from api.v1.answers.parts import at
from api.v1.answers.people import ProfileWritten
from schemas.facts import Insulin, Profile, ProfileChanged
from schemas.units import Unit
from streams.commands.profile import replace_profile

routes = Routes("profile")


def _known_zone(zone: str | None) -> str | None:
    if zone is not None and zone not in available_timezones():
        raise ValueError("is no IANA time zone; write it like Europe/Berlin")
    return zone


class ProfilePut(Profile):
    """The whole profile; its limits are those of the fact that it becomes."""

    unit: Unit
    zone: Annotated[str | None, AfterValidator(_known_zone)] = None
    insulins: Annotated[tuple[Insulin, ...], Field(max_length=20)] = ()


@routes.route("GET", "/v1/profile", role="reader")
async def get_profile(request: web.Request) -> Profile:
    """The profile as it is now."""
    context = context_of(request)
    profile = context.catalog.profile(context.person)
    return Profile(**{name: value for name, value in profile if name in Profile.model_fields})


@routes.route("PUT", "/v1/profile", role="owner", status=202, errors=(507,))
async def put_profile(request: web.Request, body: ProfilePut) -> ProfileWritten:
    """Replace the profile, effective from now. It holds until it is replaced again or config.yaml changes."""
    name, position = await replace_profile(door_of(request), ProfileChanged(**dict(body)))
    return ProfileWritten(id=name, position=at(position))
