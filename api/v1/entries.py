"""Entries: doses, carbs, notes, finger-sticks, exercise. Written to the log, read from the catalog."""

import asyncio
import json
import re
from typing import Annotated, Any

from aiohttp import web
from pydantic import BeforeValidator, Field

from api.request.auth import caller_of
from api.request.context import ApiContext, context_of
from api.request.openapi import Routes
from api.request.problems import ProblemError
from api.request.values import (
    Asked,
    Flag,
    RangeQuery,
    WaitQuery,
    Whole,
    cursor_values,
    iso,
    next_cursor,
    refuse_odd_time,
)
from api.v1.bodies import EntryPatched, EntryPosted, InsulinPosted, fact_of, shown
from api.v1.guards import ask_about
from processors.entries import TYPES, EntryVersion, content_of, data_of
from processors.profiles import action_of, proper_name
from schemas.envelope import Event, make
from schemas.facts import Entry, EntryCorrected, EntryDeleted, EntryRestored, InsulinTaken
from schemas.identity import change_id, digest, entry_id, request_key
from schemas.model import Fact, at_ms
from schemas.units import mgdl
from streams.errors import SeriesUnavailable
from streams.ports.log import Position, append_events
from streams.topics import JOURNAL

routes = Routes()

# Two people who write the key "1" mean two entries, so a key counts within its token. A UUID is nobody else's: the phone that kept an entry over
# a new sign-in sends it under another token, and it is the same entry all the same (docs/decisions/0006-random-keys.md).
_RANDOM_KEY = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
GUARD_BACK_MS = 8 * 86_400_000
LOCKS: web.AppKey[dict[str, asyncio.Lock]] = web.AppKey("entry-locks", dict)
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

    id: Annotated[str, Field(min_length=1, max_length=80)]


class RevisionQuery(WaitQuery):
    """The revision that was seen."""

    revision: Annotated[Whole, Field(ge=1)] | None = None


class RevisionPosted(Asked):
    """The revision that was seen."""

    revision: Annotated[int, Field(ge=1)] | None = None


@routes.route("GET", "/v1/entries", role="reader", tags=("entries",))
async def get_entries(request: web.Request, query: EntriesQuery) -> dict[str, Any]:
    """Entries of a range, oldest first; `kind` may name several, with commas."""
    where = context_of(request)
    for kind in query.kind:
        if kind not in TYPES:
            raise ProblemError(422, f"knows no kind {kind!r}; there are {', '.join(sorted(TYPES))}", field="kind")
    start, to = query.bounds(where.clock.now_ms())
    after = cursor_values(query.cursor, [-1, ""])
    found = where.catalog.store.entries(
        where.person,
        start,
        to,
        query.limit + 1,
        kinds=query.kind,
        after=(after[0], after[1]),
        deleted=query.deleted,
    )
    items = found[: query.limit]
    more = next_cursor([items[-1].time_ms, items[-1].id]) if len(found) > query.limit else None
    return {"items": [_with_creation(where, entry) for entry in items], "next_cursor": more}


def _with_creation(where: ApiContext, entry: EntryVersion) -> dict[str, Any]:
    created = where.catalog.store.created(entry.id)
    return shown(entry, created_ms=created[0] if created else None)


@routes.route("POST", "/v1/entries", role="writer", status=202, tags=("entries",), errors=(400, 409, 507), headers=_KEY)
async def post_entry(request: web.Request, query: WaitQuery, body: EntryPosted) -> web.Response:
    """Log a dose, carbs, a note, a finger-stick or exercise.

    The same Idempotency-Key with the same body is the same entry; with another body it is a 409. A dose that looks like a mistake is answered
    409 `needs_confirm`; send it again with the same key and `confirm`.
    """
    where, caller = context_of(request), caller_of(request)
    key = request.headers.get("Idempotency-Key", "").strip()
    if not 1 <= len(key) <= 200:
        raise ProblemError(
            400, "The header Idempotency-Key is missing or longer than 200 characters.", field="Idempotency-Key"
        )
    said = body.model_dump(mode="json", exclude={"confirm"}, exclude_none=True)
    told = digest(json.dumps(said, sort_keys=True).encode())
    owner = "" if _RANDOM_KEY.fullmatch(key) else caller.token_id
    requestkey = request_key(where.person, owner, key)
    name = entry_id(where.person, owner, key, told)
    lock = request.app[LOCKS].setdefault(requestkey, asyncio.Lock())
    try:
        async with lock:
            known = await _known(where, requestkey)
            if known is not None:
                return _repeated(where, known, name)
            now_ms = where.clock.now_ms()
            time_ms = body.time if body.time is not None else now_ms
            refuse_odd_time(time_ms, now_ms)
            fact = fact_of(body, where.catalog.store.profile(where.person))
            if isinstance(body, InsulinPosted) and isinstance(fact, InsulinTaken) and not body.confirm:
                _guard(where, fact, time_ms, caller.name)
            event = make(
                fact, id=name, source="api", subject=where.person, time=at_ms(time_ms), recordedtime=at_ms(now_ms),
                actor=caller.name, requestkey=requestkey,
            )  # fmt: skip
            (position,) = await append_events(where.log, JOURNAL, [event])
            await where.catalog.caught_up()
    finally:
        if not lock.locked():
            request.app[LOCKS].pop(requestkey, None)
    return await written(where, name, position, wait=query.wait)


async def _known(where: ApiContext, requestkey: str) -> EntryVersion | None:
    if not await where.catalog.caught_up():
        # Whether this key was used cannot be told yet, and guessing would count a dose twice.
        raise ProblemError(
            503, "iv3 is still reading its log; send it again with the same key.", headers={"Retry-After": "1"}
        )
    return where.catalog.store.entry_by_request(requestkey)


def _repeated(where: ApiContext, known: EntryVersion, name: str) -> web.Response:
    if known.id != name:
        raise ProblemError(
            409,
            "This Idempotency-Key was used for another entry; use a new one for each entry.",
            code="key_reused",
            field="Idempotency-Key",
        )
    created = where.catalog.store.created(known.id)
    position = Position(JOURNAL, created[1], created[2]) if created else None
    return web.json_response({"id": known.id, "position": position._asdict() if position else None}, status=202)


def _guard(where: ApiContext, dose: InsulinTaken, time_ms: int, actor: str, *, but: str = "") -> None:
    store, now_ms = where.catalog.store, where.clock.now_ms()
    logged = store.entries(where.person, time_ms - GUARD_BACK_MS, time_ms + GUARD_BACK_MS, 5_000, kinds=("insulin",))
    others = [entry for entry in logged if entry.id != but]
    ask_about(dose, time_ms, actor, store.profile(where.person), others, now_ms)


async def written(where: ApiContext, name: str, position: Position, *, wait: bool) -> web.Response:
    """202 once the log has it; 201 if it was asked to wait and it can be read back."""
    status = 202
    if wait and await where.catalog.caught_up() and await in_series(where, position):
        status = 201
    return web.json_response({"id": name, "position": position._asdict()}, status=status)


async def in_series(where: ApiContext, position: Position, within_s: float = 1.0) -> bool:
    """Whether the Series has seen a position before the time was over."""
    try:
        async with asyncio.timeout(within_s):
            while (await where.series.position()).get((position.topic, position.partition), 0) <= position.offset:
                await asyncio.sleep(0.01)
    except (SeriesUnavailable, TimeoutError):
        return False  # it is in the log all the same
    return True


# -- one entry -------------------------------------------------------------------------------------


async def entry_or_404(where: ApiContext, name: str) -> EntryVersion:
    """The entry; before a 404 the catalog catches up."""
    found = where.catalog.store.entry(name)
    if found is None:
        await where.catalog.caught_up()
        found = where.catalog.store.entry(name)
    if found is None or found.person != where.person:
        raise ProblemError(404, "There is no entry with this id.", field="id")
    return found


@routes.route("GET", "/v1/entries/{id}", role="reader", tags=("entries",), errors=(404,))
async def get_entry(request: web.Request, path: EntryPath) -> dict[str, Any]:
    """One entry as it is now, deleted or not."""
    where = context_of(request)
    return _with_creation(where, await entry_or_404(where, path.id))


@routes.route("GET", "/v1/entries/{id}/history", role="reader", tags=("entries",), errors=(404,))
async def get_entry_history(request: web.Request, path: EntryPath) -> dict[str, Any]:
    """Every version of an entry, oldest first, and changes that came too late to be applied."""
    where = context_of(request)
    entry = await entry_or_404(where, path.id)
    rows = where.catalog.store.history(entry.id)
    return {
        "items": [
            {"revision": row.revision, "kind": row.kind, "time": iso(row.time_ms), "time_ms": row.time_ms, "deleted": row.deleted,
             "recorded_time": iso(row.recorded_ms), "by": row.actor, **row.data}
            for row in rows
        ],
        "conflicts": [
            {"revision": c["data"]["revision"], "recorded_time": c["recordedtime"], "by": c.get("actor"), "type": c["type"]}
            for c in where.catalog.store.conflicts(entry.id)
        ],
        "next_cursor": None,
    }  # fmt: skip


@routes.route("PATCH", "/v1/entries/{id}", role="writer", status=202, tags=("entries",), errors=(404, 409, 507))
async def patch_entry(request: web.Request, path: EntryPath, query: WaitQuery, body: EntryPatched) -> web.Response:
    """Change an entry. The old version stays in its history."""
    where, caller = context_of(request), caller_of(request)
    entry = await entry_or_404(where, path.id)
    if entry.deleted:
        raise ProblemError(409, "The entry is deleted; undo that first.", code="deleted")
    now_ms = where.clock.now_ms()
    time_ms = body.time if body.time is not None else entry.time_ms
    refuse_odd_time(time_ms, now_ms)
    content = Entry(type=TYPES[entry.kind], time=at_ms(time_ms), data=_changed(where, entry, body))
    try:
        fact = content_of(content)
    except ValueError as error:
        field, _, why = str(error).partition(": ")
        raise ProblemError(422, why, field=field) from error
    if isinstance(fact, InsulinTaken) and not body.confirm and {"units", "insulin", "time"} & body.model_fields_set:
        _guard(where, fact, time_ms, caller.name, but=entry.id)
    change = EntryCorrected(entry_id=entry.id, revision=body.revision + 1, entry=content)
    return await _change(request, entry, change, wait=query.wait)


def _changed(where: ApiContext, entry: EntryVersion, body: EntryPatched) -> dict[str, Any]:
    change = body.model_dump(mode="json", exclude={"revision", "time", "confirm"}, exclude_unset=True)
    if "glucose_mmol" in change and change["glucose_mmol"] is not None:
        if change.get("glucose_mgdl") is not None:
            raise ProblemError(422, "give either glucose_mgdl or glucose_mmol", field="glucose_mmol")
        change["glucose_mgdl"] = mgdl(change["glucose_mmol"])
    change.pop("glucose_mmol", None)
    if change.get("insulin") and entry.kind == "insulin":
        insulins = where.catalog.store.profile(where.person).insulins
        change |= {
            "insulin": proper_name(change["insulin"], insulins),
            "action": action_of(change["insulin"], insulins),
        }
    merged = {**data_of(entry), **change}
    return {key: value for key, value in merged.items() if value is not None}


@routes.route("DELETE", "/v1/entries/{id}", role="writer", status=202, tags=("entries",), errors=(404, 409, 507))
async def delete_entry(request: web.Request, path: EntryPath, query: RevisionQuery) -> web.Response:
    """Delete an entry. Its history stays, and it can be undone."""
    where = context_of(request)
    entry = await entry_or_404(where, path.id)
    if entry.deleted:
        raise ProblemError(409, "The entry is deleted already.", code="deleted")
    change = EntryDeleted(entry_id=entry.id, revision=(query.revision or entry.revision) + 1)
    return await _change(request, entry, change, wait=query.wait)


@routes.route("POST", "/v1/entries/{id}/undo", role="writer", status=202, tags=("entries",), errors=(404, 409, 507))
async def undo_entry(request: web.Request, path: EntryPath, query: WaitQuery, body: RevisionPosted) -> web.Response:
    """Take the last change or deletion back: the entry is again as it was before it."""
    where = context_of(request)
    entry = await entry_or_404(where, path.id)
    if entry.revision < 2:
        raise ProblemError(
            409, "There is nothing to undo: the entry was never changed. Delete it instead.", code="nothing_to_undo"
        )
    seen = body.revision or entry.revision
    before = next((row for row in where.catalog.store.history(entry.id) if row.revision == seen - 1), None)
    if before is None or seen != entry.revision:
        raise _conflict(entry)
    if before.deleted:
        change: Fact = EntryDeleted(entry_id=entry.id, revision=seen + 1)
    else:
        content = Entry(type=TYPES[before.kind], time=at_ms(before.time_ms), data=before.data)
        change = EntryRestored(entry_id=entry.id, revision=seen + 1, as_of=seen - 1, entry=content)
    return await _change(request, entry, change, wait=query.wait)


async def _change(request: web.Request, entry: EntryVersion, change: Fact, *, wait: bool) -> web.Response:
    """Append the change, then look whether somebody else was quicker."""
    where, caller = context_of(request), caller_of(request)
    revision: int = getattr(change, "revision", 0)
    if revision != entry.revision + 1:
        await where.catalog.caught_up()
        raise _conflict(await entry_or_404(where, entry.id))
    now = at_ms(where.clock.now_ms())
    event: Event = make(
        change, id=change_id(entry.id, revision, digest(change.model_dump_json().encode())), source="api", subject=entry.person,
        time=now, recordedtime=now, actor=caller.name,
    )  # fmt: skip
    (position,) = await append_events(where.log, JOURNAL, [event])
    if await where.catalog.caught_up() and not where.catalog.store.was_applied(entry.id, event.id):
        raise _conflict(await entry_or_404(where, entry.id))
    return await written(where, entry.id, position, wait=wait)


def _conflict(entry: EntryVersion) -> ProblemError:
    detail = f"Somebody else was quicker: the entry is at revision {entry.revision} now. Look at it and try again."
    return ProblemError(409, detail, code="conflict", facts={"revision": entry.revision, "by": entry.actor})
