"""History comes over from a real InfluxDB in the older program's layout: once, however often it is imported, and nobody
is paged for it.
"""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from processors.legacy.moving import Insulins, LeftOut, LegacyImport, Row, UnknownInsulin
from processors.simulated_person import SimulatedEvent
from schemas.alerts import AlertsDecided
from schemas.envelope import Event, decode
from schemas.facts import CarbsEaten, GlucoseRead, Insulin, InsulinTaken
from schemas.identity import legacy_entry_id, reading_id
from streams.adapters.legacy.buckets import GLUCOSE, LegacyBuckets
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.adapters.series.influx.server import InfluxServer
from streams.topics import ALERTS, JOURNAL, partition_of
from tests.servers.influx import Influx
from tests.standins import seed
from tests.support.outside import Outside
from tests.support.up import Up

CONFIG = """
dexcom: {account: someone, password: not-used, url: "http://127.0.0.1:9/ShareWebServices/Services"}
insulin:
  - {name: Humalog, duration: 240, peak: 75, period_type: short}
  - {name: Lantus, duration: 1440, peak: 0, period_type: long}
iv3: {unit: mmol/L, endpoint: ""}
"""
NOON = 1_685_620_800  # 2023-06-01T12:00:00Z
ACCOUNT = ("dexcom-share", "an account")


@pytest.fixture
def home(influx: Influx, tmp_path: Path) -> Path:
    """A folder with the older program's config.yaml and .env, and its buckets on a real server."""
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / ".env").write_text(f"INFLUXDB_TOKEN={influx.token}\nINFLUXDB_URL={influx.url}\nIV3_ENV=dev\n")
    seed.make_buckets(influx)
    return tmp_path


def iv3(home: Path, *arguments: str, code: int = 0) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("IV3_", "INFLUXDB_"))}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "iv3", *arguments],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def imported(home: Path, *arguments: str) -> Any:
    return json.loads(iv3(home, "import", "seed-influx", "--json", *arguments))


def journal(home: Path) -> list[Event]:
    log = SqliteLog(home / "data" / "log.db")
    try:
        return [decode(r.value) for r in log.read_now(JOURNAL, partition_of("me"), 0, limit=100_000)]
    finally:
        log.close_now()


@pytest.mark.servers
def test_a_history_is_imported_once_and_later_only_what_is_new(home: Path, influx: Influx) -> None:
    seed.write(influx, "iv3_glucose", [seed.reading(NOON + n * 300, 100 + n % 90) for n in range(2000)])
    seed.write(
        influx,
        "iv3_insulin",
        [seed.dose(NOON, 4, "humalog"), seed.dose(NOON + 60, 4, "Humalog"), seed.dose(NOON, 20, "Lantus")],
    )
    seed.write(influx, "iv3_carb", [seed.meal(NOON, 30), seed.meal(NOON + 86_400 * 40, 45)])
    seed.write(influx, "iv3_events", [f'event event="high_glucose",message="m" {NOON * 10**9}'])
    looked = imported(home, "--dry-run")
    assert not (home / "data").exists()
    assert (looked["found"], looked["new"], looked["alerts_not_imported"]) == (2005, 2005, 1)
    assert looked["months"]["iv3_carb"]["2023-07"]["new"] == 1
    assert imported(home)["new"] == 2005
    events = journal(home)
    assert len(events) == len({event.id for event in events}) == 2005
    assert {e.data.action for e in events if isinstance(e.data, InsulinTaken)} == {"rapid", "long"}
    again = imported(home)
    assert (again["new"], again["known"]) == (0, 2005)
    seed.write(influx, "iv3_glucose", [seed.reading(NOON + 2000 * 300, 111)])
    seed.write(influx, "iv3_carb", [seed.meal(NOON + 600, 12)])
    assert imported(home)["new"] == 2
    assert imported(home)["new"] == 0
    assert "0 imported, 2,007 were there already" in iv3(home, "import", "seed-influx")
    for name in seed.BUCKETS[:1]:  # it was only read
        assert influx.query(name, "SELECT count(value) FROM glucose")[0]["values"][0][1] == 2001


@pytest.mark.servers
def test_an_unknown_insulin_stops_it_before_anything_is_written(home: Path, influx: Influx) -> None:
    seed.write(influx, "iv3_glucose", [seed.reading(NOON, 100)])
    seed.write(influx, "iv3_insulin", [seed.dose(NOON, 20, "basal"), seed.dose(NOON, 4, "Humalog")])
    said = iv3(home, "import", "seed-influx", code=2)
    assert "does not know basal" in said
    assert '--map "basal=..."' in said
    assert not (home / "data").exists()
    assert "basal" in iv3(home, "import", "seed-influx", "--dry-run", code=2)
    assert "no Tresiba" in iv3(home, "import", "seed-influx", "--map", "basal=Tresiba", code=2)
    assert imported(home, "--map", "basal=lantus")["new"] == 3
    (lantus,) = [e.data for e in journal(home) if isinstance(e.data, InsulinTaken) and e.data.units == 20]
    assert (lantus.insulin, lantus.action) == ("Lantus", "long")


@pytest.mark.servers
def test_what_the_log_refuses_is_named_by_its_time_and_never_made_up(home: Path, influx: Influx) -> None:
    ahead = int(time.time()) + 86_400
    seed.write(
        influx,
        "iv3_glucose",
        [seed.reading(NOON, 5), seed.reading(NOON + 300, 700), seed.reading(NOON + 600, 90, "sideways")],
    )
    seed.write(
        influx,
        "iv3_insulin",
        [seed.dose(NOON, 0, "Humalog"), seed.dose(NOON + 1, 301, "Humalog"), seed.dose(ahead, 3, "Humalog")],
    )
    seed.write(influx, "iv3_carb", ["carb other=1i 1685620800000000000", seed.meal(NOON + 5, -3)])
    report = imported(home)
    assert (report["new"], report["left_out"]) == (1, 6)
    assert {row["time"] for row in report["left_out_rows"] if row["bucket"] == "iv3_glucose"} == {
        "2023-06-01T12:00:00Z",
        "2023-06-01T12:05:00Z",
    }
    (event,) = journal(home)
    assert event.data == GlucoseRead(glucose_mgdl=90, trend=None)
    assert "2023-06-01 12:00:01Z" in iv3(home, "import", "seed-influx")


@pytest.mark.servers
def test_what_is_not_there_is_said(home: Path, influx: Influx) -> None:
    influx.delete_bucket("iv3_carb")
    seed.write(influx, "iv3_glucose", [seed.reading(NOON, 100)])
    assert imported(home)["missing_buckets"] == ["iv3_carb"]
    for name in ("iv3_glucose", "iv3_insulin"):
        influx.delete_bucket(name)
    assert "nothing of the old program" in iv3(home, "import", "seed-influx", code=1)
    assert "could not be reached" in iv3(home, "import", "seed-influx", "--url", "http://127.0.0.1:9", code=1)
    assert "influxdb.org" in iv3(home, "import", "seed-influx", "--org", "nobody", code=1)
    (home / ".env").write_text("")
    assert "influxdb.token is missing" in iv3(home, "import", "seed-influx", code=2)


@pytest.mark.servers
async def test_pages_hold_every_point_once_wherever_they_are_cut(home: Path, influx: Influx) -> None:
    seed.write(influx, "iv3_glucose", [seed.reading(NOON + n * 300, 100 + n) for n in range(23)])
    for rows in (2, 3, 7, 22, 23, 24):
        server = InfluxServer(url=influx.url, token=_secret(influx.token), org=influx.org)
        pages = [page async for page in LegacyBuckets(server, page_rows=rows).pages(GLUCOSE)]
        await server.close()
        assert [row.value for page in pages for row in page] == [100 + n for n in range(23)]
        assert all(len(page) <= rows for page in pages)


def _secret(text: str) -> Any:
    from pydantic import SecretStr

    return SecretStr(text)


INSULINS = Insulins([Insulin(name="Humalog", action="rapid", duration_min=240)], {"fast": "Humalog"})


def moving(now_s: int = NOON + 10**6) -> LegacyImport:
    return LegacyImport("me", ACCOUNT, INSULINS, now_s * 1000)


def test_imported_and_live_have_the_same_ids() -> None:
    read = moving().reading(Row(NOON * 10**9, 112, "Flat"))
    assert isinstance(read, Event)
    assert (read.id, read.source) == (reading_id(*ACCOUNT, NOON * 1000 + 999, 112.0, "Flat"), "dexcom-share")
    mover = moving()
    ids = [mover.dose(Row(NOON * 10**9 + n, 4, name)) for n, name in enumerate(("Humalog", "humalog", "fast"))]
    wanted = [legacy_entry_id("me", "insulin", NOON, 4.0, "Humalog", n) for n in range(3)]
    assert [e.id for e in ids if isinstance(e, Event)] == wanted
    other = mover.dose(Row((NOON + 1) * 10**9, 4, "Humalog"))
    assert isinstance(other, Event)
    assert other.id == legacy_entry_id("me", "insulin", NOON + 1, 4.0, "Humalog", 0)
    meal = moving().meal(Row(NOON * 10**9, 30))
    assert isinstance(meal, Event)
    assert (meal.id, meal.data) == (legacy_entry_id("me", "carbs", NOON, 30.0, "", 0), CarbsEaten(grams=30))


def test_nothing_is_guessed() -> None:
    assert isinstance(moving().dose(Row(NOON * 10**9, 4, "Lantus")), UnknownInsulin)
    assert isinstance(moving().dose(Row(NOON * 10**9, 4, None)), LeftOut)
    assert isinstance(moving().meal(Row(NOON * 10**9, None)), LeftOut)
    assert isinstance(moving(NOON - 3600).meal(Row(NOON * 10**9, 30)), LeftOut)


@pytest.mark.servers
def test_lows_and_doses_of_the_past_page_nobody_and_a_low_of_now_does(home: Path, influx: Influx) -> None:
    now = int(time.time())
    steady = [SimulatedEvent((now - 60 - n * 300) * 1000, "glucose", 110.0, "") for n in range(280)]
    outside = Outside(steady)
    told = {"ntfy": {"server": outside.phone.url, "topic": "phone", "dead_man": False}}
    config = {**yaml.safe_load(CONFIG), **told}
    config["dexcom"] = {"account": "demo", "password": "demo", "url": outside.share.url}
    (home / "config.yaml").write_text(yaml.safe_dump(config))
    up = Up(home / "data", demo=False)
    lows = [
        at for back_h in (3, 5, 30, 200, 9000) for at in range(now - back_h * 3600, now - back_h * 3600 + 3000, 300)
    ]
    seed.write(influx, "iv3_glucose", [seed.reading(at + 7, 45, "DoubleDown") for at in lows])
    seed.write(influx, "iv3_insulin", [seed.dose(now - 7200 + n, 30, "Lantus") for n in (0, 60)])
    try:
        up.start()
        assert imported(home)["new"] == len(lows) + 2
        until(lambda: _behind(up) == 0)
        time.sleep(1)  # whatever it decides from them is decided, and sent, at once
        assert [kind for kind in _decided(home) if "low" in kind or "long" in kind] == []
        assert [title for title in outside.rang() if "low" in title.lower()] == []
        seed.write(influx, "iv3_glucose", [seed.reading(int(time.time()), 50)])
        assert imported(home)["new"] == 1
        until(lambda: any("low" in title.lower() for title in outside.rang()))
    finally:
        up.kill()
        outside.close()


def _behind(up: Up) -> int:
    request = urllib.request.Request(f"{up.url}/metrics", headers={"Authorization": f"Bearer {up.token}"})
    with urllib.request.urlopen(request) as reply:
        lags = re.findall(r'iv3_role_lag\{role="(alerter|forecaster)"\} (\d+)', reply.read().decode())
    assert len(lags) == 2
    return sum(int(lag) for _, lag in lags)


def _decided(home: Path) -> list[str]:
    log = SqliteLog(home / "data" / "log.db")
    try:
        events = [decode(r.value).data for r in log.read_now(ALERTS, partition_of("me"), 0)]
    finally:
        log.close_now()
    return [change.kind for data in events if isinstance(data, AlertsDecided) for change in data.events]


def until(true: Any, within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)
