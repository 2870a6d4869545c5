"""A process as far as it is built: the same for `up`, `worker` and `api`."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from iv3.assembly.log import OpenLog
from iv3.assembly.people import People
from iv3.assembly.plan import StartPlan
from iv3.assembly.series import ServedSeries
from streams.delivery.channels import Channels
from streams.ports.log import Log
from streams.runtime.role import Role


@dataclass
class Running:
    """What was built of a plan, the same for `up`, `worker` and `api`."""

    plan: StartPlan
    opened: OpenLog
    served: ServedSeries
    channels: Channels
    people: People
    roles: list[Role] = field(default_factory=list)

    @property
    def log(self) -> Log:
        """The open log."""
        return self.opened.log

    def troubles(self) -> list[str]:
        """What of this process does not work and must be told. Accounts that cannot be read are part of it: somebody
        may go unwatched.
        """
        unread = ["the accounts of people who were added cannot be read"] if self.people.trouble else []
        return [*troubles(self.log, self.roles), *unread]


def troubles(log: Log, roles: Sequence[Role]) -> list[str]:
    """What of this process does not work and must be told: a few words each, the same for as long as it lasts."""
    full = ["the disk is nearly full: only readings and alarms are still saved"] if log.nearly_full() else []
    return [*full, *(trouble for role in roles for trouble in role.report().troubles)]
