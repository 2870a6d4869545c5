"""The made-up outside world, as the demo and `iv3 simulate` are handed it: a fake Dexcom Share of one person or many,
and recorded lives.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from processors.simulated_person import SimulatedEvent
from streams.adapters.simulation import faults, recorded, town
from streams.adapters.simulation.share_server import ShareServer

FAULTS = faults.FAULTS
TOWN_PASSWORD = town.PASSWORD


def share_server(
    events: Sequence[SimulatedEvent], *, now_ms: Callable[[], int], username: str, password: str
) -> ShareServer:
    """A fake Dexcom Share that serves one person's readings. Start it before it is asked."""
    return ShareServer(events, now_ms=now_ms, username=username, password=password)


def share_town(people: int, *, now_ms: Callable[[], int]) -> town.ShareTown:
    """A fake Dexcom Share with many accounts, each of a simulated person."""
    return town.ShareTown(people, now_ms=now_ms)


def town_accounts(people: int) -> list[str]:
    """The names of a town's accounts."""
    return town.account_names(people)


def parse_faults(text: str) -> frozenset[str]:
    """What a fake Share is to do wrong, of a list with commas. Raises ValueError naming the nearest that exists."""
    return faults.parse_faults(text)


def read_recorded(path: Path, *, start_ms: int, subject: str | None) -> list[SimulatedEvent]:
    """A recorded life, moved so that its first row happens at `start_ms`. Raises ValueError naming the row that cannot
    be read.
    """
    return recorded.read_recorded(path, start_ms=start_ms, subject=subject)
