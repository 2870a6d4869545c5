"""A webhook that keeps what it is sent."""

import json
from typing import Any

from aiohttp import web


class Hook:
    """`heard` are the JSON bodies it took, `pinged` (path, text) of health checks; `status` is what it answers."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.pinged: list[tuple[str, str]] = []
        self.status = 200
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Listen on a free port; the address."""
        app = web.Application()
        app.router.add_post("/{any:.*}", self._post)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def stop(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _post(self, request: web.Request) -> web.Response:
        if request.path.startswith("/ping"):
            self.pinged.append((request.path, await request.text()))
        elif self.status < 300:
            self.heard.append(json.loads(await request.read()))
        return web.Response(status=self.status)
