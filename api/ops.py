"""For whoever runs iv3: is it alive, can it do its work, what does it count."""

from collections.abc import Callable

from aiohttp import web

from api.request.context import ApiContext, Readiness
from api.request.openapi import open_to


def add_ops_routes(app: web.Application, readiness: Callable[[], Readiness], metrics: Callable[[], str]) -> None:
    """Liveness and readiness are public, and say nothing about anybody; metrics take a reader."""

    async def healthz(_request: web.Request) -> web.Response:
        """The process answers. Nothing more is claimed."""
        return web.json_response({"status": "ok"})

    async def readyz(_request: web.Request) -> web.Response:
        """200 once every part of this process can do its work; 503 names the parts that cannot."""
        state = readiness()
        said = {"ready": state.ready, "reasons": list(state.reasons)}
        return web.json_response(said, status=200 if state.ready else 503)

    async def prometheus(_request: web.Request) -> web.Response:
        """Prometheus text."""
        return web.Response(text=metrics(), content_type="text/plain")

    app.router.add_get("/healthz", open_to("public", healthz))
    app.router.add_get("/readyz", open_to("public", readyz))
    app.router.add_get("/metrics", open_to("reader", prometheus))


def with_catalog(context: ApiContext) -> Readiness:
    """The process's readiness, and the catalog's, without which nobody is answered."""
    state, catalog = context.readiness(), context.catalog
    if catalog.ready:
        return state
    return Readiness(False, (*state.reasons, catalog.paused or f"the catalog has {catalog.behind()} records to read"))
