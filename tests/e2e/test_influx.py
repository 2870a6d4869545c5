"""`series: influxdb` with the real command: the seed's own variables, a replay beside it, an InfluxDB that comes late,
and what `doctor` says.
"""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.servers.influx import Influx
from tests.support.up import Up

pytestmark = pytest.mark.servers


@pytest.fixture
def up(influx: Influx, tmp_path: Path) -> Iterator[Up]:
    """Configured as somebody who comes from the Go iv3 has it: address and token in `.env`."""
    (tmp_path / "config.yaml").write_text("series: influxdb\niv3: {unit: mmol/L}\n")
    (tmp_path / ".env").write_text(f"INFLUXDB_TOKEN={influx.token}\nINFLUXDB_URL={influx.url}\nIV3_ENV=dev\n")
    up = Up(tmp_path / "data", demo=False)
    yield up
    up.kill()


def iv3(up: Up, *arguments: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "iv3", *arguments],
        cwd=up.data.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def upload(up: Up, count: int, before_min: int = 0) -> None:
    now = int(time.time() * 1000)
    items = [{"time": now - (before_min + n * 5) * 60_000, "glucose_mgdl": 100 + n % 60} for n in range(count)]
    status, said = up.ask("POST", "/v1/readings", {"items": items})
    assert status == 202, said


def readings(up: Up) -> int:
    return len(up.ask("GET", f"/v1/readings?from={int(time.time() * 1000) - 86_400_000 * 9}&limit=5000")[1]["items"])


def until(true: Any, within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_it_serves_from_influxdb_and_follows_a_replay_made_beside_it(up: Up, influx: Influx) -> None:
    up.start()
    upload(up, 288)
    until(lambda: readings(up) == 288)
    until(lambda: not iv3(up, "digest", "--data", str(up.data), "--json").count("lacks"))
    before = json.loads(iv3(up, "digest", "--data", str(up.data), "--json"))
    told = json.loads(iv3(up, "replay", "--data", str(up.data), "--json"))
    assert (told["series"], told["readings"], told["changed"]) == (2, 288, [])
    assert [name for name in influx.buckets() if name.startswith("iv3")] == ["iv3_v2"]
    assert json.loads(iv3(up, "digest", "--data", str(up.data), "--json")) == before
    upload(up, 10, before_min=3000)
    until(lambda: readings(up) == 298)
    (series,) = influx.query("iv3", "SELECT count(glucose_mgdl) FROM readings WHERE person = 'me'")
    assert series["values"][0][1] == 298
    up.stop()
    up.start()
    assert readings(up) == 298


def test_it_starts_hears_and_answers_while_influxdb_is_away(up: Up, influx: Influx) -> None:
    influx.stop()
    up.start()
    upload(up, 12)
    status, entry = up.ask("POST", "/v1/entries?wait=1", {"kind": "carbs", "grams": 20}, Idempotency_Key="k")
    assert (status, entry["position"]["topic"]) == (202, "iv3.journal")
    assert up.ask("GET", "/v1/now")[1]["reading"] is not None
    status, problem = up.ask("GET", "/v1/readings")
    assert (status, "InfluxDB" in problem["detail"]) == (503, True)
    said = iv3(up, "doctor", "--data", str(up.data), code=1)
    assert "influxdb-unreachable" in said
    assert influx.url in said
    assert "could not be reached" in up.said()
    influx.start()
    until(lambda: up.ask("GET", "/v1/readings")[0] == 200 and readings(up) == 12)


def test_what_hangs_keeps_no_reading_waiting(up: Up, influx: Influx) -> None:
    up.start()
    upload(up, 5)
    until(lambda: readings(up) == 5)
    influx.freeze()
    try:
        with ThreadPoolExecutor(1) as beside:
            asked = beside.submit(up.ask, "GET", "/v1/readings")
            upload(up, 5, before_min=100)
            assert not asked.done(), "the readings were taken while InfluxDB was still waited for"
            status, problem = asked.result()
        assert (status, "did not answer within 5 s" in problem["detail"]) == (503, True)
        up.stop()
    finally:
        influx.thaw()


def findings(up: Up, code: int = 0) -> dict[str, Any]:
    said = iv3(up, "doctor", "--data", str(up.data), "--json", code=code)
    return {finding["name"]: finding for finding in json.loads(said[said.index("[") :])}


def test_the_doctor_names_what_is_wrong_with_it(up: Up, influx: Influx) -> None:
    up.start()
    until(lambda: readings(up) == 0)
    found = findings(up, code=1)  # there is no phone either
    assert all(found[f"influxdb-{name}"]["ok"] for name in ("unreachable", "token", "bucket", "rights"))
    env = up.data.parent / ".env"

    def said(name: str, text: str) -> str:
        env.write_text(text)
        wrong = findings(up, code=1)[f"influxdb-{name}"]
        assert not wrong["ok"]
        return str(wrong["message"])

    right = f"INFLUXDB_TOKEN={influx.token}\nINFLUXDB_URL={influx.url}\n"
    assert "influxdb.token" in said("token", f"INFLUXDB_TOKEN=nonsense\nINFLUXDB_URL={influx.url}\n")
    assert "influxdb.org" in said("token", f"{right}IV3_INFLUXDB__ORG=nobody\n")
    assert "could not be reached" in said(
        "unreachable", f"INFLUXDB_TOKEN={influx.token}\nINFLUXDB_URL=http://127.0.0.1:9\n"
    )
    assert "is no InfluxDB 2" in said("unreachable", f"INFLUXDB_TOKEN={influx.token}\nINFLUXDB_URL={up.url}\n")
    assert "iv3 up" in said("bucket", f"{right}IV3_INFLUXDB__DATABASE=other\n")
    permissions = [{"action": "read", "resource": {"type": kind}} for kind in ("buckets", "orgs", "dbrp")]
    made = influx.ask("POST", "/api/v2/authorizations", {"orgID": influx.org_id, "permissions": permissions})
    assert "read and write buckets" in said("rights", f"INFLUXDB_TOKEN={made['token']}\nINFLUXDB_URL={influx.url}\n")
    (up.data.parent / ".env").write_text("")
    assert "influxdb.token is missing" in iv3(up, "config", "check", code=2)


def test_the_health_line_says_that_the_series_cannot_be_written(up: Up, influx: Influx) -> None:
    up.start()
    influx.stop()
    upload(up, 3)

    def health() -> str:
        request = urllib.request.Request(f"{up.url}/v1/now", headers={"Authorization": f"Bearer {up.token}"})
        with urllib.request.urlopen(request) as reply:
            return str(reply.read().decode())

    until(lambda: "cannot be written" in health())
