"""Fifty people on two workers of a real Kafka and a real InfluxDB, for a simulated day, with a kill of each worker on
the way.

The day passes so quickly that a busy machine comes late to everything in it, and rings for nothing that is long past.
So an evening follows at a twelfth of that pace, in which whoever goes low must be heard of.
"""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from iv3.verbs.simulate import people_of
from processors.readings import reading_of
from processors.simulated_person import SimulatedEvent
from schemas.alerts import AlertsDecided
from schemas.envelope import Event, decode
from streams.adapters.archives.folder import FolderArchive
from streams.adapters.logs.kafka.link import KafkaLink, brokers_of
from streams.adapters.logs.kafka.log import KafkaLog
from streams.adapters.series.sqlite.series import SqliteSeries
from streams.adapters.simulation.town import ShareTown, account_names
from streams.archive.verify import read_back
from streams.topics import ALERTS, DEAD_LETTERS, FORECASTS, JOURNAL
from streams.views.rows import apply_records
from tests.servers.influx import Influx
from tests.servers.kafka import Kafka
from tests.support.oracle import Phone, all_records, forecasts_as_uninterrupted, steps_as_due
from tests.support.workers import Simulation, Worker

PEOPLE = int(os.environ.get("IV3_TEST_PEOPLE", "50"))
SPEED = 360.0
EVENING_SPEED = 30.0
DAY_MS = 86_400_000
OWN = frozenset(account_names(PEOPLE)[::5])  # who has a phone of their own
ALL = "poller,projector,forecaster,alerter,notifier,archiver"

pytestmark = [pytest.mark.chaos, pytest.mark.long]


class Town:
    """The town's Share in a thread of its own, at the simulation's time, with a port for each worker."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.share = ShareTown(PEOPLE, now_ms=now_ms)
        self.urls = [self._call(self.share.start()) for _ in range(2)]

    def _call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def close(self) -> None:
        self._call(self.share.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)


class Household:
    """Two workers, each with a folder, a configuration and a way to Dexcom of its own; log, series and archive are
    shared.
    """

    def __init__(self, folder: Path, kafka: Kafka, influx: Influx, phone: Phone) -> None:
        shared: dict[str, Any] = {
            "ntfy": phone.server.url,
            "person": None,
            "series": "influxdb",
            "archive": f"folder:{folder / 'archive'}",
            "influxdb": {"url": influx.url, "token": influx.token, "org": influx.org},
        }
        self.phone, self.log = phone, kafka.url
        self.sims = [Simulation(folder / name, kafka.url, speed=SPEED, **shared) for name in ("a", "b")]
        self.sims[1].origin_ms, self.sims[1].real_ms = self.sims[0].origin_ms, self.sims[0].real_ms
        self.town = Town(self.now_ms)
        for simulation, url in zip(self.sims, self.town.urls, strict=True):
            people = json.dumps(
                [p | ({"ntfy": {"topic": f"own-{p['id']}"}} if p["id"] in OWN else {}) for p in people_of(PEOPLE, url)]
            )
            path = simulation.folder / "config.yaml"
            path.write_text(path.read_text() + f"people: {people}\n")
        self.workers = [Worker(s, name, roles=ALL) for s, name in zip(self.sims, ("a", "b"), strict=True)]
        # Whoever has nothing to do with the decisions of time does what the two had just decided when they were
        # stopped.
        self.last = Worker(self.sims[0], "last", roles="projector,forecaster,notifier,archiver")

    def now_ms(self) -> int:
        return self.sims[0].clock.now_ms()

    def iv3(self, *arguments: str) -> str:
        command = [sys.executable, "-P", "-m", "iv3", *arguments]
        done = subprocess.run(
            command, check=False, cwd=self.sims[0].folder, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def live(self, hours: float) -> None:
        wait_ms = self.sims[0].origin_ms + hours * 3_600_000 - self.now_ms()
        time.sleep(max(0.0, wait_ms / 1000 / SPEED))

    def lowest(self, name: str, from_ms: int, to_ms: int) -> float:
        home = self.town.share.home(name)
        assert home is not None
        return min((value for _, value, _ in home.readings(from_ms, to_ms)), default=0.0)

    def evening(self) -> list[str]:
        """Time goes on, slower; two who are well, one with a phone of their own and one without, go low. Returns whom,
        once they were told.
        """
        for worker in self.workers:
            worker.stop()
        begun_ms, real_ms = self.now_ms(), int(time.time() * 1000)
        for simulation in self.sims:
            simulation.origin_ms, simulation.real_ms, simulation.speed = begun_ms, real_ms, EVENING_SPEED
        for worker in self.workers:
            worker.start()
        now_ms = self.now_ms()
        well = [n for n in account_names(PEOPLE) if self.lowest(n, now_ms - 2 * 3_600_000, now_ms + 3_600_000) > 100]
        low = [next(n for n in well if n in OWN), next(n for n in well if n not in OWN)]
        for name in low:
            home = self.town.share.home(name)
            assert home is not None
            soon = home.readings(now_ms, now_ms + 3_600_000)
            home.extend(SimulatedEvent(time_ms, "glucose", 50.0, "") for time_ms, _, _ in soon)
        deadline = time.monotonic() + 90
        while not heard_of(asyncio.run(decided(self.log)), self.phone, real_ms / 1000).keys() >= set(low):
            assert time.monotonic() < deadline, f"{low} went low, and nobody heard of one: {self.workers[0].said()}"
            time.sleep(1)
        return low

    def settle(self) -> None:
        for worker in self.workers:
            worker.stop()
        self.last.start()
        deadline, quiet = time.monotonic() + 180, 0
        while quiet < 5:
            figures = self.last.figures()
            assert time.monotonic() < deadline, figures
            busy = sum(v for k, v in figures.items() if k.startswith("iv3_role_lag") or k == "iv3_notifier_waiting")
            quiet = quiet + 1 if figures['iv3_role_partitions{role="projector"}'] == 36 and busy == 0 else 0
            time.sleep(0.2)
        self.last.stop()

    def end(self) -> None:
        for worker in (*self.workers, self.last):
            worker.end()
        self.town.close()


@pytest.mark.timeout(900)
def test_fifty_people_on_two_workers_are_each_polled_by_one_and_nothing_of_them_is_lost_over_two_kills(
    tmp_path: Path, kafka: Kafka, influx: Influx
) -> None:
    phone = Phone()
    house = Household(tmp_path, kafka, influx, phone)
    try:
        for worker in house.workers:
            worker.start()
        begun_ms = house.now_ms()
        for worker, at in zip(house.workers, (8, 16), strict=True):
            house.live(at)
            worker.kill()
            time.sleep(6)  # longer than the session: the other one takes over, and gives back
            worker.start()
        house.live(24)
        ended_ms = house.now_ms() - 600_000  # what is younger may not have been asked for yet
        figures = [worker.figures() for worker in house.workers]
        low = house.evening()
        house.settle()
        live = json.loads(house.iv3("digest", "--json"))
        house.iv3("backup")
        house.iv3("verify")
        counts = asyncio.run(check(tmp_path, house, kafka.url, live, (begun_ms, ended_ms)))
        counts |= alarms(kafka.url, phone, low)
    finally:
        house.end()
        phone.close()
    watched = sum(f["iv3_poller_accounts"] for f in figures)
    assert watched == PEOPLE, "at the end, too, each account was one worker's"
    print(f"\n{PEOPLE} people, {counts}")


async def check(folder: Path, house: Household, url: str, live: list[Any], window: tuple[int, int]) -> dict[str, Any]:
    log = KafkaLog(KafkaLink(brokers_of(url)))
    await log.open()
    try:
        events = {
            topic: [(r, decode(r.value)) for r in await all_records(log, topic)]
            for topic in (JOURNAL, FORECASTS, ALERTS)
        }
        assert await all_records(log, DEAD_LETTERS) == []
        counts: dict[str, Any] = every_reading_is_in_the_log(house, events[JOURNAL], window)
        counts["forecasts"], counts["forecasts said twice in the raw log"] = forecasts_as_uninterrupted(events)
        fresh = SqliteSeries(folder / "fresh.db", log.log_id)
        for topic in (JOURNAL, FORECASTS, ALERTS):
            await apply_records(fresh, events[topic])
        wanted = json.loads(json.dumps([row._asdict() for row in await fresh.digest()]))
        await fresh.close()
        assert live == wanted, "InfluxDB holds each reading, dose, forecast and alert once"
        counts["archived"] = await archived_once(folder, log)
    finally:
        await log.close()
    counts["hand-overs"] = each_account_had_one_poller(house, window[1])
    return counts


def every_reading_is_in_the_log(
    house: Household, journal: list[tuple[Any, Event]], window: tuple[int, int]
) -> dict[str, Any]:
    """What the town had in the time of the simulation, each person's own, and nothing else; ids that stand twice in the
    raw log are counted.
    """
    found: dict[str, Counter[str]] = {name: Counter() for name in account_names(PEOPLE)}
    times: dict[str, set[int]] = {name: set() for name in found}
    for _, event in journal:
        reading = reading_of(event)
        if reading is not None:
            found[event.subject][reading.id] += 1
            times[event.subject].add(reading.time_ms)
    wanted = 0
    for name, seen in times.items():
        home = house.town.share.home(name)
        assert home is not None
        lived = {time_ms // 1000 * 1000 for time_ms, _, _ in home.readings(*window)}
        missing = lived - {time_ms // 1000 * 1000 for time_ms in seen}
        assert not missing, f"{len(missing)} readings of {name} are not in the log"
        assert len(found[name]) == len(seen), f"a reading of {name} has two ids"
        wanted += len(lived)
    repeats = sum(count - 1 for ids in found.values() for count in ids.values())
    return {"readings": wanted, "journal": len(journal), "readings twice in the raw log": repeats}


async def archived_once(folder: Path, log: KafkaLog) -> int:
    """Every record of the log, byte for byte, at its offset, once."""
    found: dict[tuple[str, int], list[Any]] = {}

    async def take(topic: str, partition: int, records: list[Any]) -> None:
        found.setdefault((topic, partition), []).extend(records)

    report = await read_back(FolderArchive(folder / "archive"), log.log_id, take=take)
    assert report.problems == []
    for topic in (JOURNAL, FORECASTS, ALERTS):
        for partition in range(log.partitions[topic]):
            records = await log.read(topic, partition, 0, None, 1_000_000)
            kept = [(r.offset, r.key, r.value) for r in found.get((topic, partition), [])]
            assert kept == [(r.offset, r.key, r.value) for r in records], f"{topic}/{partition}"
    return sum(map(len, found.values()))


def each_account_had_one_poller(house: Household, until_ms: int) -> int:
    """In the day, who asked for an account changes only where partitions moved: when the second worker came, and at
    each kill and return. Returns how often.
    """
    changes: Counter[str] = Counter()
    asker: dict[str, int] = {}
    assert {account for account, _, _ in house.town.share.asked} == set(account_names(PEOPLE))
    for account, port, at_ms in house.town.share.asked:
        if at_ms > until_ms:
            break
        changes[account] += asker.get(account, port) != port
        asker[account] = port
    assert max(changes.values()) <= 5, "two workers asked for one account in turn"
    return sum(changes.values())


async def decided(url: str) -> list[tuple[Any, Event]]:
    log = KafkaLog(KafkaLink(brokers_of(url)))
    await log.open()
    try:
        return [(r, decode(r.value)) for r in await all_records(log, ALERTS)]
    finally:
        await log.close()


def heard_of(alerts: list[tuple[Any, Event]], phone: Phone, since_s: float = 0.0) -> Counter[str]:
    """Whom alarms have told of since then, and how often: each on the phone that is told of them."""
    whose = {
        change.episode: event.subject
        for _, event in alerts
        if isinstance(event.data, AlertsDecided)
        for change in event.data.events
    }
    told = Counter[str]()
    for received in list(phone.server.received):
        episode = (received.message.get("sequence_id") or "").rpartition("-")[0]
        if received.message["event"] == "message" and episode in whose:
            person, topic = whose[episode], received.message["topic"]
            assert topic == (f"own-{person}" if person in OWN else "chaos"), f"{person}'s alarm went to {topic}"
            told[person] += received.wall_s >= since_s
    return +told


def alarms(url: str, phone: Phone, low: list[str]) -> dict[str, Any]:
    rang, alerts = phone.rang(), asyncio.run(decided(url))
    told = heard_of(alerts, phone)
    assert told.keys() >= set(low), "whoever went low in the evening rang"
    own = sum(count for person, count in told.items() if person in OWN)
    return {
        "steps": steps_as_due(alerts, rang),
        "rang twice": len(rang) - len(set(rang)),
        "told": {"their own": own, "the house's": told.total() - own},
    }
