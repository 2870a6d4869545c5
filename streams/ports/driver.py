"""The driver port: what the supervision of a role and the Faust driver of its App say to each other. One object, as
`app.link`.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from schemas.model import Partition


async def _nothing_in_hand() -> None:
    """There is no role that could hold a record."""


@dataclass(slots=True)
class DriverLink:
    """What is said in one life of an App. The defaults are the answers of an App that has no role.

    The role's side sets `start_offsets` and `may_seek` once it has folded, and the three calls that the driver makes.
    The driver sets `lease_holds` and `standby`.
    """

    start_offsets: Mapping[Partition, int] = field(default_factory=dict)  # where each starts, as the fold has it
    may_seek: bool = False  # the role has folded, so the driver may seek to the start offsets
    before_revoke: Callable[[], Awaitable[None]] = _nothing_in_hand  # awaited before partitions go
    found_hole: Callable[[Partition, int, int], None] = lambda _partition, _expected, _offset: None
    replaced: Callable[[], None] = lambda: None  # another member has taken this one's name
    # Whether the group cannot yet have given the partitions to somebody else.
    lease_holds: Callable[[], bool] = lambda: True
    standby: bool = False  # this member waits for another process to leave
