"""A person's readings as a wave through lows and highs, played into a log."""

from typing import Any

from schemas.envelope import Event, make
from schemas.facts import GlucoseRead
from schemas.model import at_ms
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.ports.log import Record, append_events
from streams.topics import JOURNAL, partition_of
from tests.support.clock import SetClock
from tests.support.running import caught_up

T0 = 1_795_500_000_000


MIN = 60_000


P = partition_of("me")


def reading(n: int, glucose: float, person: str = "me") -> Event:
    at = at_ms(T0 + n * 5 * MIN)
    return make(
        GlucoseRead(glucose_mgdl=glucose, trend="Flat"),
        id=f"{person}-r{n}",
        source="test",
        subject=person,
        time=at,
        recordedtime=at,
    )


def wave(n: int) -> float:
    """Glucose that goes through lows and out of them again."""
    return float((120, 100, 84, 66, 54, 52, 66, 82, 95, 110)[n % 10])


async def everything(log: SqliteLog, topic: str, partition: int = P) -> list[Record]:
    return await log.read(topic, partition, 0, None, 100_000)


async def play(log: SqliteLog, clock: SetClock, roles: list[Any], first: int, count: int) -> None:
    """Readings as they come, one every five minutes of the clock."""
    for n in range(first, first + count):
        clock.set(T0 + n * 5 * MIN + 10_000)
        await append_events(log, JOURNAL, [reading(n, wave(n))])
        await caught_up(roles)
