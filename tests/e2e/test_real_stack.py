"""The real stack, whole: a person's day through Share, Kafka, InfluxDB, the API, ntfy and S3; held against embedded
defaults, deleted, and made again.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from processors.simulated_person import SimulatedEvent, simulate
from schemas.alerts import AlertsDecided
from schemas.envelope import decode
from schemas.model import ms
from streams.adapters.logs.kafka.link import KafkaLink, brokers_of
from streams.adapters.logs.kafka.log import KafkaLog
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.adapters.simulation.recorded import read_recorded
from streams.clock import SharedClock
from streams.ports.log import Log, Record
from streams.roles.alerter import Alerter
from streams.roles.forecaster import Forecaster
from streams.topics import ALERTS, ARCHIVED, FORECASTS, JOURNAL, partition_of
from tests.servers.influx import ORG, TOKEN, Influx
from tests.servers.kafka import Kafka, without_topics
from tests.servers.s3 import KEY, SECRET, Bucket
from tests.support.clock import SetClock
from tests.support.outside import Outside
from tests.support.running import app_maker, caught_up, running

PUBLIC = Path(__file__).resolve().parents[3] / "shared" / "predict" / "public"
DAY_MS = 86_400_000
SPEED = 500.0

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]


def lived(start_ms: int) -> list[SimulatedEvent]:
    """A recorded person with doses and meals, where the recordings are beside the checkout; else an invented one."""
    if (PUBLIC / "azt1d.csv").exists():
        return read_recorded(PUBLIC / "azt1d.csv", start_ms=start_ms, subject="azt1d-01")
    return simulate(1, start_ms, start_ms + 2 * DAY_MS)


class Stack:
    """`iv3 up` on the servers, in a folder of its own, with time that runs fast."""

    def __init__(self, folder: Path, kafka: Kafka, influx: Influx, s3: Bucket) -> None:
        self.folder, self.kafka = folder, kafka
        real_ms = int(time.time() * 1000)
        self.clock = SharedClock(real_ms, real_ms, SPEED)
        self.clock_option = f"{real_ms}/{real_ms}/{SPEED}"
        self.began_ms = real_ms
        self.events = lived(real_ms - 2 * 3_600_000)
        self.outside = Outside(self.events, now_ms=self.clock.now_ms)
        config = {
            "log": kafka.url,
            "series": "influxdb",
            "archive": "s3",
            "influxdb": {"url": influx.url, "token": TOKEN, "org": ORG},
            "s3": {"endpoint": s3.server.endpoint, "bucket": s3.name, "key": KEY, "secret": SECRET, "path_style": True},
            "dexcom": {"account": "demo", "password": "demo", "region": "ous", "url": self.outside.share.url},
            "ntfy": {"server": self.outside.phone.url, "topic": "stack"},
            "insulin": [
                {"name": "Humalog", "duration": 300, "peak": 75, "period_type": "short"},
                {"name": "Tresiba", "duration": 2520, "period_type": "long", "every_h": 24},
            ],
            "person": {"zone": "UTC"},
            "api": {"port": 0},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        self.process: subprocess.Popen[bytes] | None = None
        self.token = ""

    def start(self) -> None:
        with (self.folder / "up.log").open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "iv3", "up", "--clock", self.clock_option],
                stdout=out,
                stderr=out,
                cwd=self.folder,
            )
        deadline = time.monotonic() + 60
        while not (self.folder / "data" / "run.json").exists():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.05)
        self.token = self.iv3("token", "new", "--role", "owner", "--name", "t").split()[-1]

    def said(self) -> str:
        return (self.folder / "up.log").read_text()[-4000:]

    def iv3(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "iv3", *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        url = json.loads((self.folder / "data" / "run.json").read_text())["url"]
        request = urllib.request.Request(
            url + path, json.dumps(body).encode() if body is not None else None, method=method
        )
        request.add_header("Authorization", f"Bearer {self.token}")
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return reply.status, json.loads(reply.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def live(self, hours: float) -> int:
        """Live, writing down what the person of the recording ate and injected when they did. Returns how many
        entries.
        """
        end_ms = self.began_ms + round(hours * 3_600_000)
        diary = [e for e in self.events if e.kind != "glucose" and self.began_ms < e.time_ms < end_ms and e.value > 0]
        for number, event in enumerate(diary):
            self._wait_until(event.time_ms)
            body: dict[str, Any] = {"kind": "carbs", "grams": round(min(event.value, 300), 1), "time": event.time_ms}
            if event.kind != "carbs":
                name = "Tresiba" if event.kind == "long" else "Humalog"
                body = {
                    "kind": "insulin",
                    "units": round(event.value, 2),
                    "insulin": name,
                    "time": event.time_ms,
                    "confirm": True,
                }
            status, said = self.ask("POST", "/v1/entries?wait=1", body, Idempotency_Key=f"e{number}")
            assert status in (201, 202), said
        self._wait_until(end_ms)
        return len(diary)

    def _wait_until(self, time_ms: int) -> None:
        while self.clock.now_ms() < time_ms:
            assert self.process is not None
            assert self.process.poll() is None, self.said()
            time.sleep(0.02)

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        assert self.process.wait(20) == 0, self.said()

    def digest(self, *arguments: str) -> Any:
        return json.loads(self.iv3("digest", "--json", *arguments))

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.outside.close()


@pytest.fixture
def stack(tmp_path: Path, kafka: Kafka, influx: Influx, s3: Bucket) -> Iterator[Stack]:
    made = Stack(tmp_path, kafka, influx, s3)
    yield made
    made.close()


def test_a_day_on_the_servers_is_the_same_day_embedded_and_can_be_made_again(
    stack: Stack, influx: Influx, tmp_path: Path
) -> None:
    stack.start()
    entries = stack.live(24)
    _, answered = stack.ask("GET", f"/v1/readings?from={stack.began_ms}&to={stack.clock.now_ms()}&limit=1000")
    stack.stop()
    stack.iv3("backup")
    stack.iv3("replay")  # what was still on its way when it stopped
    whole = stack.digest()
    records = asyncio.run(everything(stack.kafka))
    total, rang = sum(map(len, records.values())), len(stack.outside.rang())
    print(f"\n{len(answered['items'])} readings by the API, {entries} entries, {total} records, {rang} rang")
    assert len(answered["items"]) > 200
    assert entries > 0

    stack.iv3("copy", "--from", "kafka", "--to", "sqlite", "--data", "embedded")
    config = yaml.safe_load((tmp_path / "config.yaml").read_text()) | {
        "log": "sqlite",
        "series": "sqlite",
        "archive": "none",
    }
    (tmp_path / "embedded.yaml").write_text(yaml.safe_dump(config))
    stack.iv3("replay", "--data", "embedded", "--config", "embedded.yaml")
    assert stack.digest("--data", "embedded", "--config", "embedded.yaml") == whole
    asyncio.run(as_embedded_decides(records, tmp_path / "again"))

    influx.clear()
    stack.iv3("replay")
    assert stack.digest() == whole, "the series made anew is the series"

    without_topics(stack.kafka.bootstrap)
    influx.clear()
    shutil.rmtree(tmp_path / "data")
    stack.iv3("restore", "--from", "s3")
    assert asyncio.run(everything(stack.kafka)) == records, "byte for byte"
    stack.iv3("replay")
    assert stack.digest() == whole


async def everything(kafka: Kafka) -> dict[tuple[str, int], list[Record]]:
    log = KafkaLog(KafkaLink(brokers_of(kafka.url)))
    await log.open()
    try:
        found = {place: await log.read(*place, 0, None, 1_000_000) for place in await log.latest(ARCHIVED)}
    finally:
        await log.close()
    return {place: records for place, records in found.items() if records}


async def as_embedded_decides(records: dict[tuple[str, int], list[Record]], folder: Path) -> None:
    """The same journal through the embedded roles: forecasts bit for bit, alarms by kind, first reading and step."""
    log, place = SqliteLog(folder / "log.db"), partition_of("me")
    forecast: Any = decode(records[FORECASTS, place][-1].value).data
    journal = records[JOURNAL, place][: forecast.pos + 1]  # what came just before the stop waits for the next start
    clock = SetClock(decode(journal[0].value).recorded_ms)
    roles: list[Any] = [Forecaster(log, clock, app_maker(log)), Alerter(log, clock, app_maker(log))]
    async with running(*roles):
        for record in journal:
            await _until(roles[1], clock, decode(record.value).recorded_ms)
            await log.append_as_was(JOURNAL, place, [record])  # type: ignore[list-item] # a record has all that an archived one has
            await caught_up(roles)
        await _until(roles[1], clock, clock.now_ms() + 60_000)
    said = [r.value for r in await log.read(FORECASTS, place, 0, None, 100_000)]
    assert said == [r.value for r in records[FORECASTS, place]]
    theirs, ours = _alarms(records[ALERTS, place]), _alarms(await _all(log, place))
    await log.close()
    assert theirs - ours == set()
    assert ours - theirs == set()
    assert len(ours) > 0


async def _until(alerter: Any, clock: SetClock, time_ms: int) -> None:
    """Let time pass, with the alerter looking every minute."""
    while clock.now_ms() + 60_000 < time_ms:
        clock.advance(60)
        await alerter.tick()
    clock.set(max(clock.now_ms(), time_ms))


async def _all(log: Log, place: int) -> list[Record]:
    return await log.read(ALERTS, place, 0, None, 100_000)


def _alarms(records: list[Record]) -> set[tuple[str, int | None, int]]:
    found: set[tuple[str, int | None, int]] = set()
    first: dict[str, int | None] = {}
    for event in (decode(record.value) for record in records):
        if isinstance(event.data, AlertsDecided):
            for change in event.data.events:
                reading = change.evidence.reading_time
                first.setdefault(change.episode, ms(reading) if reading is not None else None)
                if change.change in ("opened", "escalated") and change.kind != "system":
                    found.add((change.kind, first[change.episode], change.step))
    return found
