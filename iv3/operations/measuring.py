"""What this machine can do: durable appends beside a raw commit of the same size, and the strict agent loop. `iv3
bench` and `benchmarks` share it.
"""

import asyncio
import time
from pathlib import Path
from typing import NamedTuple

from iv3.assembly.log import open_log_file
from processors.alerting.person_state import PersonState
from schemas.envelope import encode, make
from schemas.facts import GlucoseRead
from schemas.model import at_ms
from streams.clock import SystemClock
from streams.ports.clock import Clock
from streams.ports.log import Log, Record
from streams.runtime.role import MakeApp, Role
from streams.runtime.supervision import Supervision
from streams.storage.sqlite import connect
from streams.topics import JOURNAL

_VALUE = b"x" * 220  # as long as a reading
_PRODUCERS = 100
_PEOPLE = ("a", "b", "c", "d")
_BATCH = 250


class Appends(NamedTuple):
    """Seconds each append took, raw and ours; and events per second of a hundred producers."""

    raw_s: list[float]
    ours_s: list[float]
    together_per_s: float


def quantile(values: list[float], q: float) -> float:
    """The q-quantile by nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


async def appends(folder: Path, one_by_one: int = 2_000, each: int = 200) -> Appends:
    """Append to a raw table with synchronous=FULL, then to a log, one at a time and all at once."""
    raw_s = _raw(folder / "raw.db", one_by_one)
    log = open_log_file(folder / "log.db").log
    ours_s = []
    for _ in range(one_by_one):
        began = time.perf_counter()
        await log.append(JOURNAL, "me", [_VALUE])
        ours_s.append(time.perf_counter() - began)

    async def producer(n: int) -> None:
        for _ in range(each):
            await log.append(JOURNAL, f"p{n}", [_VALUE])

    began = time.perf_counter()
    await asyncio.gather(*(producer(n) for n in range(_PRODUCERS)))
    together = _PRODUCERS * each / (time.perf_counter() - began)
    await log.close()
    return Appends(raw_s, ours_s, together)


def _raw(path: Path, many: int) -> list[float]:
    db = connect(path)
    db.execute("CREATE TABLE log(off INTEGER PRIMARY KEY, v BLOB)")
    took = []
    for _ in range(many):
        began = time.perf_counter()
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO log(v) VALUES (?)", (_VALUE,))
        db.execute("COMMIT")
        took.append(time.perf_counter() - began)
    db.close()
    return took


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

    def __init__(self, log: Log, clock: Clock, make_app: MakeApp) -> None:
        super().__init__(log, clock, make_app)
        self._people: dict[str, PersonState] = {}

    async def handle(self, record: Record) -> None:
        """Decode and fold."""
        event = self.event_of(record)
        self._people.setdefault(event.subject, PersonState(event.subject)).take(event, record.offset)


async def loops(folder: Path, events: int = 60_000) -> tuple[float, float]:
    """Events per second of CPU through the strict agent loop: a handler that does nothing, one that decodes and
    folds.
    """
    opened = open_log_file(folder / "loop.db")
    log = opened.log
    for n in range(0, events // len(_PEOPLE), _BATCH):
        for person in _PEOPLE:
            await log.append(JOURNAL, person, [_reading(person, n + i) for i in range(_BATCH)])
    found = []
    for kind in (Idle, Folding):
        role = kind(log, SystemClock(), opened.make_app)
        stopping = asyncio.Event()
        began = time.process_time()
        task = asyncio.ensure_future(Supervision(role).run(stopping))
        while role.state != "running" or role.lag():
            await asyncio.sleep(0.02)
        found.append(events / (time.process_time() - began))
        stopping.set()
        await task
    await log.close()
    return found[0], found[1]


def _reading(person: str, n: int) -> bytes:
    moment = at_ms(1_700_000_000_000 + n * 300_000)
    data = GlucoseRead(glucose_mgdl=100.0 + n % 90, trend="Flat")
    return encode(make(data, id=f"{person}-{n}", source="bench", subject=person, time=moment, recordedtime=moment))
