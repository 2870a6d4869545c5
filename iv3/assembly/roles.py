"""The roles of a process: which of them have something to do, and with what."""

from collections.abc import Callable
from contextlib import AsyncExitStack

from iv3.assembly.archive import archive_of
from iv3.assembly.channels import channels_of
from iv3.assembly.log import LogPlace, new_log_file
from iv3.assembly.people import People
from iv3.assembly.plan import StartPlan
from iv3.assembly.running import Running
from iv3.assembly.series import serve_series
from schemas.alerts import TargetAdded
from streams.archive.maintenance import Maintenance
from streams.delivery.targets import tell_of, tell_target
from streams.ports.log import Log
from streams.roles.alerter import Alerter
from streams.roles.archiver import Archiver
from streams.roles.forecaster import Forecaster
from streams.roles.notifier import AlarmNotifier
from streams.roles.poller import Poller
from streams.roles.projector import Projector
from streams.roster import Roster
from streams.runtime.role import Role
from streams.topics import ALERTS


async def put_together(plan: StartPlan, stack: AsyncExitStack, *, worker: str | None = None) -> Running:
    """Open the log, and build series, channels and people; `stack` takes them down in order. Raises FailedPrecondition,
    LogUnavailable.
    """
    opened = await LogPlace(plan.settings, plan.data).open(demo=plan.demo, worker=worker)
    stack.push_async_callback(opened.log.close)
    served = await serve_series(plan.settings, plan.data, opened.log.log_id)
    stack.push_async_callback(served.close)
    channels = channels_of(plan.settings, plan.clock, demo=plan.demo)
    people = People(plan, channels)
    for close in (people.close, *channels.closers):
        stack.push_async_callback(close)
    return Running(plan, opened, served, channels, people)


async def add_roles(running: Running) -> None:
    """Make the roles of the plan, as far as there is something for them to do; the first phones are known before
    anything is decided.
    """
    if "notifier" in running.plan.roles:
        await _arm_first(running.plan, running.log, running.people.roster)
    running.roles = [make() for name, make in _makers(running).items() if name in running.plan.roles]


def _makers(running: Running) -> dict[str, Callable[[], Role]]:
    plan, log, app, roster = running.plan, running.log, running.opened.make_app, running.people.roster
    clock, settings = plan.clock, plan.settings
    makers: dict[str, Callable[[], Role]] = {
        "projector": lambda: Projector(log, clock, app, lambda: running.served.series.adapter),
        "forecaster": lambda: Forecaster(log, clock, app),
        "alerter": lambda: Alerter(log, clock, app, roster=roster, troubles=running.troubles),
        "notifier": lambda: AlarmNotifier(
            log,
            clock,
            app,
            running.channels,
            label="[DEMO] " if plan.demo else "",
            click=settings.api.public_url,
            shadow=settings.alerts == "shadow",
            roster=roster,
        ),
        "poller": lambda: Poller(log, clock, app, roster),
    }
    archive = archive_of(settings.archive, settings.s3)
    if archive is not None:
        drill, keep = settings.archive_drill_days, settings.archive_keep_days
        maintenance = Maintenance(log, archive, clock, new_log_file, plan.data, drill_days=drill, keep_days=keep)
        makers["archiver"] = lambda: Archiver(log, clock, app, archive, upkeep=maintenance)
    return makers


async def _arm_first(plan: StartPlan, log: Log, roster: Roster) -> None:
    """In a new log the phone is known before anything is decided, so that a low of the first minute rings. Later ones
    the notifier adds.
    """
    if any(head for (topic, _), head in log.heads.items() if topic == ALERTS):
        return
    for name in roster.house:
        for partition in range(log.partitions[ALERTS]):
            await tell_target(log, plan.clock, TargetAdded(target=name), partition)
    for person in roster.people:
        if roster.own(person):
            await tell_of(log, plan.clock, person, roster.own(person))
