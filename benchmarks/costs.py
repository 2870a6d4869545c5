"""What one reading costs each role, in CPU, memory and bytes: real workers on a real Kafka and InfluxDB, a role in each
process, a town of people.

At 50 times real time a tick of the alerter comes every 10 s of the simulation, as it does in life; so 30 ticks a person
and reading are in its cost. What the processes use without anybody to watch is measured first and taken off.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import Figure
from iv3.verbs.simulate import people_of
from streams.adapters.logs.kafka.link import KafkaLink, brokers_of
from streams.adapters.logs.kafka.log import KafkaLog
from streams.topics import ALERTS, FORECASTS, JOURNAL
from tests.servers.influx import Influx
from tests.servers.kafka import Kafka
from tests.support.oracle import Phone
from tests.support.workers import Simulation, Worker

SPEED = 50.0
PEOPLE = int(os.environ.get("IV3_TEST_BENCH_PEOPLE", "240"))
LIVED_S, IDLE_S, SETTLE_S = 90, 15, 25
ROLES = ("poller", "projector", "forecaster", "alerter", "notifier", "archiver")
_TICKS = os.sysconf("SC_CLK_TCK")


class Use(NamedTuple):
    """What a process had used by a moment."""

    cpu_s: float
    rss_mb: float


def _use(pid: int) -> Use:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    rss = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return Use((int(fields[11]) + int(fields[12])) / _TICKS, int(rss.split()[1]) / 1024)


class Town:
    """`iv3 simulate --people` in a process of its own, and workers that watch it."""

    def __init__(self, folder: Path, kafka: Kafka, influx: Influx, phone: Phone, people: int) -> None:
        self.sim = Simulation(
            folder,
            kafka.url,
            speed=SPEED,
            ntfy=phone.server.url,
            person=None,
            series="influxdb",
            archive=f"folder:{folder / 'archive'}",
            influxdb={"url": influx.url, "token": influx.token, "org": influx.org},
        )
        self.share: subprocess.Popen[bytes] | None = None
        if people:
            command = [sys.executable, "-m", "benchmarks.costs_town", str(people), self.sim.clock_option]
            self.share = subprocess.Popen(command, stdout=subprocess.PIPE)
            url = (self.share.stdout.readline() if self.share.stdout else b"").decode().strip()
            path = folder / "config.yaml"
            path.write_text(path.read_text() + f"people: {json.dumps(people_of(people, url))}\n")
        self.workers = [Worker(self.sim, role, roles=role, data=f"data-{role}") for role in ROLES]
        self.api: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """All roles."""
        for worker in self.workers:
            worker.start()
        command = [
            sys.executable,
            "-P",
            "-m",
            "iv3",
            "api",
            "--port",
            "0",
            "--data",
            "data-api",
            "--clock",
            self.sim.clock_option,
        ]
        self.api = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.sim.folder)
        while not (self.sim.folder / "data-api" / "run.json").exists():
            time.sleep(0.1)

    def uses(self) -> dict[str, Use]:
        """What each role's process had used by now."""
        uses = {worker.name: _use(worker._inner) for worker in self.workers}
        if self.api is not None:
            (child,) = Path(f"/proc/{self.api.pid}/task/{self.api.pid}/children").read_text().split()
            uses["api"] = _use(int(child))
        return uses

    def end(self) -> None:
        """End every process of it."""
        for worker in self.workers:
            worker.end()
        if self.api is not None:
            self.api.kill()
            self.api.wait()
        if self.share is not None:
            self.share.kill()
            self.share.wait()


def _live(town: Town, seconds: float) -> tuple[dict[str, float], dict[str, float], float]:
    """CPU seconds of each role over so long, its memory at the end, and how long it really was."""
    before, began = town.uses(), time.monotonic()
    time.sleep(seconds)
    after = town.uses()
    took = time.monotonic() - began
    return (
        {role: after[role].cpu_s - before[role].cpu_s for role in after},
        {role: after[role].rss_mb for role in after},
        took,
    )


async def _log_sizes(url: str) -> tuple[int, dict[str, int]]:
    """Readings by their forecasts, and bytes of keys and values by topic."""
    log = KafkaLog(KafkaLink(brokers_of(url)))
    await log.open()
    total = dict.fromkeys((JOURNAL, FORECASTS, ALERTS), 0)
    try:
        for topic in (JOURNAL, FORECASTS, ALERTS):
            for partition in range(log.partitions[topic]):
                records = await log.read(topic, partition, 0, None, 1_000_000)
                total[topic] += sum(len(r.value or b"") + len(r.key or b"") for r in records)
        return sum(head for (topic, _), head in log.heads.items() if topic == FORECASTS), total
    finally:
        await log.close()


def run() -> list[Figure]:
    """The table; nothing here has a reach, for it is what sizing is worked out from."""
    with tempfile.TemporaryDirectory() as folder:
        kafka, influx, phone = Kafka(Path(folder) / "kafka"), Influx(Path(folder) / "influx"), Phone()
        kafka.start()
        influx.start()
        try:
            idle, idle_mb, idle_s = _measured(Town(Path(folder) / "idle", kafka, influx, phone, 0), IDLE_S)
            town = Town(Path(folder) / "town", kafka, influx, phone, PEOPLE)
            lived, lived_mb, lived_s = _measured(town, LIVED_S, settle_s=SETTLE_S)
            readings, size = asyncio.run(_log_sizes(kafka.url))
            archive = sum(f.stat().st_size for f in (Path(folder) / "town" / "archive").rglob("*") if f.is_file())
        finally:
            kafka.stop()
            influx.stop()
            phone.close()
    expected = PEOPLE * lived_s * SPEED / 300
    figures = [
        Figure(
            f"{role}: CPU a reading; idle; memory a person",
            f"{(lived[role] / lived_s - idle[role] / idle_s) * lived_s / expected * 1000:.2f} ms; "
            f"{idle[role] / idle_s * 1000:.0f} ms/s; {max(0.0, lived_mb[role] - idle_mb[role]) * 1000 / PEOPLE:.0f} kB",
            "measured",
            met=True,
        )
        for role in (*ROLES, "api")
    ]
    said = ", ".join(f"{topic.removeprefix('iv3.')} {count / readings:,.0f}" for topic, count in size.items())
    figures.append(Figure("log: bytes a reading", said, "measured", met=True))
    figures.append(
        Figure("archive before merging: bytes a reading", f"{archive / readings:,.0f}", "measured", met=True)
    )
    busy = statistics.fmean(os.getloadavg()[:1])
    figures.append(
        Figure(
            f"{PEOPLE} people at {SPEED:.0f} times real time",
            f"{expected / lived_s:.0f} readings/s, load {busy:.1f}",
            "measured",
            met=True,
        )
    )
    return figures


def _measured(town: Town, seconds: float, settle_s: float = 3.0) -> tuple[dict[str, float], dict[str, float], float]:
    try:
        town.start()
        time.sleep(settle_s)  # the day before that each account begins with is no part of it
        return _live(town, seconds)
    finally:
        town.end()
