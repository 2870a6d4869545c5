"""A life: one App of a role, from its start to its end, as its agent body and its supervision share it; and what the
role did in all of them.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Literal

from schemas.model import Partition
from streams.errors import FailedPrecondition
from streams.ports.log import Position
from streams.runtime.assignment import Assignment

RoleState = Literal["new", "starting", "folding", "running", "handing over", "stopping", "stopped"]


@dataclass
class Progress:
    """What a role did, for /metrics, /readyz and the watchdog."""

    next_offset: dict[Partition, int] = field(default_factory=dict)  # of the partitions held now
    handled: int = 0
    retries: int = 0
    dead_letters: int = 0
    restarts: int = 0
    assignments: int = 0
    dropped: int = 0  # records that were in hand when their partition moved, and came again
    late_hand_overs: int = 0  # partitions that were given away with a record still in hand
    moved_at: float = 0.0  # loop time of the last ack or retry
    paused: str = ""  # why the role waits for an upgrade
    failing: str = ""  # the last reason for a retry, until something is handled
    failing_since: float = 0.0  # loop time

    def fails(self, reason: str, now: float) -> None:
        """A try failed; another follows."""
        if not self.failing:
            self.failing_since = now
        self.failing = reason
        self.retries += 1
        self.moved_at = now


@dataclass
class AppLifetime:
    """One App. `stops` counts, over all lives, how often the role fell at a record."""

    app: Any
    stops: dict[Position, int]
    assignment: Assignment | None = None
    holes: dict[tuple[Partition, int], int] = field(default_factory=dict)  # where the log itself has nothing in between
    idle: asyncio.Event = field(default_factory=asyncio.Event)  # set while no record is in hand
    _assigned: asyncio.Event = field(default_factory=asyncio.Event)
    ended: "asyncio.Future[BaseException]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def __post_init__(self) -> None:
        """Nothing is in hand yet."""
        self.idle.set()

    def begin(self, assignment: Assignment) -> None:
        """The role has folded, and partitions are this member's from now on."""
        self.assignment = assignment
        self._assigned.set()

    def end_assignment(self) -> Assignment | None:
        """The partitions go: no new work. The assignment that ended."""
        over, self.assignment = self.assignment, None
        if over is not None:
            self._assigned.clear()
            over.end()
        return over

    async def wait_for_assignment(self) -> Assignment:
        """Wait while partitions move; the assignment that holds now."""
        while self.assignment is None:
            await self._assigned.wait()
        return self.assignment

    def fail(self, error: BaseException) -> None:
        """End this life; the supervision starts the next."""
        if not self.ended.done():
            self.ended.set_result(error)

    def fail_for_good(self, sentence: str) -> None:
        """End this life and the process: starting again would only meet the same."""
        if not self.ended.done():
            self.ended.set_exception(FailedPrecondition(sentence))
