"""The application: every route, the middlewares in their order, and the limits."""

import asyncio
import ssl
from importlib.metadata import version

from aiohttp import web

from api.legacy import add_legacy_routes
from api.ops import add_ops_routes, with_catalog
from api.pages import POLICY, add_page_routes
from api.request.auth import TRIES, FailedTries, authorize
from api.request.context import CONTEXT, ApiContext
from api.request.listening import listening
from api.request.openapi import Operation, Routes, document
from api.request.problems import Handler, problems
from api.v1 import alerts, entries, now, people, profile, readings, stream, tokens
from api.v1.stream import OPEN, close_streams

BODY_BYTES = 256 * 1024  # a thousand readings are 100 kB
GROUPS: tuple[Routes, ...] = (
    now.routes,
    readings.routes,
    entries.routes,
    alerts.routes,
    profile.routes,
    tokens.routes,
    stream.routes,
    people.routes,
)


def operations() -> list[Operation]:
    """Every typed operation."""
    return [operation for group in GROUPS for operation in group.operations]


@web.middleware
async def _headers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What every answer carries."""
    response = await handler(request)
    if not response.prepared:
        context = request.config_dict[CONTEXT]
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        if context.demo:
            response.headers["X-IV3-Demo"] = "1"
        if context.secure:
            response.headers["Strict-Transport-Security"] = "max-age=31536000"
    return response


def build_api(context: ApiContext) -> web.Application:
    """The aiohttp application around what it hears."""
    app = web.Application(middlewares=[_headers, problems, authorize], client_max_size=BODY_BYTES)
    app[CONTEXT] = context
    app[TRIES] = FailedTries()
    app[OPEN] = set()
    for group in GROUPS:
        group.add_to(app)
    add_legacy_routes(app)
    add_ops_routes(app, lambda: with_catalog(context), context.metrics)
    add_page_routes(app, document(operations(), title="iv3", version=version("iv3")))
    app.on_shutdown.append(close_streams)
    return app


async def serve(
    context: ApiContext,
    sockets_ready: "asyncio.Future[int]",
    stopping: asyncio.Event,
    *,
    host: str,
    port: int,
    ssl_context: ssl.SSLContext | None = None,
) -> None:
    """Serve until `stopping`; `sockets_ready` gets the port once it listens."""
    async with listening(build_api(context), host, port, stop_s=1.0, ssl_context=ssl_context) as there:
        sockets_ready.set_result(there)
        await stopping.wait()
