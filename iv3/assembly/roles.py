"""The roles of a process: which of them have something to do, and with what."""

from collections.abc import Callable, Sequence

from iv3.assembly.archive import archive_of
from iv3.assembly.log import OpenLog
from iv3.assembly.people import People
from iv3.assembly.plan import StartPlan
from iv3.assembly.status import troubles
from streams.archive.maintenance import Maintenance, MaintenancePolicy
from streams.delivery.channels import Channels
from streams.delivery.targets import add_target, tell_of
from streams.ports.log import Log
from streams.ports.series import Series
from streams.roles.alerter import Alerter
from streams.roles.archiver import Archiver
from streams.roles.forecaster import Forecaster
from streams.roles.notifier import AlarmNotifier
from streams.roles.poller import Poller
from streams.roles.projector import Projector
from streams.roster import Roster
from streams.runtime.role import Role
from streams.topics import ALERTS


def roles_of(plan: StartPlan, opened: OpenLog, series: Series, people: People, ways: Channels) -> list[Role]:
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
        policy = MaintenancePolicy(plan.settings.archive_drill_days, plan.settings.archive_keep_days)
        upkeep = Maintenance(log, archive, clock, plan.data, policy)
        makers["archiver"] = lambda: Archiver(log, clock, app, archive, demo=plan.demo, upkeep=upkeep)
    roles: list[Role] = [make() for name, make in makers.items() if name in plan.roles]
    return roles


async def arm_first(plan: StartPlan, log: Log, roster: Roster) -> None:
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
