"""How long people are without their forecasts while a worker joins, is stopped and started, or is killed and started:
seconds of silence, by partition.
"""

import asyncio
import itertools
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.figures import Figure
from schemas.envelope import encode, make
from schemas.facts import GlucoseRead
from schemas.model import at_ms
from streams.adapters.logs.kafka.link import KafkaLink, brokers_of
from streams.adapters.logs.kafka.log import KafkaLog
from streams.topics import FORECASTS, JOURNAL, PARTITIONS, partition_of
from tests.servers.kafka import Kafka
from tests.support.workers import Simulation, Worker

_PACE_S = 0.1
_QUIET_S, _AFTER_S = 3.0, 12.0
_ROUNDS = 3


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        server = Kafka(Path(folder) / "kafka")
        server.start()
        try:
            return asyncio.run(_measure(server, Path(folder) / "house"))
        finally:
            server.stop()


async def _measure(server: Kafka, folder: Path) -> list[Figure]:
    simulation = Simulation(folder, server.url, speed=1, kafka={"session_s": 10})
    workers = {name: Worker(simulation, name, roles="forecaster") for name in ("w1", "w2", "w3")}
    figures = []
    log = KafkaLog(KafkaLink(brokers_of(server.url)))
    await log.open()
    feeding = asyncio.ensure_future(_feed(log))
    try:
        for name in ("w1", "w2"):
            await asyncio.to_thread(workers[name].start)
        odd = {p for p in range(PARTITIONS) if p % 2}  # what w2 holds of two workers
        moves: list[tuple[str, Callable[[], object], set[int], float]] = [
            ("SIGTERM + restart", lambda: (workers["w2"].stop(), workers["w2"].start()), odd, 1.0),
            ("kill -9 + restart", partial(_killed, workers["w2"]), odd, 7.0),
            ("a worker joins", workers["w3"].start, {p for p in range(PARTITIONS) if p % 3 == 2}, 1.0),
        ]
        for name, move, own, reach in moves:
            figures.append(await _one(log, name, move, own, reach, again=name != "a worker joins"))
    finally:
        feeding.cancel()
        for worker in workers.values():
            worker.end()
        await log.close()
    return figures


def _killed(worker: Worker) -> None:
    worker.kill()
    worker.start()


async def _one(
    log: KafkaLog, name: str, move: Callable[[], object], own: set[int], reach: float, *, again: bool
) -> Figure:
    others, mine, resumed = 0.0, 0.0, 0
    for _ in range(_ROUNDS if again else 1):
        await asyncio.sleep(_QUIET_S)
        heads = await log.latest([FORECASTS])
        began = time.time()
        await asyncio.to_thread(move)
        await asyncio.sleep(_AFTER_S)
        for partition in range(PARTITIONS):
            records = await log.read(FORECASTS, partition, max(0, heads[FORECASTS, partition] - 5), None, 10_000)
            stamps = [r.timestamp_ms / 1000 for r in records]
            gap = max(b - a for a, b in itertools.pairwise(stamps))
            resumed += stamps[-1] > began
            if partition in own:
                mine = max(mine, gap)
            else:
                others = max(others, gap)
    rounds = _ROUNDS if again else 1
    met = others <= 1.0 + _PACE_S and mine <= reach + _PACE_S and resumed == rounds * PARTITIONS
    said = f"others silent for {others:.1f} s, its own for {mine:.1f} s (n = {rounds})"
    return Figure(name, said, f"≤ 1 s, ≤ {reach:.0f} s", met)


async def _feed(log: KafkaLog) -> None:
    people: dict[int, str] = {}
    for n in range(10_000):
        people.setdefault(partition_of(f"p{n}"), f"p{n}")
        if len(people) == PARTITIONS:
            break
    start_ms = int(time.time() * 1000)
    for n in range(1_000_000):
        at = at_ms(start_ms + n * 300_000)
        for person in people.values():
            event = make(
                GlucoseRead(glucose_mgdl=100.0 + n % 50, trend="Flat"),
                id=f"{person}-{n}",
                source="bench",
                subject=person,
                time=at,
                recordedtime=at,
            )
            asyncio.ensure_future(log.append(JOURNAL, person, [encode(event)]))  # noqa: RUF006 - the next second's are not waited for either
        await asyncio.sleep(_PACE_S)
