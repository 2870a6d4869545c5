"""The native API on a real socket over the real log: what is answered, what is refused, and that nothing refused leaves
a trace.
"""

import asyncio
import base64
import json
import re
import socket
from typing import Any

import pytest
from openapi_spec_validator import validate

from api.v1 import stream
from streams.topics import JOURNAL, partition_of
from tests.support.serving import NOW_MS, Served

DOSE = {"kind": "insulin", "units": 4.5, "insulin": "humalog"}


HOUR_MS = 3_600_000


def head(iv3: Served) -> int:
    return iv3.log.heads[JOURNAL, partition_of("me")]


async def log_entry(iv3: Served, token: str, body: dict[str, Any], key: str = "k1") -> tuple[int, Any]:
    return await iv3.ask("POST", "/v1/entries", token=token, json=body, headers={"Idempotency-Key": key})


async def test_uploaded_readings_are_read_back_once_whatever_is_repeated(iv3: Served, owner: str) -> None:
    phone = await iv3.token("uploader", "xDrip")
    items = [{"time": NOW_MS - n * 300_000, "glucose_mgdl": 100 + n} for n in range(20)]
    items.append({"time": NOW_MS - 7_000_000, "glucose_mmol": 5.6, "trend": "Flat"})
    first = await iv3.ask("POST", "/v1/readings", token=phone, json={"items": items})
    second = await iv3.ask("POST", "/v1/readings", token=phone, json={"items": items})
    assert first[0] == second[0] == 202
    assert first[1]["ids"] == second[1]["ids"]
    assert (first[1]["new"], second[1]["new"]) == (21, 0)
    await iv3.settled()
    _, said = await iv3.ask("GET", "/v1/readings?limit=8", token=owner)
    got = said["items"]
    while said["next_cursor"]:
        _, said = await iv3.ask(
            "GET", f"/v1/readings?limit=8&cursor={said['next_cursor']}&to={NOW_MS + 1}", token=owner
        )
        got += said["items"]
    assert [row["time_ms"] for row in got] == sorted(item["time"] for item in items)
    assert got[0]["glucose_mgdl"] == pytest.approx(100.9)
    assert got[0]["glucose_mmol"] == 5.6


async def test_glucose_without_a_unit_or_beyond_a_sensor_is_refused(iv3: Served) -> None:
    phone = await iv3.token("uploader", "xDrip")
    for item in ({"time": NOW_MS, "glucose": 100}, {"time": NOW_MS, "glucose_mgdl": 20}, {"time": NOW_MS}):
        before = head(iv3)
        status, said = await iv3.ask("POST", "/v1/readings", token=phone, json={"items": [item]})
        assert status == 422
        assert "items" in said["errors"][0]["field"]
        assert head(iv3) == before


async def test_now_says_what_is_known_and_null_for_what_is_not(iv3: Served, owner: str) -> None:
    _, now = await iv3.ask("GET", "/v1/now", token=owner)
    assert now["reading"] is None
    assert now["forecast"] is None
    assert now["iob_units"] is None
    phone = await iv3.token("uploader", "xDrip")
    values = [(10, 120), (5, 110), (0, 100)]
    items = [{"time": NOW_MS - minutes * 60_000, "glucose_mgdl": value} for minutes, value in values]
    await iv3.ask("POST", "/v1/readings", token=phone, json={"items": items})
    await log_entry(iv3, owner, {**DOSE, "time": NOW_MS - HOUR_MS})
    await iv3.settled()
    _, now = await iv3.ask("GET", "/v1/now", token=owner)
    assert (now["reading"]["glucose_mgdl"], now["reading"]["glucose_mmol"], now["reading"]["delta_mgdl"]) == (
        100,
        5.6,
        -10,
    )
    assert now["reading"]["stale"] is False
    assert len(now["forecast"]["steps"]) == 12
    assert 3 < now["iob_units"] < 4.5
    iv3.clock.advance(16 * 60)
    _, now = await iv3.ask("GET", "/v1/now", token=owner)
    assert now["reading"]["stale"] is True
    assert now["forecast"] is None
    assert "nothing received for 16 min" in now["forecast_reason"]


async def test_a_long_acting_dose_is_never_rapid_insulin_on_board(iv3: Served, owner: str) -> None:
    await log_entry(iv3, owner, {"kind": "insulin", "units": 20, "insulin": "Tresiba"})
    _, now = await iv3.ask("GET", "/v1/now", token=owner)
    assert now["iob_units"] is None


async def test_an_insulin_the_profile_does_not_know_is_asked_about_and_never_counted_as_rapid(
    iv3: Served, owner: str
) -> None:
    status, said = await log_entry(iv3, owner, {**DOSE, "insulin": "Humalgo"}, "typo")
    assert (status, said["facts"]["reason"]) == (409, "unknown_insulin")
    assert "Did you mean Humalog?" in said["facts"]["line"]
    assert (await log_entry(iv3, owner, {**DOSE, "insulin": "Lantus", "confirm": True}, "lantus"))[0] == 202
    _, now = await iv3.ask("GET", "/v1/now", token=owner)
    assert (now["iob_units"], now["unknown_doses"]) == (None, 1)
    assert (await log_entry(iv3, owner, {**DOSE, "insulin": " humalog "}, "spelt"))[0] == 202
    _, now = await iv3.ask("GET", "/v1/now", token=owner)
    assert now["iob_units"] > 0


async def test_a_change_to_another_insulin_is_asked_about_like_a_new_dose(iv3: Served, owner: str) -> None:
    await log_entry(iv3, owner, {"kind": "insulin", "units": 18, "insulin": "Tresiba"}, "long")
    _, made = await log_entry(iv3, owner, DOSE, "short")
    change = {"revision": 1, "insulin": "Tresiba"}
    status, said = await iv3.ask("PATCH", f"/v1/entries/{made['id']}", token=owner, json=change)
    assert (status, said["facts"]["reason"]) == (409, "double_long")
    assert (await iv3.ask("PATCH", f"/v1/entries/{made['id']}", token=owner, json={**change, "confirm": True}))[
        0
    ] == 202
    _, now = await iv3.ask("GET", "/v1/now", token=owner)
    assert now["iob_units"] is None, "it is long-acting now"


async def test_an_open_alert_speaks_of_the_newest_reading_in_the_unit_that_was_asked_for(
    iv3: Served, owner: str
) -> None:
    phone = await iv3.token("uploader", "xDrip")
    for minutes, glucose in ((10, 65), (5, 50), (0, 60)):
        iv3.clock.set(NOW_MS - minutes * 60_000)
        items = [{"time": NOW_MS - minutes * 60_000, "glucose_mgdl": glucose}]
        await iv3.ask("POST", "/v1/readings", token=phone, json={"items": items})
        await iv3.settled()
    _, now = await iv3.ask("GET", "/v1/now?unit=mg/dL", token=owner)
    (alert,) = now["alerts"]
    assert (alert["kind"], alert["lowest_mgdl"], alert["title"]) == ("urgent_low", 50, "Still low 60")
    assert alert["text"].startswith("Below 55 at ")
    assert alert["treatable"]
    assert alert["rings_again_ms"] == NOW_MS
    _, now = await iv3.ask("GET", "/v1/now", token=owner)
    assert now["alerts"][0]["title"] == "Still low 3.3"
    assert now["caller"] == {"role": "owner", "name": "Owner", "people": 1}


async def test_an_entry_that_waited_on_a_phone_over_a_new_sign_in_is_logged_once(iv3: Served, owner: str) -> None:
    again = await iv3.token("writer", "the same phone, signed in anew")
    key = "0f8fad5b-d9cb-469f-a165-70867728950e"
    first = await log_entry(iv3, owner, DOSE, key)
    second = await log_entry(iv3, again, {**DOSE, "confirm": True}, key)
    assert first == second
    for token in (owner, again):
        assert (await log_entry(iv3, token, {"kind": "carbs", "grams": 20}, "1"))[0] == 202
    entries = (await iv3.ask("GET", "/v1/entries", token=owner))[1]["items"]
    assert sorted(entry["kind"] for entry in entries) == ["carbs", "carbs", "insulin"], (
        "the key 1 of two clients is two entries"
    )


async def test_a_snooze_can_be_lifted(iv3: Served, owner: str) -> None:
    await iv3.ask("POST", "/v1/snoozes", token=owner, json={"kind": "low", "minutes": 30})
    assert iv3.context.catalog.snoozes("me", NOW_MS)
    assert (await iv3.ask("DELETE", "/v1/snoozes/low", token=owner))[0] == 202
    assert not iv3.context.catalog.snoozes("me", NOW_MS)
    assert (await iv3.ask("DELETE", "/v1/snoozes/everything", token=owner))[0] == 422


async def test_pages_hold_as_many_readings_as_were_asked_for_however_many_sources_there_are(
    iv3: Served, owner: str
) -> None:
    for n, name in enumerate(("a", "b", "c", "d" * 80)):
        phone = await iv3.token("uploader", name)
        items = [{"time": NOW_MS - m * 300_000 + n * 1000, "glucose_mgdl": 100 + n} for m in range(300)]
        assert (await iv3.ask("POST", "/v1/readings", token=phone, json={"items": items}))[0] == 202
    await iv3.settled()
    times: list[int] = []
    cursor = ""
    while cursor is not None:
        path = (
            f"/v1/readings?from={NOW_MS - 2 * 86_400_000}&to={NOW_MS + 60_000}&limit=100&cursor={cursor}".removesuffix(
                "&cursor="
            )
        )
        _, page = await iv3.ask("GET", path, token=owner)
        times += [row["time_ms"] for row in page["items"]]
        cursor = page["next_cursor"]
    assert len(times) == 300
    assert times == sorted(times)


async def test_a_batch_that_comes_newest_first_is_forecast_all_the_same(iv3: Served, owner: str) -> None:
    phone = await iv3.token("uploader", "xDrip")
    items = [{"time": NOW_MS - m * 300_000, "glucose_mgdl": 100 + m} for m in range(6)]
    await iv3.ask("POST", "/v1/readings", token=phone, json={"items": items})
    await iv3.settled()
    _, now = await iv3.ask("GET", "/v1/now", token=owner)
    assert now["forecast"] is not None


@pytest.mark.parametrize(
    "path",
    [
        "/glucose?start=--5&end=9",
        "/glucose?start=²&end=9",
        "/v1/readings?cursor=WzFlNDAwXQ",
        "/v1/readings?cursor=WzEwMDAwMDAwMDAwMDAwMDAwMDAwMDAwXQ",
    ],
)
async def test_a_number_that_is_none_is_a_mistake_of_the_asker(iv3: Served, owner: str, path: str) -> None:
    assert (await iv3.ask("GET", path, token=owner))[0] in (400, 422)


async def test_only_the_seeds_routes_ask_a_browser_for_a_password(iv3: Served) -> None:
    for path, scheme in (("/v1/now", "Bearer"), ("/config", "Basic")):
        async with iv3.http.get(iv3.url + path) as reply:
            assert reply.headers["WWW-Authenticate"].startswith(scheme)


async def test_the_seeds_password_cannot_be_guessed_at_length(iv3: Served) -> None:
    def basic(password: str) -> dict[str, str]:
        return {"Authorization": "Basic " + base64.b64encode(f"seed:{password}".encode()).decode()}

    for n in range(40):
        await iv3.ask("GET", "/config", headers=basic(f"guess{n}"))
    assert (await iv3.ask("GET", "/config", headers=basic("secret")))[0] == 429
    statuses = [(await iv3.ask("POST", "/login", json={"token": f"guess{n}"}))[0] for n in range(3)]
    assert statuses == [429, 429, 429]


async def test_a_sign_in_link_that_was_used_leads_to_the_page_that_says_so(iv3: Served) -> None:
    async with iv3.http.get(iv3.url + "/login?code=old", allow_redirects=False) as reply:
        assert (reply.status, reply.headers["Location"]) == (302, "/login?used=1")


async def test_a_low_opens_an_alert_that_can_be_acknowledged(iv3: Served, owner: str) -> None:
    phone = await iv3.token("uploader", "xDrip")
    items = [{"time": NOW_MS - 300_000, "glucose_mgdl": 80}, {"time": NOW_MS, "glucose_mgdl": 62}]
    await iv3.ask("POST", "/v1/readings", token=phone, json={"items": items})
    await iv3.settled()
    _, now = await iv3.ask("GET", "/v1/now", token=owner)
    (alert,) = now["alerts"]
    assert alert["kind"] == "low"
    assert (await iv3.ask("POST", f"/v1/alerts/{alert['id']}/ack", token=owner, json={}))[0] == 202
    await iv3.settled()
    _, now = await iv3.ask("GET", "/v1/now", token=owner)
    assert now["alerts"][0]["acknowledged_by"] == "Owner"
    _, history = await iv3.ask("GET", f"/v1/alerts?to={NOW_MS + 1}", token=owner)
    assert "acknowledged by Owner" in json.dumps(history["items"][0]["why"])


async def test_an_urgent_low_cannot_be_snoozed_for_longer_than_half_an_hour(iv3: Served, owner: str) -> None:
    assert (await iv3.ask("POST", "/v1/snoozes", token=owner, json={"kind": "urgent_low", "minutes": 30}))[0] == 202
    status, said = await iv3.ask("POST", "/v1/snoozes", token=owner, json={"kind": "urgent_low", "minutes": 31})
    assert (status, said["errors"][0]["field"]) == (422, "minutes")


async def test_the_stream_says_hello_and_then_what_changed(iv3: Served, owner: str) -> None:
    lines: list[str] = []
    async with iv3.http.get(iv3.url + "/v1/stream", headers={"Authorization": f"Bearer {owner}"}) as reply:
        lines.append((await reply.content.readuntil(b"\n\n")).decode())
        await log_entry(iv3, owner, DOSE)
        async with asyncio.timeout(60):
            lines.append((await reply.content.readuntil(b"\n\n")).decode())
    assert re.match(r"id: \d+\nevent: hello\ndata: \{.*\}\nretry: 2000\n", lines[0])
    assert re.match(r"id: \d+\nevent: change\ndata: \{.*\}\n", lines[1])
    assert '"entries"' in lines[1]


async def test_a_page_that_takes_nothing_any_more_gives_up_its_place(
    iv3: Served, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("PING_S", 0.0005), ("_STALLED_S", 0.3), ("MOST_STREAMS", 1)):
        monkeypatch.setattr(stream, name, value)
    host, port = iv3.url.removeprefix("http://").split(":")
    stalled = socket.socket()
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stalled.connect((host, int(port)))
    stalled.sendall(f"GET /v1/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {owner}\r\n\r\n".encode())
    another = {"url": iv3.url + "/v1/stream", "headers": {"Authorization": f"Bearer {owner}"}}
    said = []
    async with asyncio.timeout(60):
        while 503 not in said or said[-1] != 200:  # its one place was taken, and became free
            async with iv3.http.get(**another) as reply:
                said.append(reply.status)
            await asyncio.sleep(0.02)
    stalled.close()


async def test_the_openapi_document_is_valid_and_names_every_operation(iv3: Served) -> None:
    status, document = await iv3.ask("GET", "/openapi.json")
    assert status == 200
    validate(document)
    assert {"/v1/now", "/v1/entries", "/v1/readings", "/v1/alerts"} <= set(document["paths"])


async def test_health_is_public_and_metrics_are_not(iv3: Served) -> None:
    assert (await iv3.ask("GET", "/healthz"))[0] == 200
    assert (await iv3.ask("GET", "/readyz"))[0] == 200
    assert (await iv3.ask("GET", "/metrics"))[0] == 401


async def test_classic_paths_to_other_files_lead_nowhere(iv3: Served) -> None:
    for path in (
        "/static/../auth.py",
        "/static/..%2fauth.py",
        "/static/%00",
        "/static//etc/passwd",
        "/static/vendor/../../app.py",
    ):
        assert (await iv3.ask("GET", path))[0] in (400, 404)


async def test_every_answer_forbids_scripts_that_are_not_ours(iv3: Served) -> None:
    for path in ("/", "/login", "/v1/now", "/healthz"):
        async with iv3.http.get(iv3.url + path) as reply:
            assert "script-src 'self'" in reply.headers["Content-Security-Policy"]
            assert reply.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_profile_change_holds_and_is_refused_where_it_does_not_fit(iv3: Served, owner: str) -> None:
    _, before = await iv3.ask("GET", "/v1/profile", token=owner)
    changed = {**before, "zone": "Asia/Tokyo", "unit": "mg/dL"}
    assert (await iv3.ask("PUT", "/v1/profile", token=owner, json=changed))[0] == 202
    await iv3.settled()
    _, after = await iv3.ask("GET", "/v1/profile", token=owner)
    assert (after["zone"], after["unit"]) == ("Asia/Tokyo", "mg/dL")
    status, said = await iv3.ask("PUT", "/v1/profile", token=owner, json={**before, "zone": "Mars/Base"})
    assert (status, said["errors"][0]["field"]) == (422, "zone")


async def test_gaps_are_listed_and_an_open_one_has_no_end(iv3: Served, owner: str) -> None:
    phone = await iv3.token("uploader", "xDrip")
    items = [{"time": NOW_MS - m * 60_000, "glucose_mgdl": 100} for m in (120, 115, 60, 55, 50)]
    await iv3.ask("POST", "/v1/readings", token=phone, json={"items": items})
    await iv3.settled()
    _, said = await iv3.ask("GET", "/v1/gaps", token=owner)
    assert [(NOW_MS - g["from_ms"]) // 60_000 for g in said["items"]] == [115, 50]
    assert said["items"][-1]["to_ms"] is None


async def test_a_garbage_record_is_given_up_and_the_rest_flows(iv3: Served, owner: str) -> None:
    await iv3.log.append(JOURNAL, "me", [b"\x00 not an event"])
    await log_entry(iv3, owner, DOSE)
    await iv3.settled()
    assert len((await iv3.ask("GET", "/v1/entries", token=owner))[1]["items"]) == 1
    assert {role.progress.dead_letters for role in iv3.roles} == {1}


async def test_a_record_of_a_newer_release_pauses_everything_that_reads_it(iv3: Served, owner: str) -> None:
    await iv3.log.append(JOURNAL, "me", [b'{"type":"iv3.potion.v1","id":"x"}'])
    async with asyncio.timeout(60):
        while not iv3.context.catalog.paused or not all(role.progress.paused for role in iv3.roles):
            await asyncio.sleep(0.02)
    status, said = await iv3.ask("GET", "/readyz")
    assert status == 503
    assert "upgrade this worker" in json.dumps(said)


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        (
            "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36",
            "Chrome on Android",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 Version/18.0 Mobile Safari/604.1",
            "Safari on iPhone",
        ),
        ("curl/8.0", "a browser"),
    ],
)
async def test_who_signed_in_by_the_link_is_called_by_the_browser(iv3: Served, agent: str, name: str) -> None:
    iv3.context.login_codes["one"] = 1
    async with iv3.http.get(iv3.url + "/login?code=one", headers={"User-Agent": agent}) as reply:
        assert reply.status == 200
    assert name in {record.token.name for record in iv3.context.catalog.tokens()}
