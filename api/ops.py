"""For whoever runs iv3: is it alive, can it do its work, what does it count."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from api.request.context import context_of
from api.request.openapi import ROLE

Handle = Callable[[web.Request], Awaitable[web.Response]]


async def healthz(request: web.Request) -> web.Response:
    """The process answers. Nothing more is claimed."""
    del request
    return web.json_response({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """200 once every part of this process can do its work; 503 names the parts that cannot."""
    context = context_of(request)
    state = context.readiness()
    reasons = list(state.reasons)
    if not context.catalog.ready:
        reasons.append(context.catalog.paused or f"the catalog has {context.catalog.behind()} records to read")
    ready = state.ready and not reasons
    return web.json_response({"ready": ready, "reasons": reasons}, status=200 if ready else 503)


async def metrics(request: web.Request) -> web.Response:
    """Prometheus text."""
    return web.Response(text=context_of(request).metrics(), content_type="text/plain")


def add_ops_routes(app: web.Application) -> None:
    """Liveness and readiness are public, and say nothing about anybody; metrics take a reader."""
    for path, handler, role in (
        ("/healthz", healthz, "public"),
        ("/readyz", readyz, "public"),
        ("/metrics", metrics, "reader"),
    ):
        app.router.add_get(path, _with_role(handler, role))


def _with_role(handler: Handle, role: str) -> Handle:
    async def serve(request: web.Request) -> web.Response:
        return await handler(request)

    setattr(serve, ROLE, role)
    return serve
