"""Alarms in shadow, with the real command: decided and shown, nothing sent or armed, and nothing of it rings
afterwards.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from processors.alerting.outbox import Outbox
from schemas.alerts import AlertEvent, AlertKind, AlertsDecided, Evidence, TargetAdded, TargetRemoved
from schemas.envelope import Event, decode, make
from schemas.model import Fact, at_ms
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.topics import ALERTS, partition_of
from tests.support.outside import Outside
from tests.support.up import Up

TOPIC = "a-phone-of-tests"


@pytest.fixture
def outside() -> Iterator[Outside]:
    made = Outside([])
    yield made
    made.close()


@pytest.fixture
def home(outside: Outside, tmp_path: Path) -> Path:
    insulin = [{"name": "Lantus", "duration": 1440, "period_type": "long"}]
    config = {
        "ntfy": {
            "server": outside.phone.url,
            "topic": TOPIC,
            "fallback": {"server": outside.phone.url, "topic": "other"},
        },
        "iv3": {"missing_long_threshold": 26},
        "insulin": insulin,
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


def running(home: Path, *more: str) -> Up:
    up = Up(home / "data", *more, demo=False)
    up.start()
    return up


def upload(up: Up, glucose_mgdl: float, minutes_ago: float) -> None:
    at = round((time.time() - minutes_ago * 60) * 1000)
    status, said = up.ask("POST", "/v1/readings", {"items": [{"time": at, "glucose_mgdl": glucose_mgdl}]})
    assert status == 202, said


def decided(home: Path) -> list[tuple[str, str]]:
    log = SqliteLog(home / "data" / "log.db")
    try:
        events = [decode(r.value).data for r in log.read_now(ALERTS, partition_of("me"), 0)]
    finally:
        log.close_now()
    return [
        (change.kind, change.change) for data in events if isinstance(data, AlertsDecided) for change in data.events
    ]


def until(true: Any, within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_in_shadow_a_low_is_decided_and_nothing_leaves_the_house(home: Path, outside: Outside) -> None:
    up = running(home, "--alerts", "shadow")
    try:
        upload(up, 50, 1)
        until(lambda: ("urgent_low", "opened") in decided(home))
        status, now = up.ask("GET", "/v1/now")
        assert status == 200
        bars = {bar["kind"]: bar["text"] for bar in now["bars"]}
        assert bars["shadow"].startswith("ALARMS ARE IN SHADOW: decided, not sent")
        assert "undeliverable" not in bars
        time.sleep(1.5)
        assert outside.phone.calls["PUT"] == outside.phone.calls["POST"] == 0
        assert "SHADOW" in up.said()
        up.stop()
        up = running(home)  # out of shadow: what was decided in it does not ring
        time.sleep(2)
        assert outside.rang() == []
        assert "shadow" not in {bar["kind"] for bar in up.ask("GET", "/v1/now")[1]["bars"]}
    finally:
        up.kill()


def test_whoever_was_told_before_is_told_nothing_of_the_shadow_later(home: Path, outside: Outside) -> None:
    up = running(home)
    try:
        upload(up, 50, 10)
        until(lambda: len(outside.rang()) == 1)
        up.stop()
        up = running(home, "--alerts", "shadow")
        for minutes_ago in (5, 0):
            upload(up, 120, minutes_ago)
        until(lambda: ("urgent_low", "resolved") in decided(home))
        up.stop()
        up = running(home)
        time.sleep(2)
        assert len(outside.rang()) == 1
    finally:
        up.kill()


def test_without_a_long_acting_dose_on_record_it_is_asked_for_and_nobody_is_paged(home: Path, outside: Outside) -> None:
    up = running(home)
    try:

        def asked() -> bool:
            return "no_long_acting" in {bar["kind"] for bar in up.ask("GET", "/v1/now")[1]["bars"]}

        upload(up, 110, 0)
        until(asked)
        assert [kind for kind, _ in decided(home) if kind == "no_long_acting"] == []
        body = {"kind": "insulin", "units": 20, "insulin": "Lantus", "time": int(time.time() * 1000) - 3_600_000}
        status, said = up.ask("POST", "/v1/entries?wait=1", body, Idempotency_Key="k")
        assert status in (201, 202), said
        until(lambda: not asked())
        assert outside.rang() == []
    finally:
        up.kill()


def alerts_on(home: Path, answers: str) -> tuple[int, str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("IV3_")}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "iv3", "alerts", "on"],
        cwd=home,
        env=environment,
        input=answers,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_alerts_go_on_only_once_somebody_heard_the_test_alarm(home: Path, outside: Outside) -> None:
    code, said = alerts_on(home, "y\nn\nn\n")
    assert (code, len(outside.rang())) == (1, 1)
    assert "stay as they are" in said
    code, said = alerts_on(home, "y\ny\n")
    assert (code, len(outside.rang())) == (0, 2)
    assert "start `iv3 up`" in said
    with (home / "config.yaml").open("a") as file:
        file.write("alerts: shadow\n")
    assert "`alerts: on`" in alerts_on(home, "y\ny\n")[1]
    assert alerts_on(home, "")[0] == 1
    (home / "config.yaml").write_text("alerts: on\n")
    code, said = alerts_on(home, "y\ny\n")
    assert (code, "ALARMS ARE OFF" in said) == (2, True)


def at(minute: int, data: Fact) -> Event:
    moment = at_ms(1_700_000_000_000 + minute * 60_000)
    return make(
        data, id=f"{type(data).__name__}-{minute}", source="test", subject="me", time=moment, recordedtime=moment
    )


def opened(minute: int, kind: AlertKind) -> Event:
    change = AlertEvent(
        change="opened",
        episode=f"{kind}-episode",
        kind=kind,
        step=1,
        priority=4,
        urgency=2,
        at=at_ms(1_700_000_000_000 + minute * 60_000),
        evidence=Evidence(),
    )
    return at(minute, AlertsDecided(pos=(minute, 0, 0), events=(change,)))


def test_a_removed_target_owes_nothing_until_it_is_added_again() -> None:
    box = Outbox(("phone",))
    for event in (at(0, TargetAdded(target="phone")), opened(1, "low")):
        box.evolve(event)
    assert len(box.due) == 1
    box.evolve(at(2, TargetRemoved(target="phone")))
    assert not box.due
    assert not box.evolve(opened(3, "high"))
    box.evolve(at(4, TargetAdded(target="phone")))
    assert not box.due
    assert len(box.evolve(opened(5, "stale"))) == 1
