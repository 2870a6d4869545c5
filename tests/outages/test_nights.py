"""Nights that go wrong: a machine whose clock is hours off, a start after a night without power, a disk that
fills up.
"""

import asyncio
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from processors.simulated_person import SimulatedEvent
from schemas.envelope import Event, make
from schemas.facts import GlucoseRead
from schemas.model import at_ms
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.ports.log import append_events
from streams.topics import JOURNAL
from tests.support.outside import Outside, host_ms
from tests.support.up import Up

pytestmark = pytest.mark.long

MIN = 60_000
HOUR = 60 * MIN


def day(now_ms: int, glucose: Callable[[int], float], newest_min: int = 2) -> list[SimulatedEvent]:
    """A day of readings up to a little ago; `glucose` takes the minutes before now."""
    newest = now_ms - newest_min * MIN
    return [SimulatedEvent(newest - n * 5 * MIN, "glucose", glucose(2 + 5 * n), "") for n in reversed(range(288))]


def wait_for(true: Callable[[], bool], within_s: float, what: str) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.1)


def real(folder: Path, outside: Outside) -> Up:
    """A real `iv3 up`, configured for the world outside."""
    config = folder / "config.yaml"
    config.write_text(
        f"dexcom: {{account: demo, password: demo, url: '{outside.share.url}'}}\n"
        f"ntfy: {{server: '{outside.phone.url}', topic: alarms}}\nperson: {{name: Maya, zone: Europe/Berlin}}\n"
    )
    return Up(folder / "data", "--config", str(config), demo=False)


def now(up: Up) -> dict[str, Any]:
    status, body = up.ask("GET", "/v1/now")
    assert status == 200
    found: dict[str, Any] = body
    return found


@pytest.mark.parametrize("ahead_h", [3, -3])
def test_a_clock_that_is_three_hours_wrong_neither_silences_a_low_nor_cries_wolf(tmp_path: Path, ahead_h: int) -> None:
    """Dexcom's time is the true one here; the host's is `ahead_h` ahead of it."""

    def true_ms() -> int:
        return host_ms() - ahead_h * HOUR

    outside = Outside(day(true_ms(), lambda minutes: 60 if minutes < 10 else 110), true_ms)
    up = real(tmp_path, outside)
    try:
        up.start()
        wait_for(lambda: any("Low" in title for title in outside.rang()), 60, "the low rings")
        said = now(up)
        assert (said["reading"]["age_s"] < 600, said["reading"]["stale"]) == (True, False)
        assert "clock_wrong" in {bar["kind"] for bar in said["bars"]}
        dose = {"kind": "carbs", "grams": 15, "time": true_ms()}
        assert up.ask("POST", "/v1/entries", dose, Idempotency_Key="a")[0] == 202, "the phone's time is right"
        wait_for(lambda: any("iv3 needs attention" in title for title in outside.rang()), 60, "the wrong clock is told")
        assert not [title for title in outside.rang() if "No readings" in title or "Lost" in title]
    finally:
        up.kill()
        outside.close()


async def _append(log: SqliteLog, event: Event) -> None:
    await append_events(log, JOURNAL, [event])
    await log.close()


def test_after_a_night_without_power_nothing_of_the_night_rings_and_nothing_is_called_stale_too_soon(
    tmp_path: Path,
) -> None:
    """The log's newest reading is nine hours old, the night had lows, and Dexcom takes longer to answer than the first
    ticks take to come.
    """
    begun = host_ms()
    outside = Outside(day(begun, lambda minutes: 48 if 150 < minutes < 210 else 120), slow_s=8.0)
    outside.share.set_faults(["slow"])
    log = SqliteLog(tmp_path / "data" / "log.db")
    moment = at_ms(begun - 9 * HOUR)
    data = GlucoseRead(glucose_mgdl=72.0)
    event = make(data, id="before", source="dexcom-share", subject="me", time=moment, recordedtime=moment)
    asyncio.run(_append(log, event))
    up = real(tmp_path, outside)
    try:
        up.start()
        wait_for(lambda: now(up)["reading"]["age_s"] < 600, 60, "the readings of the night are there")
        time.sleep(12)
        assert outside.rang() == []
        assert now(up)["alerts"] == []
    finally:
        up.kill()
        outside.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 MiB, of which the reserve is 256."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300m", "iv3-test", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


def test_a_disk_that_fills_up_turns_entries_away_keeps_readings_and_alarms_and_heals_by_itself(
    small_disk: Path, tmp_path: Path
) -> None:
    outside = Outside(
        day(host_ms(), lambda _: 110, newest_min=4)
    )  # a reading next to Dexcom's own would be taken for the same
    up = real(tmp_path, outside)
    up.data = small_disk / "data"
    up.command[up.command.index("--data") + 1] = str(up.data)
    ballast = small_disk / "ballast"
    (small_disk / "up.log").touch()
    try:
        up.start()
        owner = up.iv3("token", "new", "--role", "uploader", "--name", "xDrip", "--data", str(up.data)).split()[-1]
        assert up.ask("POST", "/v1/entries", {"kind": "carbs", "grams": 10}, Idempotency_Key="a")[0] == 202
        with ballast.open("wb") as file:
            file.write(os.urandom(1 << 20) * 60)  # 240 MiB are left: less than the reserve
        time.sleep(1.2)
        status, problem = up.ask("POST", "/v1/entries", {"kind": "carbs", "grams": 11}, Idempotency_Key="b")
        assert (status, "Nothing was saved" in problem["detail"]) == (507, True)
        owners, up.token = up.token, owner
        low = {"items": [{"time": host_ms() - 1000, "glucose_mgdl": 50}]}
        assert up.ask("POST", "/v1/readings", low)[0] == 202
        up.token = owners
        wait_for(
            lambda: any("URGENT LOW" in t for t in outside.rang()), 60, "the low rings though the disk is nearly full"
        )
        assert "disk_low" in {bar["kind"] for bar in now(up)["bars"]}
        wait_for(lambda: any("iv3 needs attention" in t for t in outside.rang()), 60, "the disk is told of")
        with ballast.open("ab") as file, pytest.raises(OSError, match="No space left"):
            while True:
                file.write(os.urandom(1 << 20))
        assert up.ask("POST", "/v1/entries", {"kind": "carbs", "grams": 12}, Idempotency_Key="c")[0] == 507
        assert up.ask("GET", "/v1/readings")[0] == 200
        ballast.unlink()
        time.sleep(1.2)
        for key, grams in (("b", 11), ("c", 12)):
            assert up.ask("POST", "/v1/entries", {"kind": "carbs", "grams": grams}, Idempotency_Key=key)[0] == 202
        entries = up.ask("GET", "/v1/entries")[1]["items"]
        assert sorted(entry["grams"] for entry in entries) == [10, 11, 12]
        assert up.process is not None
        assert up.process.poll() is None
    finally:
        up.kill()
        outside.close()
