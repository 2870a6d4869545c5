"""The demo's person: simulated, or recorded; behind a fake Dexcom Share on loopback, so that the real client walks the
real path.

Two weeks of the simulated person's history are put in the journal at the first start, under the identity the client
gives its readings, so that what Share repeats of them is dropped like any overlap. A recorded person begins with the
recording.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from iv3.assembly.simulation import ShareServer, read_recorded
from iv3.hostzone import host_zone
from processors.profiles import action_of
from processors.simulated_person import SimulatedEvent, simulate
from schemas.envelope import Event, encode, make
from schemas.facts import CarbsEaten, GlucoseRead, Insulin, InsulinTaken, ProfileChanged
from schemas.identity import derived_id, reading_id
from schemas.model import at_ms
from streams.clock import ScaledClock
from streams.errors import Misconfigured, Transient
from streams.ports.clock import Clock
from streams.ports.log import Log
from streams.runtime.backoff import rest
from streams.topics import JOURNAL
from streams.views.catalog import Catalog

USERNAME, PASSWORD = "demo", "demo"
PERSON = "demo"
HISTORY_MS = 14 * 86_400_000
AHEAD_MS = 7 * 86_400_000
SEED = 7
LOW_AFTER_MS = 10 * 60_000  # a visitor sees a low come, ring and end soon after each start
INSULINS = (
    Insulin(name="Humalog", action="rapid", duration_min=300, peak_min=75),
    Insulin(name="Tresiba", action="long", duration_min=2520, peak_min=0, every_h=24),
)


class DemoPerson:
    """The events of the demo, its clock and its server."""

    def __init__(self, clock: Clock, events: Sequence[SimulatedEvent], started_ms: int) -> None:
        self.clock = clock
        self.events = list(events)
        self.started_ms = started_ms
        self.server = ShareServer(self.events, now_ms=clock.now_ms, username=USERNAME, password=PASSWORD)

    @classmethod
    def simulated(cls, started_ms: int, now_ms: int, speed: float, lows_at_ms: Sequence[int]) -> "DemoPerson":
        """The invented person, from two weeks before the first start on; they live where the machine stands."""
        clock = ScaledClock(now_ms, speed)
        begin, end = started_ms - HISTORY_MS, now_ms + AHEAD_MS
        offset = datetime.fromtimestamp(started_ms / 1000, ZoneInfo(host_zone() or "UTC")).utcoffset() or timedelta()
        minutes = round(offset.total_seconds() / 60)
        return cls(clock, simulate(SEED, begin, end, lows_at_ms=lows_at_ms, utc_offset_min=minutes), started_ms)

    @classmethod
    def recorded(cls, path: Path, subject: str | None, started_ms: int, now_ms: int, speed: float) -> "DemoPerson":
        """A recorded person, whose first row happens at the first start. Raises Misconfigured."""
        try:
            events = read_recorded(path, start_ms=started_ms, subject=subject)
        except ValueError as error:
            raise Misconfigured(str(error)) from None
        return cls(ScaledClock(now_ms, speed), events, started_ms)

    def profile(self) -> ProfileChanged:
        """The demo's profile."""
        return ProfileChanged(name="Demo", unit="mmol/L", zone=host_zone(), insulins=INSULINS, no_long_acting_h=26)

    # -- history -----------------------------------------------------------------------------------

    async def put_history(self, log: Log, account: str) -> int:
        """Append what happened before the start, once, in order. Returns how many events."""
        rows = self.server.readings(self.started_ms - HISTORY_MS, self.started_ms)
        readings = [self._reading(account, *row) for row in rows]
        diary = [self.entry(e) for e in self.events if e.kind != "glucose" and e.time_ms < self.started_ms]
        said = sorted([*readings, *diary], key=lambda event: event.time)
        for n in range(0, len(said), 500):
            await log.append(JOURNAL, PERSON, [encode(event) for event in said[n : n + 500]])
        return len(said)

    @staticmethod
    def _reading(account: str, time_ms: int, value: float, trend: str | None) -> Event:
        name = reading_id("dexcom-share", account, time_ms, value, trend)
        data = GlucoseRead.model_validate({"glucose_mgdl": value, "trend": trend})
        moment = at_ms(time_ms)
        return make(data, id=name, source="dexcom-share", subject=PERSON, time=moment, recordedtime=moment)

    @staticmethod
    def entry(event: SimulatedEvent) -> Event:
        """A dose or carbs of the person's diary; the same event always has the same id."""
        moment = at_ms(event.time_ms)
        if event.kind == "carbs":
            data: CarbsEaten | InsulinTaken = CarbsEaten(grams=round(event.value, 2))
        else:
            name = event.name or ("Tresiba" if event.kind == "long" else "Humalog")
            data = InsulinTaken(units=round(event.value, 2), insulin=name, action=action_of(name, INSULINS))
        digest = hashlib.blake2b(f"{event.kind}{event.value}".encode(), digest_size=8).hexdigest()
        return make(
            data,
            id=derived_id("demo", event.time_ms, digest),
            source="demo",
            subject=PERSON,
            time=moment,
            recordedtime=moment,
            actor="Demo",
        )

    async def keep_diary(self, log: Log, catalog: Catalog, stopping: asyncio.Event) -> None:
        """Write doses and carbs down when they happen, and after a pause those that happened meanwhile."""
        await catalog.caught_up(30)
        todo = [e for e in self.events if e.kind != "glucose" and catalog.entry(self.entry(e).id) is None]
        for event in todo:
            wait_s = (event.time_ms - self.clock.now_ms()) / 1000 / self.clock.speed
            if wait_s > 0:
                await rest(stopping, wait_s)
            while not stopping.is_set():
                try:
                    await log.append(JOURNAL, PERSON, [encode(self.entry(event))])
                    break
                except Transient:
                    await rest(stopping, 1.0)
        await stopping.wait()
