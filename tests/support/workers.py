"""Starts real `iv3 worker` processes on a real Kafka, and people whose readings come without a pause."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import yaml

from schemas.envelope import make
from schemas.facts import GlucoseRead
from schemas.model import at_ms
from streams.adapters.logs.kafka.link import KafkaLink, brokers_of
from streams.adapters.logs.kafka.log import KafkaLog
from streams.clock import SharedClock
from streams.errors import Transient
from streams.ports.log import append_events
from streams.topics import JOURNAL

CADENCE_MS = 300_000


class Simulation:
    """A folder with a configuration, and a time that all its processes share."""

    def __init__(self, folder: Path, log: str, *, speed: float, ntfy: str = "", **settings: object) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.origin_ms, self.real_ms, self.speed = 1_795_500_000_000, int(time.time() * 1000), speed
        config = {
            "log": log,
            "kafka": {"session_s": 4},
            "person": {"zone": "UTC"},
            "ntfy": {"server": ntfy or "http://127.0.0.1:9", "topic": "chaos" if ntfy else ""},
            **settings,
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config))

    @property
    def clock(self) -> SharedClock:
        return SharedClock(self.origin_ms, self.real_ms, self.speed)

    @property
    def clock_option(self) -> str:
        return f"{self.origin_ms}/{self.real_ms}/{self.speed}"


class Worker:
    """One `iv3 worker`, with its supervisor."""

    def __init__(
        self,
        simulation: Simulation,
        name: str,
        roles: str = "projector,forecaster,alerter,notifier",
        data: str = "data",
    ) -> None:
        self.name, self._simulation, self._roles, self._data = name, simulation, roles, data
        self._note = simulation.folder / data / f"worker-{name}.json"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def command(self) -> list[str]:
        """With the simulation's time as it is now: a test may have it go on at another pace."""
        return [
            sys.executable,
            "-P",
            "-m",
            "iv3",
            "worker",
            "--name",
            self.name,
            "--role",
            self._roles,
            "--data",
            self._data,
            "--clock",
            self._simulation.clock_option,
        ]

    def start(self, within_s: float = 60.0) -> float:
        """Start, wait until it is ready; the seconds that took."""
        self._note.unlink(missing_ok=True)
        began = time.monotonic()
        with (self._simulation.folder / f"{self.name}.log").open("ab") as out:
            self.process = subprocess.Popen(self.command, stdout=out, stderr=out, cwd=self._simulation.folder)
        try:
            while not self.is_ready():
                assert self.process.poll() is None, self.said()
                assert time.monotonic() - began < within_s, self.said()
                time.sleep(0.02)
        except BaseException:
            self.kill()  # what is left running would write into the next test
            raise
        return time.monotonic() - began

    def ask(self, path: str) -> str:
        url = json.loads(self._note.read_text())["url"]
        with urllib.request.urlopen(url + path, timeout=60) as reply:
            said: str = reply.read().decode()
        return said

    def is_ready(self) -> bool:
        try:
            return bool(json.loads(self.ask("/readyz"))["ready"])
        except (OSError, ValueError, KeyError):
            return False

    def figures(self) -> dict[str, float]:
        return {line.split()[0]: float(line.split()[1]) for line in self.ask("/metrics").splitlines() if line[0] != "#"}

    def said(self) -> str:
        return (self._simulation.folder / f"{self.name}.log").read_text()[-3000:]

    @property
    def _inner(self) -> int:
        return int(json.loads(self._note.read_text())["pid"])

    def kill(self) -> None:
        """The supervisor, and with it at once the worker."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self, within_s: float = 60.0) -> float:
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(within_s) == 0, self.said()
        return time.monotonic() - began

    def freeze(self) -> Callable[[], None]:
        """Stop the worker's clock, as a machine that swaps or a laptop that sleeps does; returns what wakes it."""
        pid = self._inner
        os.kill(pid, signal.SIGSTOP)
        return lambda: os.kill(pid, signal.SIGCONT)

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()


class People:
    """So many people, each with a reading every five minutes of the simulation; what was acknowledged is remembered."""

    def __init__(self, simulation: Simulation, url: str, count: int, glucose: Callable[[int], float]) -> None:
        self._simulation, self._url, self._count, self._glucose = simulation, url, count, glucose
        self.accepted: dict[str, str] = {}
        self.unsure = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()), daemon=True)
        self._thread.start()

    async def _live(self) -> None:
        log = KafkaLog(KafkaLink(brokers_of(self._url)))
        await log.open()
        await asyncio.gather(*(self._one(log, number) for number in range(self._count)))
        await log.close()

    async def _one(self, log: KafkaLog, number: int) -> None:
        clock, person = self._simulation.clock, f"p{number}"
        first = clock.now_ms() // 1000 * 1000 + number * CADENCE_MS // self._count
        for n in range(1_000_000):
            time_ms = first + n * CADENCE_MS
            while not self._stop.is_set() and clock.now_ms() < time_ms:
                await asyncio.sleep(0.01)
            if self._stop.is_set():
                return
            at = at_ms(time_ms)
            event = make(
                GlucoseRead(glucose_mgdl=self._glucose(n + number), trend="Flat"),
                id=f"{person}-{n}",
                source="test",
                subject=person,
                time=at,
                recordedtime=at,
            )
            while not self._stop.is_set():
                try:
                    await append_events(log, JOURNAL, [event])
                    self.accepted[event.id] = event.id
                    break
                except Transient:
                    self.unsure += 1
                    await asyncio.sleep(0.1)

    def end(self) -> None:
        self._stop.set()
        self._thread.join(30)
