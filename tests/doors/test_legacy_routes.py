"""The nine routes of the Go iv3, against the golden answers of the running seed; where the seed was wrong, what ours
answers instead.

The golden file lies beside the project (`../shared/golden`); without it the same walk is checked against the figures
written here.
"""

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from schemas.settings import Settings, legacy_config
from tests.support.serving import Served, serving

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden" / "seed_iv3_go.json"
START = 1_685_600_000
VALUES = [112, 118, 131, 146.5, 160, 185, 190, 176, 150, 120, 95, 78, 69, 64, 72]
TRENDS = ["Flat", "FortyFiveUp", "SingleUp", "SingleUp", "DoubleUp", "FortyFiveUp", "Flat", "FortyFiveDown",
          "SingleDown", "SingleDown", "DoubleDown", "SingleDown", "FortyFiveDown", "Flat", "FortyFiveUp"]  # fmt: skip
CONFIG = {
    "iv3": {"unit": "mmol/L", "missing_long_threshold": 26, "high_threshold": 180, "low_threshold": 80},
    "insulin": [
        {"name": "Humalog", "duration": 240, "peak": 75, "period_type": "short"},
        {"name": "Tresiba", "duration": 2520, "peak": 0, "period_type": "long"},
    ],
}
RANGE = f"start={START}&end={START + 4500}"
AUTH = {"Authorization": aiohttp.encode_basic_auth("seed", "secret")}
WRONG = {"Authorization": aiohttp.encode_basic_auth("seed", "wrong")}


async def given_the_seeds_readings(iv3: Served) -> None:
    uploader = await iv3.token("uploader", "import")
    items = [
        {"time": (START + 300 * n) * 1000, "glucose_mgdl": value, "trend": TRENDS[n]} for n, value in enumerate(VALUES)
    ]
    status, _ = await iv3.ask("POST", "/v1/readings", token=uploader, json={"items": items})
    assert status == 202
    await iv3.settled()
    seed = iv3.context.legacy
    object.__setattr__(seed, "config", legacy_config(Settings.model_validate(CONFIG)))


# What ours answers where the golden answer shows a fault: (status, body or None for any problem document).
DEVIATIONS: dict[str, tuple[int, Any]] = {
    "insulin half unit": (200, ""),
    "insulin list": (
        200,
        [
            {"Value": 4, "Type": "Humalog", "Time": "2023-06-01T06:14:20Z"},
            {"Value": 2, "Type": "Humalog", "Time": "2023-06-01T06:43:20Z"},
            {"Value": 3, "Type": "Humalog", "Time": "2023-06-01T06:43:20Z"},
            {"Value": 1.5, "Type": "Humalog", "Time": "2023-06-01T06:53:20Z"},
            {"Value": 18, "Type": "Tresiba", "Time": "2023-06-01T06:15:20Z"},
        ],
    ),
    "insulin list after delete": (
        200,
        [
            {"Value": 4, "Type": "Humalog", "Time": "2023-06-01T06:14:20Z"},
            {"Value": 1.5, "Type": "Humalog", "Time": "2023-06-01T06:53:20Z"},
            {"Value": 18, "Type": "Tresiba", "Time": "2023-06-01T06:15:20Z"},
        ],
    ),
    "dtd empty": (200, {"Average": 0, "InRange": 0, "DtdAvg": [0] * 288}),
    "no auth": (401, None),
    "missing start": (400, None),
    "start not a number": (400, None),
    "bad json": (422, None),
    "unknown route": (404, None),
}


def same(name: str, ours: Any, golden: Any) -> None:
    if name in ("insulin list", "insulin list after delete"):
        key = lambda row: (row["Type"], row["Time"], row["Value"])  # noqa: E731 - one line says it
        ours, golden = sorted(ours, key=key), sorted(golden, key=key)
    if name == "dtd":
        assert ours["Average"] == pytest.approx(golden["Average"])
        ours, golden = {**ours, "Average": 0}, {**golden, "Average": 0}
    assert ours == golden, name


async def test_every_golden_request_gets_the_documented_answer(tmp_path: Path) -> None:
    if not GOLDEN.exists():
        pytest.skip("the golden file of the seed is not beside the checkout")
    cases = json.loads(GOLDEN.read_text())
    assert set(DEVIATIONS) < {case["name"] for case in cases}
    async with serving(tmp_path) as iv3:
        await given_the_seeds_readings(iv3)
        for case in cases:
            asked, golden = case["request"], case["response"]
            body = asked["body"]
            data = body if isinstance(body, str) else json.dumps(body) if body is not None else None
            headers = AUTH if asked["auth"] else {}
            async with iv3.http.request(asked["method"], iv3.url + asked["path"], data=data, headers=headers) as reply:
                text = await reply.text()
                if case["name"] in DEVIATIONS:
                    status, want = DEVIATIONS[case["name"]]
                else:
                    status, want = golden["status"], _parsed(golden["body"])
                assert reply.status == status, (case["name"], text)
                if golden["www_authenticate"]:
                    assert reply.headers["WWW-Authenticate"].startswith("Basic realm=")
                if want is None:
                    assert reply.content_type == "application/problem+json"
                    continue
                assert reply.content_type == "application/json"
                same(case["name"], _parsed(text), want)


def _parsed(text: str) -> Any:
    return json.loads(text) if text.strip() else ""


async def test_the_walk_of_a_retool_app_without_the_golden_file(tmp_path: Path) -> None:
    async with serving(tmp_path) as iv3:
        await given_the_seeds_readings(iv3)

        async def ask(method: str, path: str, body: Any = None) -> Any:
            async with iv3.http.request(method, iv3.url + path, json=body, headers=AUTH) as reply:
                assert reply.status == 200, await reply.text()
                return _parsed(await reply.text())

        rows = await ask("GET", f"/glucose?{RANGE}")
        assert [row["Value"] for row in rows] == VALUES
        assert (await ask("GET", f"/glucose?start={START}&end={START + 300}"))[-1]["Time"] == "2023-06-01T06:13:20Z"
        for value in (2, 3):
            await ask("POST", "/insulin/write", {"value": value, "type": "humalog", "ts": START + 60})
        await ask("POST", "/insulin/write", {"value": 3, "type": "humalog", "ts": START + 60})
        assert [row["Value"] for row in await ask("GET", f"/insulin?{RANGE}")] == [2, 3], (
            "an equal repeat is the same dose"
        )
        iv3.clock.advance(31)
        await ask("POST", "/insulin/write", {"value": 3, "type": "humalog", "ts": START + 60})
        assert sorted(row["Value"] for row in await ask("GET", f"/insulin?{RANGE}")) == [2, 3, 3], (
            "half a minute later it is another"
        )
        await ask("POST", f"/insulin/delete?{RANGE}")
        assert await ask("GET", f"/insulin?{RANGE}") == []
        report = await ask("GET", f"/dtd?{RANGE}")
        assert report["Average"] == pytest.approx(sum(VALUES) / 15)
        assert report["InRange"] == 0.6


async def test_the_seeds_login_opens_the_nine_routes_and_nothing_else(tmp_path: Path) -> None:
    async with serving(tmp_path) as iv3:
        async with iv3.http.get(iv3.url + "/v1/now", headers=AUTH) as reply:
            assert reply.status == 401
        async with iv3.http.get(iv3.url + f"/carbs?{RANGE}", headers=WRONG) as reply:
            assert reply.status == 401
