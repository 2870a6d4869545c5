"""The dead-man's switch and the second way out, with the real command, real kills and time that runs fast."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.outages.oracle import Phone
from tests.outages.outside import Outside

SPEED = 120.0  # ten minutes are five seconds
MINUTE_S = 60 / SPEED


class House:
    """`iv3 up` in a folder of its own, on a clock that runs fast."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder = folder
        now_ms = int(time.time() * 1000)
        self.clock = f"{now_ms}/{now_ms}/{SPEED}"
        (folder / "config.yaml").write_text(yaml.safe_dump({"api": {"port": 0}, "person": {"zone": "UTC"}, **config}))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        (self.folder / "data" / "run.json").unlink(missing_ok=True)
        with (self.folder / "up.log").open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "iv3", "up", "--clock", self.clock], stdout=out, stderr=out, cwd=self.folder
            )  # fmt: skip
        deadline = time.monotonic() + 30
        while not (self.folder / "data" / "run.json").exists():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.05)

    def said(self) -> str:
        return (self.folder / "up.log").read_text()[-3000:]

    def post(self, glucose_mgdl: float, now_ms: int) -> None:
        import urllib.request

        url = json.loads((self.folder / "data" / "run.json").read_text())["url"]
        body = json.dumps({"items": [{"time": now_ms, "glucose_mgdl": glucose_mgdl}]}).encode()
        request = urllib.request.Request(
            url + "/v1/readings", data=body, headers={"Authorization": f"Bearer {self.token}"}
        )
        urllib.request.urlopen(request, timeout=10).read()

    @property
    def token(self) -> str:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "iv3", "token", "new", "--role", "owner", "--name", "t"], cwd=self.folder, capture_output=True, text=True,
            timeout=30, check=True,
        )  # fmt: skip
        return done.stdout.split()[-1]

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()


@pytest.fixture
def phone() -> Iterator[Phone]:
    made = Phone()
    yield made
    made.close()


def fired(phone: Phone) -> list[float]:
    """When the phone showed that iv3 is silent, by the server's clock."""
    return phone.shown_at("iv3 is silent")


@pytest.mark.chaos
@pytest.mark.long
@pytest.mark.timeout(180)
def test_after_everything_is_killed_the_phone_says_so_twice_and_never_a_third_time(
    tmp_path: Path, phone: Phone
) -> None:
    house = House(tmp_path, {"ntfy": {"server": phone.server.url, "topic": "watch"}})
    house.start()
    time.sleep(25 * MINUTE_S)  # put off a few times
    assert fired(phone) == [], "while it runs, nobody is told that it is silent"
    died = time.time()
    house.kill()
    time.sleep(75 * MINUTE_S)
    first, second = (at - died for at in fired(phone))
    assert 19 * MINUTE_S < first < 41 * MINUTE_S
    assert second - first < 11 * MINUTE_S
    house.start()
    time.sleep(8 * MINUTE_S)
    assert len(fired(phone)) == 2
    assert phone.shown("iv3 is silent") == [], "what lies on the phone is taken off once iv3 is back"
    assert len(phone.shown("iv3 is back")) == 1
    house.end()


@pytest.mark.chaos
@pytest.mark.long
@pytest.mark.timeout(180)
def test_a_source_that_is_away_or_loses_readings_never_reads_as_silence(tmp_path: Path) -> None:
    outside = Outside()
    try:
        house = House(tmp_path, {
            "ntfy": {"server": outside.phone.url, "topic": "watch"},
            "dexcom": {"account": "demo", "password": "demo", "region": "ous", "url": outside.share.url},
        })  # fmt: skip
        house.start()
        time.sleep(15 * MINUTE_S)
        outside.call(outside.share.stop())
        time.sleep(90 * MINUTE_S)
        assert not [
            r for r in outside.phone._rows if r.message.get("title") == "iv3 is silent" and r.at_s <= time.time()
        ]
        assert any(
            "No readings" in title or "no readings" in title.lower() or "stale" in title.lower() or "No data" in title
            for title in outside.rang()
        )
        house.end()
        outside.call(outside.share.start())
    finally:
        outside.close()
