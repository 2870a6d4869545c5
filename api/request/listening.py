"""Serving an application on a socket, with limits on whoever says nothing."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

KEEPALIVE_S = 15.0  # a client that says nothing is let go; aiohttp's own hour invites slow-loris


@asynccontextmanager
async def listening(
    app: web.Application, host: str, port: int, *, stop_s: float, ssl_context: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Serve for the length of the block; the port. What is under way when it ends has `stop_s` to finish."""
    runner = web.AppRunner(
        app, handle_signals=False, access_log=None, shutdown_timeout=stop_s, keepalive_timeout=KEEPALIVE_S
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=ssl_context).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
