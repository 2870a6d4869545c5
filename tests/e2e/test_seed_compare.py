"""The older program beside iv3's log: the same is the same however it is spelt, and what only one of them has
is named.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from processors.legacy.comparing import LegacyRow, differ
from tests.servers.influx import Influx
from tests.standins import seed
from tests.standins.seed import SeedProgram

CONFIG = f"""
dexcom: {{account: someone, password: not-used, url: "http://127.0.0.1:9/ShareWebServices/Services"}}
insulin:
  - {{name: Humalog, duration: 240, peak: 75, period_type: short}}
  - {{name: Lantus, duration: 1440, peak: 0, period_type: long}}
api: {{username: {seed.USERNAME}, password: {seed.PASSWORD}}}
"""
pytestmark = pytest.mark.servers


@pytest.fixture
def home(influx: Influx, tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / ".env").write_text(f"INFLUXDB_TOKEN={influx.token}\nINFLUXDB_URL={influx.url}\n")
    seed.make_buckets(influx)
    return tmp_path


@pytest.fixture
def program(influx: Influx) -> Iterator[SeedProgram]:
    made = SeedProgram(influx)
    yield made
    made.stop()


def iv3(home: Path, *arguments: str, code: int = 0) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("IV3_", "INFLUXDB_"))}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "iv3", *arguments],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def compared(home: Path, program: SeedProgram, *more: str, code: int = 0) -> Any:
    return json.loads(iv3(home, "compare", "seed", "--url", program.url, "--json", *more, code=code))


def test_what_was_imported_is_the_same_and_what_came_since_is_named(
    home: Path, influx: Influx, program: SeedProgram
) -> None:
    now = int(time.time()) - 1200
    seed.write(influx, "iv3_glucose", [seed.reading(now - n * 300, 100 + n) for n in range(400)])
    seed.write(influx, "iv3_insulin", [seed.dose(now, 4, "humalog"), seed.dose(now - 60, 20, "basal")])
    seed.write(influx, "iv3_carb", [seed.meal(now, 30)])
    mapped = ("--map", "basal=Lantus")
    iv3(home, "import", "seed-influx", *mapped)
    same = compared(home, program, *mapped)
    assert {kind: same[kind]["both"] for kind in ("readings", "doses", "carbs")} == {
        "readings": 286,
        "doses": 2,
        "carbs": 1,
    }
    assert compared(home, program, "--hours", "48", *mapped)["readings"]["both"] == 400
    seed.write(influx, "iv3_insulin", [seed.dose(now + 7, 3, "Humalog")])
    seed.write(influx, "iv3_glucose", [seed.reading(now, 222)])
    other = compared(home, program, *mapped, code=1)
    assert (other["doses"]["only_old"], other["doses"]["only_iv3"], other["carbs"]["only_old"]) == (1, 0, 0)
    assert "3 U Humalog" in other["doses"]["first_only_old"][0]
    assert (other["readings"]["only_old"], other["readings"]["only_iv3"]) == (1, 1)
    said = iv3(home, "compare", "seed", "--url", program.url, *mapped, code=1)
    assert "222 mg/dL" in said
    assert "doses: 2 in both, 1 only in the old program, 0 only in iv3" in said


def test_it_says_why_it_cannot_compare(home: Path, influx: Influx, program: SeedProgram) -> None:
    url = ("compare", "seed", "--url")
    assert "no log" in iv3(home, *url, program.url, code=2)
    seed.write(influx, "iv3_carb", [seed.meal(int(time.time()) - 5000, 30)])
    iv3(home, "import", "seed-influx")
    assert "travel in clear" in iv3(home, *url, "http://192.0.2.1:8080", code=2)
    assert "could not be reached" in iv3(home, *url, "http://127.0.0.1:9", code=1)
    (home / "wrong").write_text("wrong\n")
    said = iv3(home, *url, program.url, "--password-file", "wrong", code=2)
    assert "refuses --user" in said
    influx.delete_bucket("iv3_glucose")
    assert "did not answer /glucose with a list" in iv3(home, *url, program.url, code=1)


def test_two_equal_doses_are_two() -> None:
    one, two = LegacyRow(5, 4.0, "Humalog"), LegacyRow(6, 4.0, "Humalog")
    found = differ([one, one, two], [two, one])
    assert (found.both, found.only_old, found.only_iv3) == (2, (one,), ())
