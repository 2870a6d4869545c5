"""The dead-man's switch and the second way out, with the real command, real kills and time that runs fast."""

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from processors.simulated_person import simulate
from schemas.envelope import make
from schemas.facts import DeviceStarted
from schemas.model import at_ms
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.clock import SharedClock
from streams.ports.log import append_events
from streams.topics import JOURNAL
from tests.support.oracle import Phone
from tests.support.outside import Outside

SPEED = 120.0  # ten minutes are five seconds
MINUTE_S = 60 / SPEED


class House:
    """`iv3 up` in a folder of its own, on a clock that runs fast."""

    def __init__(self, folder: Path, config: dict[str, Any], speed: float = SPEED) -> None:
        self.folder = folder
        now_ms = int(time.time() * 1000)
        self.time = SharedClock(now_ms, now_ms, speed)
        self.clock = f"{now_ms}/{now_ms}/{speed}"
        (folder / "config.yaml").write_text(yaml.safe_dump({"api": {"port": 0}, "person": {"zone": "UTC"}, **config}))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        (self.folder / "data" / "run.json").unlink(missing_ok=True)
        with (self.folder / "up.log").open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "iv3", "up", "--clock", self.clock],
                stdout=out,
                stderr=out,
                cwd=self.folder,
            )
        deadline = time.monotonic() + 60
        while not (self.folder / "data" / "run.json").exists():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.05)

    def said(self) -> str:
        return (self.folder / "up.log").read_text()[-3000:]

    def log_a_new_sensor(self) -> None:
        """As a command beside a running iv3 does."""

        async def work() -> None:
            log = SqliteLog(self.folder / "data" / "log.db")
            now = at_ms(self.time.now_ms())
            fact = DeviceStarted(device="sensor", warm_up_minutes=120)
            event = make(fact, id=f"sensor {now}", source="test", subject="me", time=now, recordedtime=now)
            await append_events(log, JOURNAL, [event])
            await log.close()

        asyncio.run(work())

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
        house = House(
            tmp_path,
            {
                "ntfy": {"server": outside.phone.url, "topic": "watch"},
                "dexcom": {"account": "demo", "password": "demo", "region": "ous", "url": outside.share.url},
            },
        )
        house.start()
        time.sleep(15 * MINUTE_S)
        outside.call(outside.share.stop())
        time.sleep(90 * MINUTE_S)
        assert not [
            r for r in outside.phone.rows if r.message.get("title") == "iv3 is silent" and r.at_s <= time.time()
        ]
        assert any(
            "No readings" in title or "no readings" in title.lower() or "stale" in title.lower() or "No data" in title
            for title in outside.rang()
        )
        house.end()
        outside.call(outside.share.start())
    finally:
        outside.close()


DAYS = float(os.environ.get("IV3_TEST_DEADMAN_DAYS", "0.25"))
SLOW = 240.0  # forty minutes are ten seconds, the least that ntfy delays a message by
HOUR_MS = 3_600_000


@pytest.mark.chaos
@pytest.mark.long
@pytest.mark.timeout(round(DAYS * 86_400 / SLOW) + 180)
def test_days_with_lost_readings_an_outage_and_a_warm_up_never_read_as_silence(tmp_path: Path) -> None:
    """One reading in twenty never comes; once a day Dexcom is away for an hour and a half, and a new sensor warms up
    for two.
    """
    rnd, lost = random.Random(5), 0
    begin = int(time.time() * 1000)
    end = begin + round(DAYS * 86_400_000) + HOUR_MS
    events = []
    for event in simulate(4, begin - 86_400_000, end):
        warming = event.time_ms > begin and 2 <= (event.time_ms - begin) / HOUR_MS % 24 < 4
        if event.kind == "glucose" and (warming or rnd.random() < 0.05):
            lost += 1
            continue
        events.append(event)
    clock: list[SharedClock] = []
    outside = Outside(events, now_ms=lambda: clock[0].now_ms() if clock else begin)
    house = House(
        tmp_path,
        {
            "ntfy": {"server": outside.phone.url, "topic": "watch"},
            "dexcom": {"account": "demo", "password": "demo", "region": "ous", "url": outside.share.url},
        },
        SLOW,
    )
    port = int(outside.share.url.split(":")[2].split("/")[0])
    clock.append(house.time)
    began_ms = house.time.now_ms()
    warmed, away = set(), False
    try:
        house.start()
        while (lived_h := (house.time.now_ms() - began_ms) / HOUR_MS) < DAYS * 24:
            day, hour = divmod(lived_h, 24)
            if 2 <= hour < 4 and day not in warmed:
                warmed.add(day)
                house.log_a_new_sensor()
            if away is not (4.5 <= hour < 6):
                away = not away
                outside.call(outside.share.stop() if away else outside.share.start(port=port))
            time.sleep(0.5)
        armed = [r for r in outside.phone.received if r.message.get("title") == "iv3 is silent"]
        silent = [r for r in outside.phone.rows if r.message.get("title") == "iv3 is silent" and r.at_s <= time.time()]
        print(f"\n{DAYS} days, {lost} readings lost, armed {len(armed)} times, rang {len(silent)} times")
        assert len(armed) > DAYS * 100, "it was put off every ten minutes, most of the time"
        assert silent == []
    finally:
        house.end()
        outside.close()
