"""A small house for API tests: real log, projector, forecaster, alerter, catalog and API on a socket, no Dexcom and no
ntfy.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from api.app import serve
from api.request.context import ApiContext, LegacyRoutes
from schemas.envelope import make
from schemas.facts import Insulin, ProfileChanged, Role
from schemas.model import at_ms
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.adapters.series.sqlite.store import SqliteStore
from streams.commands.tokens import hash_of, issue
from streams.ports.log import append_events
from streams.ports.series import SeriesStore
from streams.roles.alerter import Alerter
from streams.roles.forecaster import Forecaster
from streams.roles.projector import Projector
from streams.runtime.supervision import Supervision
from streams.topics import JOURNAL
from streams.views.catalog import Catalog
from streams.views.serving_series import ServingSeries
from tests.support.clock import SetClock
from tests.support.running import app_maker, caught_up

NOW_MS = 1_795_500_000_000
INSULINS = (
    Insulin(name="Humalog", action="rapid", duration_min=300, peak_min=75),
    Insulin(name="Tresiba", action="long", duration_min=2520, every_h=24),
)


@dataclass
class Served:
    """What a test may touch."""

    url: str
    log: SqliteLog
    clock: SetClock
    context: ApiContext
    http: aiohttp.ClientSession
    roles: list[Any]
    store: SeriesStore

    async def token(self, role: Role, name: str = "a test") -> str:
        """A token of that role."""
        made, event = issue(role, name, self.clock.now_ms())
        await append_events(self.log, JOURNAL, [event])
        await self.context.catalog.caught_up()
        return made

    async def ask(self, method: str, path: str, *, token: str | None = None, **more: Any) -> tuple[int, Any]:
        """(status, body), the body parsed where it is JSON."""
        headers = {**more.pop("headers", {})}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        async with self.http.request(method, self.url + path, headers=headers, **more) as reply:
            text = await reply.text()
            kind = reply.headers.get("Content-Type", "")
            return reply.status, (await reply.json(content_type=None)) if "json" in kind and text else text

    async def settled(self) -> None:
        """Everything that is in the log has been handled."""
        await self.context.catalog.caught_up()
        await caught_up(self.roles)


@asynccontextmanager
async def serving(folder: Path, store_of: Callable[[Path, str], SeriesStore] = SqliteStore) -> AsyncIterator[Served]:
    """Serve for the length of the block. `store_of` makes the versions of the series, given folder and log id."""
    log = SqliteLog(folder / "log.db")
    clock = SetClock(NOW_MS)
    store = store_of(folder, log.log_id)
    series = ServingSeries(await store.open(await store.ready()))
    catalog = Catalog(log, folder / "catalog-1.db")
    make_app = app_maker(log)
    roles: list[Any] = [
        Projector(log, clock, make_app, lambda: series.adapter),
        Forecaster(log, clock, make_app),
        Alerter(log, clock, make_app),
    ]
    profile = ProfileChanged(name="Maya", zone="Europe/Berlin", insulins=INSULINS, no_long_acting_h=26)
    now = at_ms(NOW_MS)
    await append_events(
        log, JOURNAL, [make(profile, id="profile", source="test", subject="me", time=now, recordedtime=now)]
    )
    legacy = LegacyRoutes("seed", hash_of("secret"), {"Iv3": {"Unit": "mmol/L"}}, 80, 180)
    context = ApiContext(log=log, series=series, catalog=catalog, clock=clock, person="me", legacy=legacy)
    stopping = asyncio.Event()
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    tasks = [asyncio.ensure_future(Supervision(role).run(stopping)) for role in roles]
    tasks.append(asyncio.ensure_future(catalog.follow(stopping)))
    tasks.append(asyncio.ensure_future(serve(context, listening, stopping, host="127.0.0.1", port=0)))
    try:
        port = await listening
        await caught_up(roles)
        async with aiohttp.ClientSession() as http:
            yield Served(f"http://127.0.0.1:{port}", log, clock, context, http, roles, store)
    finally:
        stopping.set()
        await asyncio.gather(*tasks)
        await series.close()
        await store.close()
        await log.close()
