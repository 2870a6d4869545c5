"""Wiring: settings in, a running house out. The only place that knows which adapter stands behind which port."""

import asyncio
import json
import logging
import secrets
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api.app import serve
from api.request.auth import hash_of
from api.request.context import Hearing, SeedSettings
from iv3.assembly.channels import ways_of
from iv3.assembly.log import OpenLog, default_worker, kafka_link, open_log
from iv3.assembly.people import People, phone_of, source_of, vault_of
from iv3.assembly.series import ServedSeries, follow_catalog, follow_series, series_store, serve_series
from iv3.assembly.status import Status, troubles
from iv3.config import refuse_half_a_bucket
from schemas.envelope import make
from schemas.facts import PersonAdded, ProfileChanged
from schemas.household import household, profile_of
from schemas.identity import derived_id, digest
from schemas.model import at_ms
from schemas.settings import SEED_LOW_DEFAULT_MGDL, S3Settings, Settings, WatchedSettings, seed_config
from streams.adapters.archives.folder import FolderArchive
from streams.adapters.archives.s3.archive import S3Archive
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.archive.maintenance import Policy, Upkeep
from streams.clock import SystemClock
from streams.delivery.channels import Ways
from streams.delivery.targets import add_target, tell_of
from streams.errors import Misconfigured, Transient
from streams.ports.archive import Archive
from streams.ports.clock import Clock
from streams.ports.log import Log, append_events
from streams.ports.series import Series
from streams.roles.alerter import Alerter
from streams.roles.archiver import Archiver
from streams.roles.forecaster import Forecaster
from streams.roles.notifier import AlarmNotifier
from streams.roles.poller import Poller
from streams.roles.projector import Projector
from streams.roster import Roster
from streams.runtime.heartbeats import Pulse
from streams.runtime.process import House, Service
from streams.runtime.role import Role
from streams.runtime.self_report import Complaints
from streams.storage.versions import catalog_path, current, readable
from streams.topics import ALERTS, HEARTBEATS, JOURNAL, SNAPSHOTS
from streams.views.catalog import Catalog
from streams.views.serving_series import SwappableSeries

if TYPE_CHECKING:
    from streams.adapters.logs.kafka.log import KafkaLog

logger = logging.getLogger("iv3.wiring")

_MAINTENANCE_S, _MAINTENANCE_AGAIN_S = 3600.0, 60.0
_SERIES_S = 5.0


ROLES = frozenset({"poller", "projector", "forecaster", "alerter", "notifier", "archiver"})


@dataclass
class Plan:
    """What is to be run: where, with what, for whom."""

    data: Path
    settings: Settings
    clock: Clock
    host: str
    port: int
    person: str
    demo: bool = False
    demo_of: str = ""  # in words: a simulated person, a recorded one
    dexcom_url: str | None = None
    roles: frozenset[str] = ROLES
    worker: str | None = None  # the name of this member of the groups, on Kafka
    services: list[Callable[["Parts"], Service]] = field(default_factory=list)
    before: Callable[["Parts"], Any] | None = None  # awaited after the log is open, before anything runs
    profile: ProfileChanged | None = None
    on_ready: Callable[["Parts", int], None] = lambda _parts, _port: None


@dataclass
class Parts:
    """What was built."""

    plan: Plan
    opened: OpenLog
    served: ServedSeries
    catalog: Catalog
    catalog_number: int
    roles: list[Role] = field(default_factory=list)
    hearing: Hearing | None = None
    source_account: str = ""

    @property
    def log(self) -> "SqliteLog | KafkaLog":
        """The open log."""
        return self.opened.log

    @property
    def series(self) -> SwappableSeries:
        """The Series, whichever version serves."""
        return self.served.series


async def run(plan: Plan) -> None:
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
        parts = Parts(plan, opened, served, catalog, catalog_number)
        ways = ways_of(plan)
        people = People(plan, ways)
        for close in (people.close, *ways.closers):
            stack.push_async_callback(close)
        source = people.roster.source(plan.person)
        parts.source_account = source.account if source is not None else ""
        if plan.before is not None:
            await plan.before(parts)
        await _declare_profiles(plan, log, parts.catalog)
        if "notifier" in plan.roles:
            await arm_first(plan, log, people.roster)
        parts.roles = roles_of(plan, opened, served.series, people, ways)
        house = House(parts.roles, [])
        pulse = Pulse(log)
        status = Status(log, parts.roles, parts.catalog, plan, pulse, people)
        parts.hearing = _hearing(plan, parts, status, people)
        name = f"{plan.worker or default_worker()}/up"
        complaints = Complaints(log, plan.clock, name, lambda: troubles_here(log, parts.roles, people))
        house.add_services([*_services(plan, parts, status), pulse.follow, people.follow, complaints.follow])
        await house.run()


def archive_of(setting: str, s3: S3Settings) -> Archive | None:
    """The adapter that `archive: none | folder:PATH | s3` names. Without any I/O."""
    kind, _, place = setting.partition(":")
    if kind == "none":
        return None
    if setting == "s3":
        refuse_half_a_bucket(s3)
        return S3Archive(s3)
    if kind != "folder" or not place.strip():
        raise Misconfigured(
            f"The archive {setting!r} is none that this release knows; write it like folder:/mnt/disk/iv3, or s3, or none."
        )
    return FolderArchive(Path(place).expanduser())


def try_adapters(settings: Settings) -> None:
    """Build what the settings name, without any I/O. Raises Misconfigured for what no adapter can use."""
    tls_context(settings)
    if settings.log != "sqlite":
        kafka_link(settings)
    plan = Plan(Path("data"), settings, SystemClock(), "", 0, household(settings)[0].id)
    for person in household(settings):
        try:
            source_of(plan, person.id, person.dexcom)
            phone_of(plan, person.ntfy)
        except Misconfigured as error:
            raise Misconfigured(f"{person.id}: {error}" if settings.people else str(error)) from None
    vault_of(settings, plan.data)
    ways_of(plan)
    archive_of(settings.archive, settings.s3)
    series_store(settings, plan.data, "")


def roles_of(plan: Plan, opened: OpenLog, series: Series, people: People, ways: Ways) -> list[Role]:
    """The roles of the plan, as far as there is something for them to do."""
    log, clock, app, roster = opened.log, plan.clock, opened.make_app, people.roster
    archive = archive_of(plan.settings.archive, plan.settings.s3)
    makers: dict[str, Callable[[], Role]] = {
        "projector": lambda: Projector(log, clock, app, series),
        "forecaster": lambda: Forecaster(log, clock, app),
        "alerter": lambda: Alerter(log, clock, app, roster=roster, troubles=lambda: troubles_here(log, roles, people)),
        "notifier": lambda: AlarmNotifier(
            log,
            clock,
            app,
            ways,
            label="[DEMO] " if plan.demo else "",
            click=plan.settings.api.public_url,
            shadow=plan.settings.alerts == "shadow",
            roster=roster,
        ),
        "poller": lambda: Poller(log, clock, app, roster),
    }
    if archive is not None:
        policy = Policy(plan.settings.archive_drill_days, plan.settings.archive_keep_days)
        upkeep = Upkeep(log, archive, clock, plan.data, policy)
        makers["archiver"] = lambda: Archiver(log, clock, app, archive, demo=plan.demo, upkeep=upkeep)
    roles: list[Role] = [make() for name, make in makers.items() if name in plan.roles]
    return roles


async def _declare_profiles(plan: Plan, log: Log, catalog: Catalog) -> None:
    """Put each configured profile into the journal when the configuration changed since it was put there last."""
    await catalog.catch_up()
    for person in household(plan.settings):
        await _declare_profile(plan, log, catalog, person)
    await catalog.catch_up()


async def _declare_profile(plan: Plan, log: Log, catalog: Catalog, person: WatchedSettings) -> None:
    settings = plan.settings
    stated: dict[str, Any] = {"person": settings.person.model_dump(mode="json"), "iv3": settings.iv3.model_dump(mode="json"),
                              "insulin": [i.model_dump(mode="json") for i in settings.insulin]}  # fmt: skip
    if any(person.id == other.id for other in settings.people):
        stated = person.model_dump(mode="json", exclude={"dexcom", "ntfy"})
    told = digest(json.dumps(stated, sort_keys=True).encode())[:16]
    if catalog.store.profile(person.id).config_digest == told:
        return
    profile = plan.profile or profile_of(person, told)
    profile = profile.model_copy(update={"config_digest": told, "name": profile.name or _name_among(settings, person)})
    now = at_ms(plan.clock.now_ms())
    events = [
        make(
            profile, id=derived_id("profile", person.id, told, plan.clock.now_ms()), source="config", subject=person.id, time=now, recordedtime=now
        )
    ]  # fmt: skip
    if catalog.store.newest(person.id, "person") is None:
        added = PersonAdded(name=profile.name)
        events.insert(0, make(added, id=derived_id("person-added", person.id), source="config", subject=person.id, time=now, recordedtime=now))  # fmt: skip
    try:
        await append_events(log, JOURNAL, events)
    except Transient as error:
        logger.warning(
            "the profile of the configuration is not in the log yet: %s", error
        )  # alarms with the old one are better than none


def _name_among(settings: Settings, person: WatchedSettings) -> str:
    """What an alarm calls somebody without a name: nothing where there is only one person."""
    return person.id if len(settings.people) > 0 else ""


async def arm_first(plan: Plan, log: Log, roster: Roster) -> None:
    """In a new log the phone is known before anything is decided, so that a low of the first minute rings. Later ones the notifier adds."""
    if any(head for (topic, _), head in log.heads.items() if topic == ALERTS):
        return
    for name in roster.house:
        for partition in range(log.partitions[ALERTS]):
            await add_target(log, plan.clock, name, partition)
    for person in roster.people:
        if roster.own(person):
            await tell_of(log, plan.clock, person, roster.own(person))


def troubles_here(log: Log, roles: Sequence[Role], people: People) -> list[str]:
    """What of this process does not work and must be told. A vault that cannot be opened is part of it: somebody may go unwatched."""
    return [
        *troubles(log, roles),
        *(["the accounts of people who were added cannot be read"] if people.trouble else []),
    ]


def _hearing(plan: Plan, parts: Parts, status: Status, people: People) -> Hearing:
    settings = plan.settings
    api = settings.api
    seed = SeedSettings(
        username=api.username,
        password_sha256=hash_of(api.password.get_secret_value()),
        config=seed_config(settings),
        low_mgdl=settings.iv3.low_threshold or SEED_LOW_DEFAULT_MGDL,
        high_mgdl=settings.iv3.high_threshold or 180,
    )
    return Hearing(
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


def _services(plan: Plan, parts: Parts, status: Status) -> list[Service]:
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


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """TLS 1.2 or newer from the configured files, or None. Raises Misconfigured."""
    api = settings.api
    if not api.certfile or not api.keyfile:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(api.certfile, api.keyfile)
    except (OSError, ssl.SSLError) as error:
        raise Misconfigured(f"api.certfile and api.keyfile cannot be used for TLS: {error}.") from None
    return context
