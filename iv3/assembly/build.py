"""Building a process: settings in, roles, API and followers out, run until a signal."""

import asyncio
import logging
import secrets
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from api.app import serve
from api.request.context import ApiContext, LegacyRoutes
from iv3.assembly.archive import archive_of
from iv3.assembly.catalog import ServedCatalog
from iv3.assembly.channels import channels_of, phone_of
from iv3.assembly.listening import tls_context
from iv3.assembly.log import LogPlace, default_worker, kafka_link
from iv3.assembly.people import credentials_of, source_of
from iv3.assembly.plan import Ready, StartPlan
from iv3.assembly.profiles import declare_profiles
from iv3.assembly.roles import add_roles, put_together
from iv3.assembly.running import Running
from iv3.assembly.series import follow_series, series_store
from iv3.assembly.status import Status
from schemas.household import credentials_in, household
from schemas.settings import LEGACY_LOW_DEFAULT_MGDL, Settings, legacy_config
from streams.clock import SystemClock
from streams.commands.tokens import hash_of
from streams.errors import FailedPrecondition, Misconfigured, Transient
from streams.ports.log import Log
from streams.roles.projector import Projector
from streams.runtime.backoff import rest
from streams.runtime.heartbeats import Heartbeats
from streams.runtime.process import Process, Service
from streams.runtime.self_report import SelfReport
from streams.views.catalog import Catalog

logger = logging.getLogger("iv3.wiring")

_TIDY_S, _TIDY_AGAIN_S = 3600.0, 60.0
_SERIES_S = 5.0


async def run(plan: StartPlan) -> None:
    """Build everything, run until a signal, take it down in order. Raises Misconfigured, LogUnavailable."""
    async with AsyncExitStack() as stack:
        running = await put_together(plan, stack, worker=plan.worker)
        log, people = running.log, running.people
        served = ServedCatalog(log, plan.data)
        if plan.demo_plan is not None:
            source = people.roster.source(plan.person)
            await plan.demo_plan.before(log, source.account if source is not None else "")
        await declare_profiles(plan, log, served.catalog)
        await add_roles(running)
        heartbeats = Heartbeats(log)
        status = Status(running, served.catalog, heartbeats)
        context = _context(running, served.catalog, status)
        report = SelfReport(log, plan.clock, f"{plan.worker or default_worker()}/up", running.troubles)
        services = _services(running, served, context, status)
        await Process(running.roles, [*services, heartbeats.follow, people.follow, report.follow]).run()


def try_adapters(settings: Settings) -> None:
    """Build what the settings name, without any I/O. Raises Misconfigured for what no adapter can use."""
    tls_context(settings)
    if LogPlace(settings, Path()).on_kafka:
        kafka_link(settings)
    data, clock = Path("data"), SystemClock()
    for person in household(settings):
        try:
            source_of(settings, data, clock, person.id, credentials_in(person))
            phone_of(settings, person.ntfy, clock)
        except FailedPrecondition as error:
            raise Misconfigured(f"{person.id}: {error}" if settings.people else str(error)) from None
    credentials_of(settings, data)
    channels_of(settings, clock)
    archive_of(settings.archive, settings.s3)
    series_store(settings, data, "")


def _context(running: Running, catalog: Catalog, status: Status) -> ApiContext:
    plan, people = running.plan, running.people
    settings, api = plan.settings, plan.settings.api
    legacy = LegacyRoutes(
        username=api.username,
        password_sha256=hash_of(api.password.get_secret_value()),
        config=legacy_config(settings),
        low_mgdl=settings.iv3.low_threshold or LEGACY_LOW_DEFAULT_MGDL,
        high_mgdl=settings.iv3.high_threshold or 180,
    )
    return ApiContext(
        log=running.log,
        series=running.served.series,
        catalog=catalog,
        clock=plan.clock,
        person=plan.person,
        demo=plan.demo,
        secure=bool(api.certfile),
        simulated=lambda person: plan.demo or people.simulated(person),
        source_name=people.source_title,
        bars=status.bars,
        health=status.health,
        readiness=status.readiness,
        metrics=status.metrics,
        login_codes={secrets.token_urlsafe(12): 1_000 if plan.demo else 1},
        legacy=legacy,
    )


def _services(running: Running, kept: ServedCatalog, context: ApiContext, status: Status) -> list[Service]:
    plan, catalog = running.plan, kept.catalog
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    tls = tls_context(plan.settings)

    served = asyncio.Event()

    async def api(stopping: asyncio.Event) -> None:
        try:
            await serve(context, listening, stopping, host=plan.host, port=plan.port, ssl_context=tls)
        finally:
            served.set()

    async def follow_log(_stopping: asyncio.Event) -> None:
        """Follow until the last request was answered, which waits for what it wrote."""
        await catalog.follow(served)

    async def tell_when_ready(stopping: asyncio.Event) -> None:
        port = await listening
        loop = asyncio.get_running_loop()
        began = loop.time()

        def there() -> bool:
            # A series that does not answer keeps nobody from being told where the page is.
            without = (Projector.name,) if loop.time() - began > _SERIES_S else ()
            return status.readiness(without).ready and catalog.ready

        while not stopping.is_set() and not there():
            await asyncio.sleep(0.05)
        plan.on_ready(plan, Ready(port, next(iter(context.login_codes), ""), context.secure))
        await stopping.wait()

    beside = plan.demo_plan.services(running.log, catalog) if plan.demo_plan is not None else []
    return [
        api,
        follow_log,
        tell_when_ready,
        partial(_tidy, running.log),
        follow_series(running.served, running.roles),
        kept.follow_pointer,
        *beside,
    ]


async def _tidy(log: Log, stopping: asyncio.Event) -> None:
    """Keep the topics that may forget small."""
    while not stopping.is_set():
        pause_s = _TIDY_S
        try:
            await log.tidy()
        except Transient as error:
            logger.warning("the log cannot be tidied now: %s", error)
            pause_s = _TIDY_AGAIN_S
        await rest(stopping, pause_s)
