"""Entries: doses, carbs, notes, finger-sticks, exercise. Written to the log, read from the catalog."""

import asyncio
import json
from functools import partial
from typing import Annotated, Any

from aiohttp import web
from pydantic import BeforeValidator, Field

from api.request.auth import door_of
from api.request.context import ApiContext, context_of
from api.request.openapi import Routes, answered
from api.request.problems import ProblemError
from api.request.values import Asked, Flag, RangeQuery, WaitQuery, Whole, cursor_values, iso, next_cursor
from api.v1.answers.entries import (
    Entries,
    EntryConflictShown,
    EntryHistory,
    EntryRevisionShown,
    EntryShown,
    EntryWritten,
)
from api.v1.answers.parts import at
from api.v1.bodies import EntryPatched, EntryPosted, fact_of, shown
from processors.entries import TYPES, EntryVersion, data_of
from processors.profiles import action_of, proper_name
from schemas.identity import digest
from schemas.model import Name
from schemas.units import mgdl
from streams.commands import entries as commands
from streams.errors import SeriesUnavailable
from streams.ports.log import Position

routes = Routes("entries")
_changes = partial(routes.route, role="writer", status=202, errors=(404, 409, 507), result=EntryWritten, also=(201,))

_KEY = (("Idempotency-Key", "Any text that names this write; sent again with it, it is the same write.", True),)


class EntriesQuery(RangeQuery):
    """Which entries."""

    kind: Annotated[
        tuple[str, ...],
        BeforeValidator(lambda v: tuple(v.split(",")) if isinstance(v, str) else tuple(v)),
        Field(max_length=8),
    ] = ()
    deleted: Flag = False


class EntryPath(Asked):
    """Which entry."""

    id: Name


class RevisionQuery(WaitQuery):
    """The revision that was seen."""

    revision: Annotated[Whole, Field(ge=1)] | None = None


class RevisionPosted(Asked):
    """The revision that was seen."""

    revision: Annotated[int, Field(ge=1)] | None = None


@routes.route("GET", "/v1/entries", role="reader")
async def get_entries(request: web.Request, query: EntriesQuery) -> Entries:
    """Entries of a range, oldest first; `kind` may name several, with commas."""
    context = context_of(request)
    for kind in query.kind:
        if kind not in TYPES:
            raise ProblemError(422, f"knows no kind {kind!r}; there are {', '.join(sorted(TYPES))}", field="kind")
    start, to = query.bounds(context.clock.now_ms())
    after = cursor_values(query.cursor, [-1, ""])
    found = context.catalog.entries(
        context.person, start, to, query.limit + 1, kinds=query.kind, after=(after[0], after[1]), deleted=query.deleted
    )
    items = found[: query.limit]
    more = next_cursor([items[-1].time_ms, items[-1].id]) if len(found) > query.limit else None
    return Entries(items=[_with_creation(context, entry) for entry in items], next_cursor=more)


def _with_creation(context: ApiContext, entry: EntryVersion) -> EntryShown:
    created = context.catalog.created(entry.id)
    return shown(entry, created_ms=created.recorded_ms if created else None)


@_changes("POST", "/v1/entries", errors=(400, 409, 507), headers=_KEY)
async def post_entry(request: web.Request, query: WaitQuery, body: EntryPosted) -> web.Response:
    """Log a dose, carbs, a note, a finger-stick or exercise.

    The same Idempotency-Key with the same body is the same entry; with another body it is a 409. A dose that looks like
    a mistake is answered 409 `needs_confirm`; send it again with the same key and `confirm`.
    """
    context, door = context_of(request), door_of(request)
    key = request.headers.get("Idempotency-Key", "").strip()
    if not 1 <= len(key) <= 200:
        raise ProblemError(
            400, "The header Idempotency-Key is missing or longer than 200 characters.", field="Idempotency-Key"
        )
    stated = body.model_dump(mode="json", exclude={"confirm"}, exclude_none=True)
    told = digest(json.dumps(stated, sort_keys=True).encode())
    fact = fact_of(body, context.catalog.profile(context.person))
    made = await commands.log_entry(door, key, told, fact, time_ms=body.time, confirmed=body.confirm)
    return await written(context, made, wait=query.wait)


async def written(context: ApiContext, made: commands.Written, *, wait: bool) -> web.Response:
    """202 once the log has it; 201 if it was asked to wait and it can be read back."""
    status, position = 202, made.position
    if wait and position and not made.repeated:
        there = await context.catalog.caught_up() and await in_series(context, position)
        status = 201 if there else 202
    said = EntryWritten(id=made.entry_id, position=at(position) if position is not None else None)
    return answered(said, status)


async def in_series(context: ApiContext, position: Position, within_s: float = 1.0) -> bool:
    """Whether the Series has seen a position before the time was over."""
    try:
        async with asyncio.timeout(within_s):
            while (await context.series.position()).get((position.topic, position.partition), 0) <= position.offset:
                await asyncio.sleep(0.01)
    except (SeriesUnavailable, TimeoutError):
        return False  # it is in the log all the same
    return True


# -- one entry -------------------------------------------------------------------------------------


@routes.route("GET", "/v1/entries/{id}", role="reader", errors=(404,))
async def get_entry(request: web.Request, path: EntryPath) -> EntryShown:
    """One entry as it is now, deleted or not."""
    return _with_creation(context_of(request), await commands.find_entry(door_of(request), path.id))


@routes.route("GET", "/v1/entries/{id}/history", role="reader", errors=(404,))
async def get_entry_history(request: web.Request, path: EntryPath) -> EntryHistory:
    """Every version of an entry, oldest first, and changes that came too late to be applied."""
    context = context_of(request)
    entry = await commands.find_entry(door_of(request), path.id)
    items = [
        EntryRevisionShown(
            revision=row.revision,
            kind=row.kind,
            time=iso(row.time_ms),
            time_ms=row.time_ms,
            deleted=row.deleted,
            recorded_time=iso(row.recorded_ms),
            by=row.actor,
            **row.data,
        )
        for row in context.catalog.history(entry.id)
    ]
    conflicts = [
        EntryConflictShown(revision=c.revision, recorded_time=c.recorded_time, by=c.actor, type=c.type)
        for c in context.catalog.conflicts(entry.id)
    ]
    return EntryHistory(items=items, conflicts=conflicts, next_cursor=None)


@_changes("PATCH", "/v1/entries/{id}")
async def patch_entry(request: web.Request, path: EntryPath, query: WaitQuery, body: EntryPatched) -> web.Response:
    """Change an entry. The old version stays in its history."""
    context, door = context_of(request), door_of(request)
    entry = await commands.find_entry(door, path.id)
    data = _changed(context, entry, body)
    asks = not body.confirm and bool({"units", "insulin", "time"} & body.model_fields_set)
    made = await commands.correct_entry(door, entry, body.revision, data, time_ms=body.time, asks=asks)
    return await written(context, made, wait=query.wait)


def _changed(context: ApiContext, entry: EntryVersion, body: EntryPatched) -> dict[str, Any]:
    change = body.model_dump(mode="json", exclude={"revision", "time", "confirm"}, exclude_unset=True)
    if "glucose_mmol" in change and change["glucose_mmol"] is not None:
        if change.get("glucose_mgdl") is not None:
            raise ProblemError(422, "give either glucose_mgdl or glucose_mmol", field="glucose_mmol")
        change["glucose_mgdl"] = mgdl(change["glucose_mmol"])
    change.pop("glucose_mmol", None)
    if change.get("insulin") and entry.kind == "insulin":
        insulins = context.catalog.profile(context.person).insulins
        change["action"] = action_of(change["insulin"], insulins)
        change["insulin"] = proper_name(change["insulin"], insulins)
    return {key: value for key, value in {**data_of(entry), **change}.items() if value is not None}


@_changes("DELETE", "/v1/entries/{id}")
async def delete_entry(request: web.Request, path: EntryPath, query: RevisionQuery) -> web.Response:
    """Delete an entry. Its history stays, and it can be undone."""
    door = door_of(request)
    made = await commands.delete_entry(door, await commands.find_entry(door, path.id), query.revision)
    return await written(context_of(request), made, wait=query.wait)


@_changes("POST", "/v1/entries/{id}/undo")
async def undo_entry(request: web.Request, path: EntryPath, query: WaitQuery, body: RevisionPosted) -> web.Response:
    """Take the last change or deletion back: the entry is again as it was before it."""
    door = door_of(request)
    made = await commands.undo_entry(door, await commands.find_entry(door, path.id), body.revision)
    return await written(context_of(request), made, wait=query.wait)
