"""Recorded people walk the real path: a CSV behind the fake Share, the real client, log, series and API; every reading,
dose and meal arrives as it was.
"""

import csv
import time
from datetime import datetime
from pathlib import Path

import pytest

from tests.support.up import Up

PUBLIC = Path(__file__).resolve().parents[3] / "shared" / "predict" / "public"
SPEED, DAYS = 1500, 1.0
PEOPLE = (("azt1d.csv", "azt1d-01"), ("uom15.csv", "uom-2302"), ("bris5.csv", "bris-p02"))


def recorded(path: Path, subject: str) -> list[tuple[int, str, float]]:
    """(seconds after the first row, column, value) of the first days."""
    rows: list[tuple[int, str, float]] = []
    first: int | None = None
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["subject"] != subject:
                continue
            at = int(datetime.fromisoformat(row["time"]).timestamp())
            first = at if first is None else first
            if at - first > DAYS * 86_400:
                break
            columns = ("glucose_mgdl", "insulin_bolus_u", "insulin_long_u", "carbs_g")
            rows += [(at - first, c, float(row[c])) for c in columns if row.get(c) and float(row[c]) > 0]
    return rows


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("file", "subject"), PEOPLE)
def test_a_recorded_day_arrives_whole_and_once(tmp_path: Path, file: str, subject: str) -> None:
    if not PUBLIC.exists():
        pytest.skip("the recorded people are not beside the checkout")
    rows = recorded(PUBLIC / file, subject)
    up = Up(tmp_path / "data", "--csv", str(PUBLIC / file), "--subject", subject, "--speed", str(SPEED))
    up.start()
    try:
        start_ms = _start_of(tmp_path / "data")
        end_ms = start_ms + int(DAYS * 86_400_000)
        deadline = time.monotonic() + DAYS * 86_400 / SPEED + 60
        while up.ask("GET", "/v1/now")[1]["time_ms"] < end_ms + 900_000:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        wanted = [(s, v) for s, column, v in rows if column == "glucose_mgdl" and 39 <= v <= 600]
        got = up.ask("GET", f"/v1/readings?from={start_ms}&to={end_ms + 1}&limit=50000")[1]["items"]
        assert [(round((r["time_ms"] - start_ms) / 1000), r["glucose_mgdl"]) for r in got] == [
            (s, round(v)) for s, v in wanted
        ]
        entries = up.ask("GET", f"/v1/entries?from={start_ms}&to={end_ms + 1}&limit=50000")[1]["items"]
        logged = sorted((round((e["time_ms"] - start_ms) / 1000), e.get("units") or e.get("grams")) for e in entries)
        assert logged == sorted((s, round(v, 2)) for s, column, v in rows if column != "glucose_mgdl")
        forecasts = up.ask("GET", f"/v1/forecasts?from={start_ms}&to={end_ms + 1}&limit=1000")[1]["items"]
        assert len(forecasts) > 0.5 * len(wanted)
    finally:
        up.kill()


def _start_of(data: Path) -> int:
    import json

    started: int = json.loads((data / "demo.json").read_text())["started_ms"]
    return started
