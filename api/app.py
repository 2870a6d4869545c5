"""The application: every route, the middlewares in their order, and the limits."""

import asyncio
from importlib.metadata import version

from aiohttp import web

from api.legacy import add_legacy_routes
from api.ops import add_ops_routes
from api.pages import POLICY, add_page_routes
from api.request.auth import TRIES, FailedTries, authorize
from api.request.context import CONTEXT, ApiContext
from api.request.openapi import Operation, Routes, document
from api.request.problems import Handler, problems
from api.v1 import alerts, entries, now, people, profile, readings, stream, tokens
from api.v1.stream import OPEN, close_streams

BODY_BYTES = 256 * 1024  # a thousand readings are 100 kB
KEEPALIVE_S = 15.0  # a client that says nothing is let go; aiohttp's own hour invites slow-loris
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
    add_ops_routes(app)
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
    ssl_context: object = None,
) -> None:
    """Serve until `stopping`; `sockets_ready` gets the port once it listens."""
    runner = web.AppRunner(
        build_api(context), handle_signals=False, access_log=None, shutdown_timeout=1.0, keepalive_timeout=KEEPALIVE_S
    )
    await runner.setup()
    site = web.TCPSite(runner, host, port, ssl_context=ssl_context)  # type: ignore[arg-type] # ssl is imported by the assembly only
    await site.start()
    sockets_ready.set_result(site._server.sockets[0].getsockname()[1] if port == 0 else port)  # type: ignore[union-attr] # noqa: SLF001
    try:
        await stopping.wait()
    finally:
        await runner.cleanup()
