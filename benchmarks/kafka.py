"""Kafka: appends, the way of a low to the phone, produce to handler, and two workers against one, each beside a bare
client of aiokafka.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.alarm import LOWS, _one
from benchmarks.figures import Figure, ms
from iv3.operations.measuring import quantile
from streams.adapters.logs.kafka.link import KafkaLink, brokers_of
from streams.adapters.logs.kafka.log import KafkaLog
from streams.adapters.notifiers.ntfy import Ntfy
from streams.adapters.transport.kafka import Transport
from streams.clock import SystemClock
from streams.delivery.channels import Channels
from streams.ports.log import Record
from streams.roles.alerter import Alerter
from streams.roles.notifier import AlarmNotifier
from streams.runtime.app import group_of, kafka_settings, make_app
from streams.runtime.role import Role
from streams.runtime.supervision import Supervision
from streams.topics import JOURNAL, PARTITIONS
from tests.servers.kafka import Kafka, without_topics
from tests.standins.ntfy import NtfyStandIn

_VALUE = b"x" * 220
_ROUNDS, _EACH = 20, 200
_PACED, _PACE_S = 300, 0.05
_SCALED = 24_000


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        server = Kafka(Path(folder) / "kafka")
        server.start()
        try:
            figures = asyncio.run(_appends(server)) + asyncio.run(_alarm(server, Path(folder)))
            figures += asyncio.run(_paced(server, Path(folder)))
            return [*figures, _scaling(server, Path(folder))]
        finally:
            server.stop()


async def _opened(server: Kafka) -> KafkaLog:
    log = KafkaLog(KafkaLink(brokers_of(server.url)))
    await log.open()
    return log


async def _appends(server: Kafka) -> list[Figure]:
    without_topics(server.bootstrap)
    log = await _opened(server)
    bare = AIOKafkaProducer(bootstrap_servers=server.bootstrap, acks="all", enable_idempotence=True)
    await bare.start()

    async def ours() -> None:
        await log.append(JOURNAL, "me", [_VALUE], partition=1)

    async def raw() -> None:
        await bare.send_and_wait(JOURNAL, _VALUE, key=b"me", partition=2)

    took: dict[str, list[float]] = {"ours": [], "raw": []}
    rates: dict[str, list[float]] = {"ours": [], "raw": []}
    for _ in range(_ROUNDS):  # in turn, so that a noisy minute is everybody's
        for name, append in (("raw", raw), ("ours", ours)):
            for _ in range(_EACH):
                began = time.perf_counter()
                await append()
                took[name].append(time.perf_counter() - began)
            rates[name].append(await _together(append))
    await bare.stop()
    await log.close()
    p50, bare_p50 = quantile(took["ours"], 0.5), quantile(took["raw"], 0.5)
    rate = quantile(rates["ours"], 0.5)
    # Each round beside its own: this machine's speed may double from one second to the next.
    many = quantile([mine / other for mine, other in zip(rates["ours"], rates["raw"], strict=True)], 0.5)
    one = p50 / bare_p50
    return [
        Figure(
            "Kafka append acks=all, one at a time, p50",
            f"{ms(p50)} = {one:.2f} × raw aiokafka",
            "≤ 1.3 × raw",
            one <= 1.3,
        ),
        Figure("Kafka append, 100 in flight", f"{rate:,.0f} events/s = {many:.2f} × raw", "≥ 0.7 × raw", many >= 0.7),
    ]


async def _together(append: Callable[[], Awaitable[None]], producers: int = 100, each: int = 20) -> float:
    async def producer() -> None:
        for _ in range(each):
            await append()

    began = time.perf_counter()
    await asyncio.gather(*(producer() for _ in range(producers)))
    return producers * each / (time.perf_counter() - began)


def _app_maker(log: KafkaLog, folder: Path) -> Callable[[str], Any]:
    settings = kafka_settings("bench", 10)
    return lambda role: make_app(group_of(log, role), partial(Transport, log), data_folder=str(folder), **settings)


async def _alarm(server: Kafka, folder: Path) -> list[Figure]:
    without_topics(server.bootstrap)
    log = await _opened(server)
    clock, app = SystemClock(), _app_maker(log, folder)
    async with NtfyStandIn(burst=100_000) as phone:
        target = Ntfy(server=phone.url, topic="bench", clock=clock)
        roles: list[Role] = [Alerter(log, clock, app), AlarmNotifier(log, clock, app, Channels([target]))]
        stopping = asyncio.Event()
        tasks = [asyncio.ensure_future(Supervision(role).run(stopping)) for role in roles]
        while any(role.state != "running" for role in roles):
            await asyncio.sleep(0.02)
        await asyncio.sleep(1)
        took = [await _one(log, phone, f"person{n}") for n in range(LOWS)]
        stopping.set()
        await asyncio.gather(*tasks)
        await target.close()
    await log.close()
    p50, p99 = quantile(took, 0.5), quantile(took, 0.99)
    return [
        Figure("append of a low → POST at ntfy on Kafka, p50", f"{ms(p50)} (n = {len(took)})", "< 30 ms", p50 < 0.030),
        Figure("append of a low → POST at ntfy on Kafka, p99", ms(p99), "< 200 ms", p99 < 0.200),
    ]


class _Noting(Role):
    """Notes when each record came."""

    name = "noting"
    topics: ClassVar[tuple[str, ...]] = (JOURNAL,)
    came: ClassVar[dict[int, float]] = {}

    async def handle(self, record: Record) -> None:
        self.came[int(record.value or b"0")] = time.perf_counter()


async def _paced(server: Kafka, folder: Path) -> list[Figure]:
    """Twenty events a second, seen by our agent and by a bare consumer at once."""
    without_topics(server.bootstrap)
    log = await _opened(server)
    role = _Noting(log, SystemClock(), _app_maker(log, folder))
    stopping = asyncio.Event()
    task = asyncio.ensure_future(Supervision(role).run(stopping))
    bare: dict[int, float] = {}
    consumer = AIOKafkaConsumer(
        JOURNAL, bootstrap_servers=server.bootstrap, group_id="bare-paced", auto_offset_reset="earliest"
    )
    await consumer.start()

    async def listen() -> None:
        async for record in consumer:
            bare[int(record.value)] = time.perf_counter()

    listening = asyncio.ensure_future(listen())
    while role.state != "running" or not consumer.assignment():
        await asyncio.sleep(0.02)
    await consumer.position(TopicPartition(JOURNAL, 0))
    await asyncio.sleep(1)
    sent: dict[int, float] = {}
    for n in range(_PACED):
        sent[n] = time.perf_counter()
        await log.append(JOURNAL, f"person{n % 40}", [b"%d" % n])
        await asyncio.sleep(_PACE_S)
    await asyncio.sleep(1)
    listening.cancel()
    await consumer.stop()
    stopping.set()
    await task
    await log.close()
    p50 = quantile([role.came[n] - sent[n] for n in sent], 0.5)
    bare_p50 = quantile([bare[n] - sent[n] for n in sent], 0.5)
    return [
        Figure(
            "produce → handler at 20 events/s, p50",
            f"{ms(p50)} = {p50 / bare_p50:.2f} × raw aiokafka",
            "≤ 1.3 × raw",
            p50 <= 1.3 * bare_p50,
        )
    ]


def _scaling(server: Kafka, folder: Path) -> Figure:
    found: dict[str, float] = {}
    for how in ("raw", "ours"):
        one, two = (_drained(server, folder / f"{how}{workers}", how, workers) for workers in (1, 2))
        found[how] = two / one
        found[f"{how} rate"] = two
    said = f"{found['ours']:.2f} × one worker ({found['ours rate']:,.0f} events/s; raw clients {found['raw']:.2f} ×)"
    return Figure("two workers against one, 150 µs CPU an event", said, "≥ 1.7 ×", found["ours"] >= 1.7)


def _drained(server: Kafka, folder: Path, how: str, workers: int) -> float:
    """Events per second with so many workers, from the first event handled to the last."""
    folder.mkdir()
    without_topics(server.bootstrap)
    asyncio.run(_load(server))
    names = [f"w{n}" for n in range(workers)]
    running = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "benchmarks.kafka_worker",
                name,
                server.bootstrap,
                str(folder),
                how,
                str(_SCALED // workers),
            ]
        )
        for name in names
    ]
    share = str(PARTITIONS // workers)
    while not all(
        (folder / f"{name}.held").exists() and (folder / f"{name}.held").read_text() == share for name in names
    ):
        time.sleep(0.05)
    time.sleep(1)
    (folder / "go").touch()
    for process in running:
        process.wait(120)
    spans: list[tuple[float, float, int]] = [json.loads((folder / f"{name}.json").read_text()) for name in names]
    return sum(span[2] for span in spans) / (max(span[1] for span in spans) - min(span[0] for span in spans))


async def _load(server: Kafka) -> None:
    log = await _opened(server)
    for partition in range(PARTITIONS):
        for _ in range(_SCALED // PARTITIONS // 500):
            await log.append(JOURNAL, "x", [_VALUE] * 500, partition=partition)
    await log.close()
