"""Wiring: settings in, a running house out. The only place that knows which adapter stands behind which port."""

import asyncio
import logging
import secrets
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from api.app import serve
from api.request.context import ApiContext, LegacyRoutes
from iv3.assembly.archive import archive_of
from iv3.assembly.catalog import follow_catalog
from iv3.assembly.channels import channels_of
from iv3.assembly.listening import tls_context
from iv3.assembly.log import default_worker, kafka_link, open_log
from iv3.assembly.people import People, phone_of, source_of, vault_of
from iv3.assembly.plan import Running, StartPlan
from iv3.assembly.profiles import declare_profiles
from iv3.assembly.roles import arm_first, roles_of, troubles_here
from iv3.assembly.series import follow_series, series_store, serve_series
from iv3.assembly.status import Status
from schemas.household import household
from schemas.settings import LEGACY_LOW_DEFAULT_MGDL, Settings, legacy_config
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.clock import SystemClock
from streams.commands.tokens import hash_of
from streams.errors import Misconfigured, Transient
from streams.roles.projector import Projector
from streams.runtime.heartbeats import Heartbeats
from streams.runtime.process import Process, Service
from streams.runtime.self_report import SelfReport
from streams.storage.versions import catalog_path, current, readable
from streams.topics import HEARTBEATS, SNAPSHOTS
from streams.views.catalog import Catalog

logger = logging.getLogger("iv3.wiring")

_MAINTENANCE_S, _MAINTENANCE_AGAIN_S = 3600.0, 60.0
_SERIES_S = 5.0


async def run(plan: StartPlan) -> None:
    """Build everything, run until a signal, take it down in order."""
    async with AsyncExitStack() as stack:
        opened = await open_log(plan.settings, plan.data, demo=plan.demo, worker=plan.worker)
        log = opened.log
        stack.push_async_callback(log.close)
        served = await serve_series(plan.settings, plan.data, log.log_id)
        stack.push_async_callback(served.close)
        catalog_number = current(plan.data).catalog
        catalog_file = catalog_path(plan.data, catalog_number)
        catalog = readable(lambda: Catalog(log, catalog_file), catalog_file)
        parts = Running(plan, opened, served, catalog, catalog_number)
        ways = channels_of(plan)
        people = People(plan, ways)
        for close in (people.close, *ways.closers):
            stack.push_async_callback(close)
        source = people.roster.source(plan.person)
        parts.source_account = source.account if source is not None else ""
        if plan.before is not None:
            await plan.before(parts)
        await declare_profiles(plan, log, parts.catalog)
        if "notifier" in plan.roles:
            await arm_first(plan, log, people.roster)
        parts.roles = roles_of(plan, opened, served.series, people, ways)
        house = Process(parts.roles, [])
        pulse = Heartbeats(log)
        status = Status(log, parts.roles, parts.catalog, plan, pulse, people)
        parts.hearing = _hearing(plan, parts, status, people)
        name = f"{plan.worker or default_worker()}/up"
        complaints = SelfReport(log, plan.clock, name, lambda: troubles_here(log, parts.roles, people))
        house.add_services([*_services(plan, parts, status), pulse.follow, people.follow, complaints.follow])
        await house.run()


def try_adapters(settings: Settings) -> None:
    """Build what the settings name, without any I/O. Raises Misconfigured for what no adapter can use."""
    tls_context(settings)
    if settings.log != "sqlite":
        kafka_link(settings)
    plan = StartPlan(Path("data"), settings, SystemClock(), "", 0, household(settings)[0].id)
    for person in household(settings):
        try:
            source_of(plan, person.id, person.dexcom)
            phone_of(plan, person.ntfy)
        except Misconfigured as error:
            raise Misconfigured(f"{person.id}: {error}" if settings.people else str(error)) from None
    vault_of(settings, plan.data)
    channels_of(plan)
    archive_of(settings.archive, settings.s3)
    series_store(settings, plan.data, "")


def _hearing(plan: StartPlan, parts: Running, status: Status, people: People) -> ApiContext:
    settings = plan.settings
    api = settings.api
    seed = LegacyRoutes(
        username=api.username,
        password_sha256=hash_of(api.password.get_secret_value()),
        config=legacy_config(settings),
        low_mgdl=settings.iv3.low_threshold or LEGACY_LOW_DEFAULT_MGDL,
        high_mgdl=settings.iv3.high_threshold or 180,
    )
    return ApiContext(
        log=parts.log,
        series=parts.series,
        catalog=parts.catalog,
        clock=plan.clock,
        person=plan.person,
        demo=plan.demo,
        secure=bool(api.certfile),
        simulated=lambda person: plan.demo or people.simulated(person),
        source_name=lambda person: "Simulator" if plan.demo else "Dexcom" if people.roster.source(person) else "",
        bars=status.bars,
        health=status.health,
        readiness=status.readiness,
        metrics=status.metrics,
        login_codes={secrets.token_urlsafe(12): 1_000 if plan.demo else 1},
        seed=seed,
    )


def _services(plan: StartPlan, parts: Running, status: Status) -> list[Service]:
    where = parts.hearing
    if where is None:
        raise RuntimeError("the API is wired before its services")
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    tls = tls_context(plan.settings)

    served = asyncio.Event()

    async def api(stopping: asyncio.Event) -> None:
        try:
            await serve(where, listening, stopping, host=plan.host, port=plan.port, ssl_context=tls)
        finally:
            served.set()

    async def catalog(stopping: asyncio.Event) -> None:
        """Follow until the last request was answered, which waits for what it wrote."""
        del stopping
        await parts.catalog.follow(served)

    async def tell_when_ready(stopping: asyncio.Event) -> None:
        port = await listening
        loop = asyncio.get_running_loop()
        began = loop.time()

        def there() -> bool:
            # A series that does not answer keeps nobody from being told where the page is.
            without = (Projector.name,) if loop.time() - began > _SERIES_S else ()
            return status.readiness(without).ready and parts.catalog.ready

        while not stopping.is_set() and not there():
            await asyncio.sleep(0.05)
        plan.on_ready(parts, port)
        await stopping.wait()

    return [
        api,
        catalog,
        tell_when_ready,
        *([_maintain(parts.log)] if isinstance(parts.log, SqliteLog) else []),
        follow_series(parts.served, parts.roles),
        follow_catalog(parts),
        *(make_service(parts) for make_service in plan.services),
    ]


def _maintain(log: SqliteLog) -> Service:
    """Keep the topics that may forget small."""

    async def maintain(stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            pause_s = _MAINTENANCE_S
            try:
                await log.compact(SNAPSHOTS)
                await log.expire(
                    HEARTBEATS, int(time.time() * 1000) - 86_400_000
                )  # the log's own stamps are the host's
            except Transient as error:
                logger.warning("the log cannot be tidied now: %s", error)
                pause_s = _MAINTENANCE_AGAIN_S
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), pause_s)

    return maintain
