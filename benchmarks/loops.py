"""The strict agent loop: a handler that does nothing, and one that decodes and folds; events per second of CPU."""

import asyncio
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Figure
from processors.alerting.watch import Watch
from schemas.envelope import encode, make
from schemas.facts import GlucoseRead
from schemas.model import at_ms
from streams.app import make_app
from streams.clock import SystemClock
from streams.logs.sqlite import SqliteLog
from streams.ports import Record
from streams.role import Role
from streams.topics import JOURNAL
from streams.transport.sqlite import LOGS

EVENTS = 60_000


class Idle(Role):
    """Handles by doing nothing."""

    name = "idle"
    topics = (JOURNAL,)

    async def handle(self, record: Record) -> None:
        """Nothing."""


class Folding(Role):
    """Decodes every record and folds it into what an alerter knows of a person."""

    name = "folding"
    topics = (JOURNAL,)
    people: dict[str, Watch] = {}  # noqa: RUF012 - one run

    async def handle(self, record: Record) -> None:
        """Decode and fold."""
        event = self.event_of(record)
        self.people.setdefault(event.subject, Watch(event.subject)).take(event, record.offset)


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        idle, folding = asyncio.run(_run(Path(folder)))
    return [
        Figure("strict agent loop, no-op", f"{idle:,.0f} events/CPU-s", "≥ 12,000", idle >= 12_000),
        Figure("strict agent loop, decode and fold", f"{folding:,.0f} events/CPU-s", "≥ 7,000", folding >= 7_000),
    ]


async def _run(folder: Path) -> tuple[float, float]:
    log = SqliteLog(folder / "log.db")
    LOGS["bench"] = log
    for n in range(0, EVENTS, 1_000):
        for person in ("a", "b", "c", "d"):
            values = [_reading(person, n + i) for i in range(250)]
            await log.append(JOURNAL, person, values)
    found = []
    for kind in (Idle, Folding):
        role = kind(log, SystemClock(), lambda group: make_app(group, "iv3sqlite://bench", data_folder=str(folder)))
        stopping = asyncio.Event()
        began = time.process_time()
        task = asyncio.ensure_future(role.supervise(stopping))
        while role.state != "running" or role.lag():
            await asyncio.sleep(0.02)
        found.append(EVENTS / (time.process_time() - began))
        stopping.set()
        await task
    await log.close()
    return found[0], found[1]


def _reading(person: str, n: int) -> bytes:
    moment = at_ms(1_700_000_000_000 + n * 300_000)
    data = GlucoseRead(glucose_mgdl=100.0 + n % 90, trend="Flat")
    return encode(make(data, id=f"{person}-{n}", source="bench", subject=person, time=moment, recordedtime=moment))
