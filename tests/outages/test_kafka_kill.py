"""Two workers on a real Kafka, killed, stopped and frozen in turn under load; the broker killed under them."""

import asyncio
import os
import random
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from schemas.envelope import decode
from streams.adapters.logs.kafka.link import KafkaLink, brokers_of
from streams.adapters.logs.kafka.log import KafkaLog
from streams.adapters.series.sqlite.series import SqliteSeries
from streams.topics import ALERTS, FORECASTS, JOURNAL
from streams.views.rows import apply_records
from tests.servers.kafka import Kafka
from tests.support.oracle import Phone, all_records, each_accepted, forecasts_as_uninterrupted, steps_as_due
from tests.support.workers import People, Simulation, Worker

CYCLES = int(os.environ.get("IV3_TEST_KAFKA_CYCLES", "20"))
SEED = int(os.environ.get("IV3_TEST_SEED", "7"))
PEOPLE, SPEED = 20, 150.0

pytestmark = [pytest.mark.chaos, pytest.mark.long]


@pytest.fixture
def phone() -> Iterator[Phone]:
    made = Phone()
    yield made
    made.close()


def restless(n: int) -> float:
    """Low and back every half hour."""
    return float((66, 52, 60, 85, 95, 110)[n % 6])


@pytest.mark.timeout(1200)
def test_nothing_is_lost_doubled_or_missed_whichever_worker_goes(tmp_path: Path, kafka: Kafka, phone: Phone) -> None:
    rnd = random.Random(SEED)
    simulation = Simulation(tmp_path, kafka.url, speed=SPEED, ntfy=phone.server.url)
    workers = [Worker(simulation, "w1"), Worker(simulation, "w2")]
    stops, back = [], []
    people = None
    try:
        for worker in workers:
            worker.start()
        people = People(simulation, kafka.url, PEOPLE, restless)
        for cycle in range(CYCLES):
            time.sleep(rnd.uniform(1.0, 4.0))
            phone.misbehave(rnd)
            worker = workers[cycle // 2 % 2]
            if cycle % 2:
                stops.append(worker.stop())
            else:
                worker.kill()
            if rnd.random() < 0.3:
                time.sleep(6)  # longer than the session: the other one takes over, and gives back
            back.append(worker.start())
        time.sleep(3)
        people.end()
        figures = [worker.figures() for worker in workers]
        stops += settle(simulation, workers)
        counts = asyncio.run(check(simulation.folder / "data", kafka.url, people, phone.rang()))
    finally:
        if people is not None:
            people.end()
        for worker in workers:
            worker.end()
    print(f"\n{CYCLES} cycles, slowest stop {max(stops):.2f} s, slowest back {max(back):.1f} s, {counts}")
    print([{k: v for k, v in f.items() if v and "total" in k and "log" not in k} for f in figures])


@pytest.mark.timeout(600)
def test_a_worker_that_was_frozen_for_longer_than_its_session_says_nothing_that_counts_twice(
    tmp_path: Path, kafka: Kafka, phone: Phone
) -> None:
    """As a laptop that sleeps does: when it wakes, its people are another worker's, and it must find out before it
    writes.
    """
    simulation = Simulation(tmp_path, kafka.url, speed=SPEED, ntfy=phone.server.url)
    workers = [Worker(simulation, "w1"), Worker(simulation, "w2")]
    people = None
    try:
        for worker in workers:
            worker.start()
        people = People(simulation, kafka.url, PEOPLE, restless)
        for cycle in range(max(2, CYCLES // 3)):
            time.sleep(2)
            wake = workers[cycle % 2].freeze()
            time.sleep(7)
            wake()
            time.sleep(3)
        people.end()
        settle(simulation, workers)
        print("\nfrozen:", asyncio.run(check(simulation.folder / "data", kafka.url, people, phone.rang())))
    finally:
        if people is not None:
            people.end()
        for worker in workers:
            worker.end()


@pytest.mark.timeout(600)
def test_a_broker_that_is_killed_and_comes_back_costs_nothing_but_the_wait(
    tmp_path: Path, kafka: Kafka, phone: Phone
) -> None:
    simulation = Simulation(tmp_path, kafka.url, speed=SPEED, ntfy=phone.server.url)
    workers = [Worker(simulation, "w1"), Worker(simulation, "w2")]
    people = None
    try:
        for worker in workers:
            worker.start()
        people = People(simulation, kafka.url, PEOPLE, restless)
        for down_s in (1, 15)[: max(1, CYCLES // 3)]:
            time.sleep(3)
            kafka.kill()
            time.sleep(down_s)  # the second is longer than an append waits for its answer
            kafka.start()
            time.sleep(5)
        people.end()
        restarts = [v for w in workers for k, v in w.figures().items() if "restarts" in k]
        settle(simulation, workers)
        print("\nbroker:", asyncio.run(check(simulation.folder / "data", kafka.url, people, phone.rang())))
        assert sum(restarts) == 0, "no role fell"
    finally:
        if people is not None:
            people.end()
        for worker in workers:
            worker.end()


@pytest.mark.timeout(900)
def test_three_brokers_bounced_in_turn_and_one_frozen_for_a_minute(tmp_path: Path, phone: Phone) -> None:
    cluster = Kafka(tmp_path / "kafka", nodes=3)
    cluster.start()
    simulation = Simulation(tmp_path / "house", cluster.url, speed=SPEED, ntfy=phone.server.url)
    workers = [Worker(simulation, "w1"), Worker(simulation, "w2")]
    people = None
    try:
        for worker in workers:
            worker.start()
        people = People(simulation, cluster.url, PEOPLE, restless)
        for broker in cluster.brokers:
            time.sleep(3)
            broker.stop()
            broker.start()
        time.sleep(5)
        cluster.brokers[0].freeze()
        time.sleep(60)
        cluster.brokers[0].thaw()
        time.sleep(10)
        people.end()
        settle(simulation, workers)
        print("\nthree brokers:", asyncio.run(check(simulation.folder / "data", cluster.url, people, phone.rang())))
    finally:
        if people is not None:
            people.end()
        for worker in workers:
            worker.end()
        cluster.kill()


@pytest.mark.timeout(300)
def test_a_worker_waits_for_a_broker_that_is_not_there_yet(tmp_path: Path, kafka: Kafka) -> None:
    kafka.kill()
    simulation = Simulation(tmp_path, kafka.url, speed=1)
    worker = Worker(simulation, "w1")
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(worker.start, 90.0)
        time.sleep(6)
        kafka.start()
        starting.result()
    assert "Is it running" in worker.said()
    worker.stop()


@pytest.mark.timeout(300)
def test_of_two_workers_of_one_name_one_stops_and_says_why(tmp_path: Path, kafka: Kafka) -> None:
    simulation = Simulation(tmp_path, kafka.url, speed=1)
    first, here, elsewhere = (
        Worker(simulation, "same"),
        Worker(simulation, "same"),
        Worker(simulation, "same", data="elsewhere"),
    )
    first.start()
    refused = subprocess.run(here.command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert refused.returncode == 2
    assert "A worker named same runs" in refused.stderr
    elsewhere.start()
    assert first.process is not None
    assert first.process.wait(30) == 2
    assert "joined the group under this one's name" in first.said()
    elsewhere.stop()


def settle(simulation: Simulation, workers: list[Worker]) -> list[float]:
    """Wait until everything is done, stop the workers, and let one that decides nothing do what they had just decided:
    time goes on, and with it what time alone calls for. Returns how long each stop took.
    """
    wait_until_quiet(workers)
    stops = [worker.stop() for worker in workers]
    last = Worker(simulation, "last", roles="projector,forecaster,notifier")
    last.start()
    wait_until_quiet([last])
    last.stop()
    return stops


def wait_until_quiet(workers: list[Worker], within_s: float = 120.0) -> None:
    """Every partition is somebody's, every role has caught up, and nothing waits to be sent."""
    deadline = time.monotonic() + within_s
    quiet = 0
    while quiet < 5:
        figures = [worker.figures() for worker in workers]
        assert time.monotonic() < deadline, figures
        held = sum(f['iv3_role_partitions{role="forecaster"}'] for f in figures)
        busy = sum(
            v
            for f in figures
            for name, v in f.items()
            if name.startswith("iv3_role_lag") or name == "iv3_notifier_waiting"
        )
        quiet = quiet + 1 if held == 12 and busy == 0 else 0
        time.sleep(0.2)


async def check(data: Path, url: str, people: People, rang: list[str]) -> dict[str, Any]:
    log = KafkaLog(KafkaLink(brokers_of(url)))
    await log.open()
    try:
        records = {topic: await all_records(log, topic) for topic in (JOURNAL, FORECASTS, ALERTS)}
        events = {topic: [(r, decode(r.value)) for r in found] for topic, found in records.items()}
        doubled = each_accepted(events[JOURNAL], people.accepted)
        forecasts, repeats = forecasts_as_uninterrupted(events)
        fresh, live = SqliteSeries(data / "fresh.db", log.log_id), SqliteSeries(data / "series-1.db", log.log_id)
        for topic in (JOURNAL, FORECASTS, ALERTS):
            await apply_records(fresh, events[topic])
        assert await live.digest() == await fresh.digest()
        assert (await live.counts())["readings"] == len({event.id for _, event in events[JOURNAL]}), (
            "a reading counts once, however often it came"
        )
        await live.close()
        await fresh.close()
        return {
            "accepted": len(people.accepted),
            "unsure": people.unsure,
            "twice in the raw log": doubled,
            "forecasts": forecasts,
            "forecasts said twice in the raw log": repeats,
            "steps": steps_as_due(events[ALERTS], rang),
            "rang": len(set(rang)),
            "rang twice": len(rang) - len(set(rang)),
        }
    finally:
        await log.close()
