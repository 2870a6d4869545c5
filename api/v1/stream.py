"""`GET /v1/stream`: server-sent events. `hello` at once, `change` when something new can be read, `ping` in between."""

import asyncio
import json
from contextlib import suppress

from aiohttp import web
from aiohttp_sse import EventSourceResponse

from api.request.auth import Caller, caller_of, still_open
from api.request.context import ApiContext, context_of
from api.request.openapi import Routes
from api.request.problems import ProblemError
from streams.errors import LogUnavailable, SeriesUnavailable
from streams.topics import FORECASTS, JOURNAL

routes = Routes("stream")

PING_S = 10.0
MOST_STREAMS = 200  # sockets; a family has ten
_RETRY_MS = 2_000  # a page that was cut off asks again after this long
_STALLED_S = 30.0  # whoever takes nothing for as long is gone, and gives up the place
_SETTLE_S = 2.0  # a change is announced once the Series has it, or after this long all the same
_FORECAST_WITHIN_S = 10.0
OPEN: web.AppKey[set[asyncio.Event]] = web.AppKey("open-streams", set)  # ends of the open streams


@routes.route("GET", "/v1/stream", role="reader")
async def get_stream(request: web.Request) -> web.StreamResponse:
    """Server-sent events: `hello`, `change`, `ping`. Fetch what you show when its name is in `changed`."""
    context = context_of(request)
    if len(request.app[OPEN]) >= MOST_STREAMS:
        raise ProblemError(503, "Too many pages are open at once.", headers={"Retry-After": "30"})
    # Its own pings are comments, which no page hears of; ours are events, so that a page knows that it is connected.
    response = EventSourceResponse(sep="\n", ping_interval=4 * PING_S, send_timeout=_STALLED_S)
    response.headers["Cache-Control"] = "no-store"
    await response.prepare(request)
    gone = asyncio.Event()
    request.app[OPEN].add(gone)
    changed: set[str] = set()
    woken = asyncio.Event()

    loop = asyncio.get_running_loop()
    read_at = -_FORECAST_WITHIN_S

    def catalog_changed(words: frozenset[tuple[str, str]]) -> None:
        nonlocal read_at
        mine = {word for person, word in words if person == context.person}
        if "readings" in mine:
            read_at = loop.time()
        changed.update(mine)
        if mine:
            woken.set()

    def log_grew(topics: frozenset[str]) -> None:
        # Whose forecast it is the log does not say; one is news here only soon after a reading of this person's.
        if FORECASTS in topics and loop.time() - read_at < _FORECAST_WITHIN_S:
            changed.add("forecasts")
            woken.set()

    ends = [context.catalog.subscribe(catalog_changed), context.log.subscribe(log_grew)]
    try:
        with suppress(ConnectionResetError, TimeoutError):
            await _send(response, context, "hello", {}, retry_ms=_RETRY_MS)
            await _run(response, context, caller_of(request), changed, woken, gone)
    finally:
        response.stop_streaming()
        for end in ends:
            end()
        request.app[OPEN].discard(gone)
    return response


async def _run(
    response: EventSourceResponse,
    context: ApiContext,
    caller: Caller,
    changed: set[str],
    woken: asyncio.Event,
    gone: asyncio.Event,
) -> None:
    while not gone.is_set():
        if not await _woken(woken, gone):
            if not still_open(context, caller):
                return  # revoked or expired meanwhile: the page asks again, and is told
            await _send(response, context, "ping", {})
            continue
        woken.clear()
        if changed & {"readings", "forecasts", "entries"}:
            await _settled(context)
        words = sorted(changed)
        changed.clear()
        if words:
            await _send(response, context, "change", {"changed": words})


async def _woken(woken: asyncio.Event, gone: asyncio.Event) -> bool:
    """Whether something changed before it is time for a ping; a stop counts as a change."""
    waits = [asyncio.ensure_future(woken.wait()), asyncio.ensure_future(gone.wait())]
    done, _ = await asyncio.wait(waits, timeout=PING_S, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    return bool(done)


async def _settled(context: ApiContext) -> None:
    """Wait until the Series has what the log has now."""
    with suppress(TimeoutError, LogUnavailable, SeriesUnavailable):
        async with asyncio.timeout(_SETTLE_S):
            goal = {p: h for p, h in (await context.log.latest((JOURNAL, FORECASTS))).items() if h}
            while True:
                seen = await context.series.position()
                if all(seen.get(partition, 0) >= head for partition, head in goal.items()):
                    return
                await asyncio.sleep(0.02)


async def _send(
    response: EventSourceResponse,
    context: ApiContext,
    name: str,
    data: dict[str, object],
    *,
    retry_ms: int | None = None,
) -> None:
    """One event. Its id is its moment; a page that comes back with one is told `hello` like any other, and fetches what
    it shows.
    """
    now_ms = context.clock.now_ms()
    await response.send(json.dumps({"time_ms": now_ms, **data}), id=str(now_ms), event=name, retry=retry_ms)


async def close_streams(app: web.Application) -> None:
    """End every open stream, so that a stop does not wait for them."""
    open_now: set[asyncio.Event] = app[OPEN]
    for gone in list(open_now):
        gone.set()
