"""The profile: unit, zone, limits, insulins. A change is an event; reports of the past keep the profile of the past."""

from typing import Annotated, Any
from zoneinfo import available_timezones

from aiohttp import web
from pydantic import AfterValidator, Field

from api.request.auth import door_of
from api.request.context import context_of
from api.request.openapi import Routes
from api.request.values import Asked
from schemas.facts import Action, ProfileChanged
from schemas.units import Unit
from streams.commands.profile import replace_profile

routes = Routes()


def _known_zone(zone: str | None) -> str | None:
    if zone is not None and zone not in available_timezones():
        raise ValueError("is no IANA time zone; write it like Europe/Berlin")
    return zone


class InsulinPut(Asked):
    """One insulin."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    action: Action
    duration_min: Annotated[float, Field(gt=0, le=5000)]
    peak_min: Annotated[float, Field(ge=0, le=2500)] = 0
    every_h: Annotated[float, Field(gt=0, le=168)] | None = None


class LimitsPut(Asked):
    """The limits, mg/dL."""

    urgent_low_mgdl: Annotated[float, Field(ge=40, le=80)] = 55
    low_mgdl: Annotated[float, Field(ge=50, le=120)] = 70
    high_mgdl: Annotated[float, Field(ge=100, le=400)] = 180
    very_high_mgdl: Annotated[float, Field(ge=150, le=400)] = 250
    predicted_low_mgdl: Annotated[float, Field(ge=40, le=150)] = 70
    high_alarm_mgdl: Annotated[float, Field(ge=100, le=400)] = 240


class ProfilePut(Asked):
    """The whole profile."""

    name: Annotated[str, Field(max_length=80)] = ""
    unit: Unit
    zone: Annotated[str | None, AfterValidator(_known_zone)] = None
    birth_year: Annotated[int, Field(ge=1900, le=2100)] | None = None
    limits: LimitsPut = LimitsPut()
    insulins: Annotated[list[InsulinPut], Field(max_length=20, default_factory=list)]
    no_long_acting_h: Annotated[float, Field(ge=0, le=168)] = 0
    max_rapid_units: Annotated[float, Field(gt=0, le=100)] = 15


@routes.route("GET", "/v1/profile", role="reader", tags=("profile",))
async def get_profile(request: web.Request) -> dict[str, Any]:
    """The profile as it is now."""
    context = context_of(request)
    return context.catalog.profile(context.person).model_dump(mode="json", exclude={"config_digest"})


@routes.route("PUT", "/v1/profile", role="owner", status=202, tags=("profile",), errors=(507,))
async def put_profile(request: web.Request, body: ProfilePut) -> dict[str, Any]:
    """Replace the profile, effective from now. It holds until it is replaced again or config.yaml changes."""
    profile = ProfileChanged.model_validate_json(body.model_dump_json())
    name, position = await replace_profile(door_of(request), profile)
    return {"id": name, "position": position._asdict()}
