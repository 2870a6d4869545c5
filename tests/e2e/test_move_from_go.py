"""The page `docs/howto/move-from-go.md` keeps its word: its own commands, in its order, on a real InfluxDB and beside a
stand-in of the old program.
"""

import os
import re
import shlex
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from processors.simulated_person import SimulatedEvent
from schemas.alerts import AlertsDecided
from schemas.envelope import Event, decode
from schemas.facts import GlucoseRead, InsulinTaken
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.adapters.sources.dexcom import DexcomShare
from streams.ports.source import Fetched
from streams.topics import ALERTS, JOURNAL, partition_of
from tests.servers.ground import free_port
from tests.servers.influx import Influx
from tests.standins import seed
from tests.standins.seed import SeedProgram
from tests.support.outside import Outside

pytestmark = pytest.mark.servers
PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "move-from-go.md"
DAY_S = 86_400


def commands() -> list[str]:
    """The lines of every block, in order."""
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


class Sunday:
    """The old program's folder, the world around it, and somebody who types what the page says."""

    def __init__(self, folder: Path, influx: Influx) -> None:
        self.influx, self.here, self.home = influx, folder / "iv3", folder / "iv3-new"
        self.now = int(time.time())
        steady = [SimulatedEvent((self.now - 90 - n * 300) * 1000, "glucose", 110.0 + n % 7, "") for n in range(288)]
        steady[3] = steady[3]._replace(value=52.0)
        self.outside = Outside(steady)
        (self.here / "_iv3_ssl").mkdir(parents=True)
        pair = (self.here / "_iv3_ssl" / "certfile.crt", self.here / "_iv3_ssl" / "keyfile.key")
        subprocess.run(
            [
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "300",
                "-subj",
                "/CN=somebody",
                "-keyout",
                str(pair[1]),
                "-out",
                str(pair[0]),
            ],
            check=True,
            capture_output=True,
        )
        pair[1].chmod(0o600)
        self.pair, self.trusts = pair, ssl.create_default_context(cafile=str(pair[0]))
        self.trusts.check_hostname = False
        self.program: SeedProgram | None = SeedProgram(influx, pair)
        self.ports = {"https://127.0.0.1:8080": self.program.url, "--port 8081": f"--port {free_port()}"}
        self.running: subprocess.Popen[bytes] | None = None
        self.said: dict[str, str] = {}
        self._write_files()
        self._fill()

    def _write_files(self) -> None:
        config = {
            "dexcom": {"account": "demo", "password": "demo", "url": self.outside.share.url},
            "insulin": [
                {"name": "Humalog", "duration": 240, "peak": 75, "period_type": "short"},
                {"name": "Tresiba", "duration": 2520, "peak": 0, "period_type": "long"},
            ],
            "api": {"username": seed.USERNAME, "password": seed.PASSWORD, "port": free_port()},
            "iv3": {"unit": "mmol/L", "endpoint": "a-topic-that-nobody-guesses-7f3a91", "missing_long_threshold": 26},
            "ntfy": {"server": self.outside.phone.url},
        }
        (self.here / "config.yaml").write_text(yaml.safe_dump(config))
        (self.here / ".env").write_text(
            f"INFLUXDB_TOKEN={self.influx.token}\nINFLUXDB_URL={self.influx.url}\nIV3_ENV=dev\nDD_API_KEY=x\n"
        )

    def _fill(self) -> None:
        """As the old program would have: what it heard from Dexcom in the last day, and older history."""
        seed.make_buckets(self.influx)
        share = DexcomShare(
            username="demo",
            password=SecretStr("demo"),
            region="us",
            session_file=self.here / "s.json",
            base_url=self.outside.share.url,
        )

        async def ask() -> Fetched:
            try:
                return await share.latest(1440, 288, may_log_in=True)
            finally:
                await share.close()

        heard = self.outside.call(ask()).readings
        assert len(heard) > 250
        days = range(2, 40)
        seed.write(
            self.influx, "iv3_glucose", [seed.reading(r.time_ms // 1000, r.glucose_mgdl, r.trend or "") for r in heard]
        )
        old = [seed.reading(self.now - day * DAY_S + n * 300, 50 + day + n % 30) for day in days for n in range(100)]
        seed.write(self.influx, "iv3_glucose", old)
        seed.write(self.influx, "iv3_insulin", [seed.dose(self.now - day * DAY_S, 18, "Tresiba") for day in days])
        seed.write(self.influx, "iv3_insulin", [seed.dose(self.now - n * 7000, 4, "Humalog") for n in range(1, 40)])
        seed.write(self.influx, "iv3_carb", [seed.meal(self.now - n * 7100, 30) for n in range(1, 40)])
        self.history = len(heard) + len(old) + len(days) + 39 + 39

    # -- typing ------------------------------------------------------------------------------------

    def type(self, line: str) -> None:
        """Type a line of the page."""
        for said, here in self.ports.items():
            line = line.replace(said, here)
        words = shlex.split(line)
        match words[:2]:
            case ["cd", folder]:
                self.here = (self.here / folder).resolve()
            case ["docker", "compose"]:
                self._compose(words[2])
            case ["iv3", "up"]:
                self._start(words[1:])
            case ["iv3", *_]:
                self._iv3(words[1:])
            case _:
                subprocess.run(words, cwd=self.here, check=True)

    def _compose(self, what: str) -> None:
        if what == "stop" and self.program is not None:
            self.program.stop()
            self.program = None
        elif what == "start":
            self.program = SeedProgram(self.influx, self.pair)

    def _environment(self) -> dict[str, str]:
        return {k: v for k, v in os.environ.items() if not k.startswith(("IV3_", "INFLUXDB_"))}

    def _iv3(self, words: list[str]) -> None:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "iv3", *words],
            cwd=self.here,
            env=self._environment(),
            input="y\ny\n",
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        self.said[" ".join(words[:2])] = done.stdout + done.stderr
        if words == ["stop"] and self.running is not None:
            assert self.running.wait(10) == 0
            self.running = None

    def _start(self, words: list[str]) -> None:
        with (self.here / "up.log").open("ab") as out:
            self.running = subprocess.Popen(
                [sys.executable, "-P", "-m", "iv3", *words],
                cwd=self.here,
                env=self._environment(),
                stdout=out,
                stderr=out,
            )
        deadline = time.monotonic() + 60
        while not (self.here / "data" / "run.json").exists():
            assert self.running.poll() is None, (self.here / "up.log").read_text()
            assert time.monotonic() < deadline, (self.here / "up.log").read_text()
            time.sleep(0.05)

    # -- looking -----------------------------------------------------------------------------------

    def log(self, topic: str) -> list[Event]:
        log = SqliteLog(self.home / "data" / "log.db")
        try:
            return [decode(r.value) for r in log.read_now(topic, partition_of("me"), 0, limit=1_000_000)]
        finally:
            log.close_now()

    def decided(self) -> list[str]:
        found = [event.data for event in self.log(ALERTS)]
        return [change.kind for data in found if isinstance(data, AlertsDecided) for change in data.events]

    def readings_ids(self) -> list[str]:
        return [event.id for event in self.log(JOURNAL) if isinstance(event.data, GlucoseRead)]

    def close(self) -> None:
        if self.running is not None:
            self.running.kill()
            self.running.wait()
        if self.program is not None:
            self.program.stop()
        self.outside.close()
        shutil.rmtree(self.home, ignore_errors=True)


@pytest.fixture
def sunday(influx: Influx, tmp_path: Path) -> Iterator[Sunday]:
    made = Sunday(tmp_path, influx)
    yield made
    made.close()


def content(influx: Influx) -> Any:
    return [influx.query(name, "SELECT * FROM /.*/") for name in seed.BUCKETS]


@pytest.mark.timeout(300)
def test_the_page_moves_somebody_over_and_back(sunday: Sunday, influx: Influx) -> None:
    lines = iter(commands())

    def until_typed(last: str) -> None:
        for line in lines:
            sunday.type(line)
            if line.startswith(last):
                return
        raise AssertionError(f"the page has no {last}")

    before = content(influx)
    until_typed("iv3 import seed-influx --dry-run")
    assert not (sunday.home / "data" / "log.db").exists()
    until_typed("iv3 import seed-influx")
    assert f"{sunday.history:,} imported" in sunday.said["import seed-influx"]
    probed = len(sunday.outside.phone.received)  # by the doctor, in silence
    until_typed("iv3 up --alerts=shadow")
    deadline = time.monotonic() + 60
    while not any(event.type == "iv3.source-state.v1" for event in sunday.log(JOURNAL)):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    ids = sunday.readings_ids()
    assert len(ids) == len(set(ids)), "what Dexcom gave is what was imported"
    until_typed("iv3 compare seed")
    assert "0 only in the old program, 0 only in iv3" in sunday.said["compare seed"]
    assert content(influx) == before, "the old program's buckets are only read"
    assert sunday.decided() == []
    seed.write(influx, "iv3_insulin", [seed.dose(sunday.now - 30, 7, "Humalog")])  # it ran on
    seed.write(influx, "iv3_glucose", [seed.reading(int(time.time()), 50)])
    ran_on = content(influx)
    until_typed("iv3 import seed-influx")
    assert "2 imported" in sunday.said["import seed-influx"]
    while "urgent_low" not in sunday.decided():
        assert time.monotonic() < deadline + 60
        time.sleep(0.2)
    time.sleep(1)
    assert len(sunday.outside.phone.received) == probed, "nothing was sent, and nothing armed"
    until_typed("iv3 alerts on")
    assert [e.data.action for e in sunday.log(JOURNAL) if isinstance(e.data, InsulinTaken) and e.data.units == 7] == [
        "rapid"
    ]
    until_typed("iv3 up")
    time.sleep(2)
    # What iv3 sends to learn what a server can do is silent; the dead-man's switch lies in the future.
    told = [
        r.message["title"]
        for r in sunday.outside.phone.received[probed:]
        if r.message["event"] == "message" and r.message.get("sequence_id") != "iv3-probe" and not r.delay_s
    ]
    assert ["test alarm" in title for title in told] == [True], told
    until_typed("docker compose start")
    assert next(lines, None) is None
    assert content(influx) == ran_on
    assert sunday.running is None
