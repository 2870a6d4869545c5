"""The nine routes of the Go iv3, as existing Retool apps use them, on the same log. What it did wrong is put right:
real status codes, JSON types, half units, two doses of one second kept apart. See docs/reference/seed-routes.md.
"""

import json
import re
from typing import Annotated

from aiohttp import web
from pydantic import Field, ValidationError

from api.request.auth import door_of
from api.request.context import ApiContext, context_of
from api.request.openapi import open_to
from api.request.problems import Handler, ProblemError, field_errors
from api.request.values import Asked, iso
from processors.entries import EntryVersion
from processors.legacy.day_to_day import day_to_day
from processors.profiles import action_of, proper_name
from schemas.facts import CarbsEaten, InsulinTaken
from schemas.model import Fact, Grams, InsulinUnits, Name
from streams.commands.entries import delete_entries, log_without_key

_SOURCE = "seed-api"
_MOST_ROWS = 500_000


_SECONDS = re.compile(r"-?[0-9]{1,12}")


class InsulinWritten(Asked):
    """The body of `/insulin/write`."""

    value: InsulinUnits
    type: Name
    ts: Annotated[int, Field(ge=0, le=253_402_300_799)]


class CarbsWritten(Asked):
    """The body of `/carbs/write`."""

    value: Grams
    ts: Annotated[int, Field(ge=0, le=253_402_300_799)]


def _range(request: web.Request) -> tuple[int, int]:
    """[start, end) in milliseconds, from unix seconds."""
    bounds = []
    for name in ("start", "end"):
        text = request.query.get(name)
        if text is None:
            raise ProblemError(400, f"{name} is missing: give start and end in unix seconds.", field=name)
        if not _SECONDS.fullmatch(text):
            raise ProblemError(400, f"{name} is no whole number of unix seconds.", field=name)
        bounds.append(int(text) * 1000)
    return bounds[0], bounds[1]


def _number(value: float) -> float | int:
    """Whole where it is whole, as the seed's integers were."""
    return int(value) if value == int(value) else value


async def get_config(request: web.Request) -> web.Response:
    """The configuration, secrets always empty."""
    return web.json_response(dict(context_of(request).legacy.config))


async def get_glucose(request: web.Request) -> web.Response:
    """Readings of [start, end), oldest first."""
    context = context_of(request)
    start, end = _range(request)
    rows = await context.series.readings(context.person, start, end, _MOST_ROWS)
    said = ",".join(
        f'{{"WT":"","Value":{_number(r.glucose_mgdl)},"Trend":{json.dumps(r.trend or "")},"Time":"{iso(r.time_ms)}"}}'
        for r in rows
    )
    return web.Response(text=f"[{said}]", content_type="application/json")


def _entries(context: ApiContext, kind: str, start: int, end: int) -> list[EntryVersion]:
    return context.catalog.entries(context.person, start, end, _MOST_ROWS, kinds=(kind,))


async def get_insulin(request: web.Request) -> web.Response:
    """Doses grouped by insulin, then by time, as InfluxDB's tables came."""
    entries = _entries(context_of(request), "insulin", *_range(request))
    doses = [(e.data.insulin, e.time_ms, e.data.units) for e in entries if isinstance(e.data, InsulinTaken)]
    doses.sort(key=lambda dose: dose[:2])
    return web.json_response([{"Value": _number(u), "Type": name, "Time": iso(at)} for name, at, u in doses])


async def get_carbs(request: web.Request) -> web.Response:
    """Carbs of [start, end)."""
    entries = _entries(context_of(request), "carbs", *_range(request))
    meals = [(e.time_ms, e.data.grams) for e in entries if isinstance(e.data, CarbsEaten)]
    return web.json_response([{"Value": _number(grams), "Time": iso(at)} for at, grams in meals])


async def write_insulin(request: web.Request) -> web.Response:
    """Log a dose. An equal one within 30 s is the same, sent again."""
    context = context_of(request)
    body = InsulinWritten.model_validate_json(await request.read())
    insulins = context.catalog.profile(context.person).insulins
    name = proper_name(body.type, insulins)
    fact = InsulinTaken(units=body.value, insulin=name, action=action_of(name, insulins))
    return await _write(request, fact, "insulin", body.ts, body.value, name)


async def write_carbs(request: web.Request) -> web.Response:
    """Log carbs. Equal ones within 30 s are the same, sent again."""
    body = CarbsWritten.model_validate_json(await request.read())
    return await _write(request, CarbsEaten(grams=body.value), "carbs", body.ts, body.value, "")


async def _write(request: web.Request, fact: Fact, kind: str, time_s: int, value: float, name: str) -> web.Response:
    await log_without_key(door_of(request, source=_SOURCE), fact, kind, time_s, value, name)
    return web.Response(status=200, content_type="application/json")


def _deletion(kind: str) -> Handler:
    async def delete_range(request: web.Request) -> web.Response:
        """Delete every entry of [start, end): one event for each, so that each can be undone."""
        door = door_of(request, source=_SOURCE)
        await door.refuse_unread("iv3 is still reading its log; nothing was deleted, send it again.")
        await delete_entries(door, _entries(context_of(request), kind, *_range(request)), "seed-delete")
        return web.Response(status=200, content_type="application/json")

    return delete_range


async def get_dtd(request: web.Request) -> web.Response:
    """Mean, time in range, and the mean of each 5-min slot of the UTC day."""
    context = context_of(request)
    start, end = _range(request)
    rows = await context.series.readings(context.person, start, end, _MOST_ROWS)
    values = ((r.time_ms, r.glucose_mgdl) for r in rows)
    report = day_to_day(values, context.legacy.low_mgdl, context.legacy.high_mgdl)
    slots = [_number(mean_mgdl) for mean_mgdl in report.slot_means_mgdl]
    return web.json_response({"Average": report.mean_mgdl or 0, "InRange": report.in_range or 0, "DtdAvg": slots})


def _as_problems(handler: Handler) -> Handler:
    async def serve(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except ValidationError as error:
            errors = field_errors(error)
            raise ProblemError(422, f"{errors[0].field}: {errors[0].message}", errors=errors) from None

    return open_to("seed", serve)


def add_legacy_routes(app: web.Application) -> None:
    """The documented method of each route, and POST for the deletes, as some Retool apps send it."""
    for method, path, handler in (
        ("GET", "/config", get_config),
        ("GET", "/glucose", get_glucose),
        ("GET", "/insulin", get_insulin),
        ("POST", "/insulin/write", write_insulin),
        ("DELETE", "/insulin/delete", _deletion("insulin")),
        ("POST", "/insulin/delete", _deletion("insulin")),
        ("GET", "/carbs", get_carbs),
        ("POST", "/carbs/write", write_carbs),
        ("DELETE", "/carbs/delete", _deletion("carbs")),
        ("POST", "/carbs/delete", _deletion("carbs")),
        ("GET", "/dtd", get_dtd),
    ):
        app.router.add_route(method, path, _as_problems(handler))
