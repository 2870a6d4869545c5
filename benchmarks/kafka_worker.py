"""One worker of the scaling benchmark, in a process of its own: 150 µs of CPU for each event, by ours or by a bare
client.

`python -m benchmarks.kafka_worker NAME BROKERS FOLDER ours|raw PARTITIONS`: waits until FOLDER/go exists, then drains;
writes when it began and ended.
"""

import asyncio
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import ClassVar

from aiokafka import AIOKafkaConsumer

from streams.adapters.logs.kafka.link import KafkaLink
from streams.adapters.logs.kafka.log import KafkaLog
from streams.adapters.transport.kafka import CoPartitioned, Transport
from streams.clock import SystemClock
from streams.ports.log import Record
from streams.runtime.app import group_of, kafka_settings, make_app
from streams.runtime.role import Role
from streams.runtime.supervision import Supervision
from streams.topics import JOURNAL

WORK_S = 150e-6


def work() -> None:
    """Keep this core busy."""
    until = time.perf_counter() + WORK_S
    while time.perf_counter() < until:
        pass


class Busy(Role):
    """Does the work for every record, once it may."""

    name = "busy"
    topics: ClassVar[tuple[str, ...]] = (JOURNAL,)
    go: Path
    first = last = 0.0

    async def handle(self, record: Record) -> None:
        """See `Role.handle`."""
        del record
        while not self.first and not self.go.exists():
            await asyncio.sleep(0.001)
        self.first = self.first or time.time()
        work()
        self.last = time.time()


async def ours(name: str, brokers: list[str], folder: Path, events: int) -> None:
    log = KafkaLog(KafkaLink(tuple(brokers)))
    await log.open()
    settings = kafka_settings(name, 10)
    role = Busy(
        log,
        SystemClock(),
        lambda role: make_app(group_of(log, role), partial(Transport, log), data_folder=str(folder), **settings),
    )
    role.go = folder / "go"
    stopping = asyncio.Event()
    task = asyncio.ensure_future(Supervision(role).run(stopping))
    while role.progress.handled + len(role.progress.next_offset) == 0 or role.state != "running":
        await asyncio.sleep(0.01)
    while role.progress.handled < events:
        (folder / f"{name}.held").write_text(str(len(role.progress.next_offset)))
        await asyncio.sleep(0.05)
    (folder / f"{name}.json").write_text(json.dumps([role.first, role.last, role.progress.handled]))
    stopping.set()
    await task
    await log.close()


async def raw(name: str, brokers: list[str], folder: Path, events: int) -> None:
    consumer = AIOKafkaConsumer(
        JOURNAL,
        bootstrap_servers=brokers,
        group_id="bare",
        group_instance_id=name,
        auto_offset_reset="earliest",
        enable_auto_commit=True,
        partition_assignment_strategy=[CoPartitioned],
    )
    await consumer.start()
    while not (folder / "go").exists():
        (folder / f"{name}.held").write_text(str(len(consumer.assignment())))
        await asyncio.sleep(0.02)
    first, handled = time.time(), 0
    while handled < events:
        for records in (await consumer.getmany(timeout_ms=200)).values():
            for _ in records:
                work()
                handled += 1
            await asyncio.sleep(0)
    (folder / f"{name}.json").write_text(json.dumps([first, time.time(), handled]))
    await consumer.stop()


if __name__ == "__main__":
    name, brokers, folder, how, events = sys.argv[1:]
    asyncio.run((ours if how == "ours" else raw)(name, brokers.split(","), Path(folder), int(events)))
