"""kill -9 and SIGTERM of everything at random moments under load: nothing accepted is lost or counted twice, no step is
missed or rings twice.

Three cycles by default; IV3_TEST_CYCLES sets another number (`task chaos`: 50).
"""

import asyncio
import json
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.envelope import Event, decode
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.adapters.series.sqlite.series import SqliteSeries
from streams.topics import ALERTS, FORECASTS, JOURNAL, SNAPSHOTS
from streams.views.rows import apply_records
from tests.support.oracle import (
    Phone,
    all_records,
    each_accepted_once,
    forecasts_as_uninterrupted,
    steps_as_due,
    steps_still_due,
)
from tests.support.up import Up

CYCLES = int(os.environ.get("IV3_TEST_CYCLES", "3"))
SEED = int(os.environ.get("IV3_TEST_SEED", "7"))
_LEFT_AT_A_STOP = 20  # records of a topic that a stop may leave for the next start


@pytest.fixture
def phone() -> Iterator[Phone]:
    made = Phone()
    yield made
    made.close()


class Load:
    """Posts entries without a pause, and remembers what was answered 2xx."""

    def __init__(self, up: Up) -> None:
        self._up = up
        self._stop = threading.Event()
        self.accepted: dict[str, str] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        n = 0
        while not self._stop.is_set():
            key = f"load-{n}"
            body = {"kind": "carbs", "grams": 1 + n % 90, "note": f"n{n}"}
            with suppress(OSError, ValueError, KeyError):
                status, said = self._up.ask("POST", "/v1/entries", body, Idempotency_Key=key)
                if status == 202:
                    self.accepted[key] = said["id"]
                    n += 1
            time.sleep(0.01)

    def end(self) -> None:
        self._stop.set()
        self._thread.join(15)


@pytest.mark.chaos
@pytest.mark.timeout(1200)
def test_nothing_is_lost_doubled_or_missed_whenever_it_is_killed(
    tmp_path: Path, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With snapshots every few records, so that every start stands on some."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import streams.runtime.snapshots\nstreams.runtime.snapshots.EVERY = 7\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    rnd = random.Random(SEED)
    recording = _restless(tmp_path / "person.csv")
    up = Up(
        tmp_path / "data",
        "--csv",
        str(recording),
        "--speed",
        "300",
        "--ntfy-server",
        phone.server.url,
        "--ntfy-topic",
        "chaos",
    )
    up.start()
    load = Load(up)
    stops: list[float] = []
    for cycle in range(CYCLES):
        time.sleep(rnd.uniform(0.3, 3.0))
        phone.misbehave(rnd)
        if cycle % 5 == 2:
            stops.append(up.stop())
        else:
            up.kill()
        up.start()
    time.sleep(2)
    load.end()
    _end_with_nothing_due(up)
    counts = asyncio.run(_check(up.data, load.accepted, phone.rang()))
    assert counts["snapshots of alerts"] >= 2, "the alerter's and the notifier's"
    print(f"\nkill cycles {CYCLES}, of them SIGTERM {len(stops)}, the slowest {max(stops, default=0):.2f} s, {counts}")


@pytest.mark.chaos
@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_replay_beside_a_busy_house_loses_no_row_of_what_came_meanwhile(tmp_path: Path) -> None:
    """The projector of the old series has records in hand at the moment the new one is taken up."""
    up = Up(tmp_path / "data", "--csv", str(_restless(tmp_path / "person.csv")), "--speed", "1000")
    up.start()
    load = Load(up)
    try:
        for _ in range(max(3, CYCLES // 5)):
            time.sleep(0.5)
            up.iv3("replay", "--data", str(up.data))
        time.sleep(1)
        load.end()
        _wait_until_quiet(up)
        up.stop()
        asyncio.run(_compare(up.data))
    finally:
        load.end()
        up.kill()


async def _compare(data: Path) -> None:
    log = SqliteLog(data / "log.db", demo=True)
    try:
        events = {t: [(r, decode(r.value)) for r in await all_records(log, t)] for t in (JOURNAL, FORECASTS, ALERTS)}
        await _series_as_uninterrupted(data, log, events)
    finally:
        await log.close()


def _restless(path: Path) -> Path:
    """A recorded person who goes low and comes back every half hour, for two weeks: something rings every few seconds
    of the test.
    """
    hour = (66, 52, 60, 85, 95, 110)
    start = datetime(2026, 1, 5, tzinfo=UTC)
    rows = [f"me,{start + timedelta(minutes=5 * n):%Y-%m-%dT%H:%M:%SZ},{hour[n % 6] + n % 2}" for n in range(14 * 288)]
    path.write_text("subject,time,glucose_mgdl\n" + "\n".join(rows) + "\n")
    return path


def _wait_until_quiet(up: Up, within_s: float = 60.0) -> None:
    """Every role has caught up, and nothing is waiting to be sent."""
    deadline = time.monotonic() + within_s
    quiet = 0
    while quiet < 3:
        assert time.monotonic() < deadline, f"never caught up: {_metrics(up)}"
        figures = _metrics(up)
        lag = sum(value for name, value in figures.items() if name.startswith("iv3_role_lag"))
        quiet = quiet + 1 if lag == 0 and figures["iv3_notifier_waiting"] == 0 else 0
        time.sleep(0.1)


def _metrics(up: Up) -> dict[str, float]:
    import urllib.request

    request = urllib.request.Request(up.url + "/metrics", headers={"Authorization": f"Bearer {up.token}"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        lines = reply.read().decode().splitlines()
    return {line.split()[0]: float(line.split()[1]) for line in lines if not line.startswith("#")}


def _end_with_nothing_due(up: Up) -> None:
    """Time goes on until the last moment, and what was decided in it may not have been sent. After another start it
    must have been, sooner or later.
    """
    for _ in range(5):
        _wait_until_quiet(up)
        up.stop()
        if not asyncio.run(_still_due(up.data)):
            return
        up.start()
    up.stop()  # whoever counts now says what it is


async def _still_due(data: Path) -> list[str]:
    log = SqliteLog(data / "log.db", demo=True)
    try:
        return steps_still_due([(r, decode(r.value)) for r in await all_records(log, ALERTS)])
    finally:
        await log.close()


async def _check(data: Path, accepted: dict[str, str], rang: list[str]) -> dict[str, int]:
    log = SqliteLog(data / "log.db", demo=True)
    try:
        records = {t: await all_records(log, t) for t in (JOURNAL, FORECASTS, ALERTS)}
        events = {t: [(r, decode(r.value)) for r in rs] for t, rs in records.items()}
        counts = {"accepted": len(accepted), "journal": len(records[JOURNAL]), "rang": len(set(rang))}
        each_accepted_once(events[JOURNAL], accepted)
        counts["forecasts"], repeats = forecasts_as_uninterrupted(events)
        assert repeats == 0, "a reading was forecast twice"
        counts["steps"] = steps_as_due(events[ALERTS], rang)
        counts["raw repeats"] = len(rang) - len(set(rang))
        counts["alerts"], counts["snapshots of alerts"] = len(records[ALERTS]), await _snapshots_of_alerts(log)
        await _series_as_uninterrupted(data, log, events)
    finally:
        await log.close()
    return counts


async def _snapshots_of_alerts(log: SqliteLog) -> int:
    """How many were written. Old ones are compacted away, so offsets say it."""
    found = [r for n in range(log.partitions[SNAPSHOTS]) for r in await log.read(SNAPSHOTS, n, 0, None, 100_000)]
    return len([r for r in found if (r.key or b"").endswith(b"//partition")])


def _live_series(data: Path) -> Path:
    pointer = data / "projections.json"
    number = json.loads(pointer.read_text())["series"] if pointer.exists() else 1
    return data / f"series-{number}.db"


async def _series_as_uninterrupted(data: Path, log: SqliteLog, events: dict[str, list[tuple[Any, Event]]]) -> None:
    fresh = SqliteSeries(data / "fresh.db", log.log_id)
    live = SqliteSeries(_live_series(data), log.log_id)
    through = await live.position()
    for topic in (JOURNAL, FORECASTS, ALERTS):
        # A stop comes between a reading and its point now and then; what the series says it holds is compared.
        seen = [(r, event) for r, event in events[topic] if r.offset < through.get((topic, r.partition), 0)]
        assert len(events[topic]) - len(seen) <= _LEFT_AT_A_STOP, f"{topic} was not projected"
        await apply_records(fresh, seen)
    assert await live.digest() == await fresh.digest()
    await live.close()
    await fresh.close()
