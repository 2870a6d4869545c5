"""Entries over the API: once in the log whatever is repeated, changed, refused and brought back."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.request import problems
from streams.topics import JOURNAL, partition_of
from tests.support.serving import NOW_MS, Served

DOSE = {"kind": "insulin", "units": 4.5, "insulin": "humalog"}


def head(iv3: Served) -> int:
    return iv3.log.heads[JOURNAL, partition_of("me")]


async def log_entry(iv3: Served, token: str, body: dict[str, Any], key: str = "k1") -> tuple[int, Any]:
    return await iv3.ask("POST", "/v1/entries", token=token, json=body, headers={"Idempotency-Key": key})


async def test_a_dose_is_in_the_log_before_it_is_answered_and_can_be_read_back(iv3: Served, owner: str) -> None:
    status, said = await iv3.ask("POST", "/v1/entries?wait=1", token=owner, json=DOSE, headers={"Idempotency-Key": "k"})
    assert status == 201
    at = said["position"]
    (record,) = await iv3.log.read(at["topic"], at["partition"], at["offset"], at["offset"] + 1)
    assert said["id"] in (record.value or b"").decode()
    _, listed = await iv3.ask("GET", "/v1/entries", token=owner)
    (entry,) = listed["items"]
    assert (entry["id"], entry["units"], entry["insulin"], entry["by"], entry["revision"]) == (
        said["id"],
        4.5,
        "Humalog",
        "Owner",
        1,
    )


async def test_the_same_key_and_body_is_the_same_entry_once_in_the_log(iv3: Served, owner: str) -> None:
    answers = [await log_entry(iv3, owner, DOSE) for _ in range(3)]
    before = head(iv3)
    answers += await asyncio.gather(*(log_entry(iv3, owner, DOSE) for _ in range(5)))
    assert {status for status, _ in answers} == {202}
    assert len({said["id"] for _, said in answers}) == 1
    assert len({json.dumps(said["position"]) for _, said in answers}) == 1
    assert head(iv3) == before


async def test_the_same_key_with_another_body_is_a_conflict_and_changes_nothing(iv3: Served, owner: str) -> None:
    await log_entry(iv3, owner, DOSE)
    before = head(iv3)
    status, said = await log_entry(iv3, owner, {**DOSE, "units": 5})
    assert (status, said["code"]) == (409, "key_reused")
    assert head(iv3) == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**DOSE, "units": -1}, "units"),
        ({**DOSE, "units": 0}, "units"),
        ({**DOSE, "units": 301}, "units"),
        ({**DOSE, "units": True}, "units"),
        ({**DOSE, "units": "4"}, "units"),
        ({**DOSE, "units": 1.234}, "units"),
        ({**DOSE, "surprise": 1}, "surprise"),
        ({"kind": "insulin", "units": 1}, "insulin"),
        ({"kind": "carbs", "grams": 501}, "grams"),
        ({"kind": "carbs", "grams": -3}, "grams"),
        ({"kind": "note", "text": ""}, "text"),
        ({"kind": "note", "text": "x" * 2001}, "text"),
        ({"kind": "fingerstick", "glucose": 5}, "glucose"),
        ({"kind": "fingerstick", "glucose_mgdl": 100, "glucose_mmol": 5.6}, "fingerstick"),
        ({**DOSE, "time": "2026-11-24T12:00:00"}, "time"),
        ({**DOSE, "time": NOW_MS + 11 * 60_000}, "time"),
        ({**DOSE, "time": 900_000_000_000}, "time"),
        ({"kind": "potion"}, "body"),
        ([], "body"),
    ],
)
async def test_a_body_that_does_not_fit_names_the_field_and_appends_nothing(
    iv3: Served, owner: str, body: Any, field: str
) -> None:
    before = head(iv3)
    status, said = await iv3.ask("POST", "/v1/entries", token=owner, json=body, headers={"Idempotency-Key": "k"})
    assert status == 422
    assert said["errors"][0]["field"] == field, said
    assert head(iv3) == before


async def test_malformed_json_no_key_and_a_giant_body_are_refused(iv3: Served, owner: str) -> None:
    before = head(iv3)
    for data, status in ((b"{oops", 422), (b"x" * 300_000, 413)):
        got, said = await iv3.ask("POST", "/v1/entries", token=owner, data=data, headers={"Idempotency-Key": "k"})
        assert got == status, said
    got, said = await iv3.ask("POST", "/v1/entries", token=owner, json=DOSE)
    assert (got, said["errors"][0]["field"]) == (400, "Idempotency-Key")
    assert head(iv3) == before


async def test_a_dose_that_looks_like_a_mistake_is_asked_about_once(iv3: Served, owner: str) -> None:
    mum = await iv3.token("writer", "Mum")
    tresiba = {"kind": "insulin", "units": 18, "insulin": "Tresiba"}
    assert (await log_entry(iv3, owner, tresiba, "t1"))[0] == 202
    cases = [
        (owner, tresiba, "double_long"),
        (owner, {**DOSE, "units": 16}, "large_rapid"),
        (owner, {**DOSE, "units": 101}, "over_100"),
    ]
    assert (await log_entry(iv3, mum, {**DOSE, "units": 2.5}, "m1"))[0] == 202
    cases.append((owner, DOSE, "recent_rapid"))
    for n, (token, body, reason) in enumerate(cases):
        before = head(iv3)
        status, said = await log_entry(iv3, token, body, f"c{n}")
        assert (status, said["code"], said["facts"]["reason"]) == (409, "needs_confirm", reason)
        assert head(iv3) == before
        status, _ = await log_entry(iv3, token, {**body, "confirm": True}, f"c{n}")
        assert status == 202
    assert said["facts"]["by"] == "Mum"


async def test_an_entry_is_changed_deleted_and_brought_back_with_its_history(iv3: Served, owner: str) -> None:
    _, made = await log_entry(iv3, owner, DOSE)
    path = f"/v1/entries/{made['id']}"
    assert (await iv3.ask("PATCH", path, token=owner, json={"revision": 1, "units": 6}))[0] == 202
    assert (await iv3.ask("DELETE", path + "?revision=2", token=owner))[0] == 202
    assert (await iv3.ask("GET", "/v1/entries", token=owner))[1]["items"] == []
    assert (await iv3.ask("POST", path + "/undo", token=owner, json={"revision": 3}))[0] == 202
    _, entry = await iv3.ask("GET", path, token=owner)
    assert (entry["units"], entry["revision"], entry["deleted"]) == (6, 4, False)
    assert (await iv3.ask("POST", path + "/undo", token=owner, json={}))[0] == 202
    _, entry = await iv3.ask("GET", path, token=owner)
    assert entry["deleted"], "undoing the undoing deletes it again"
    _, history = await iv3.ask("GET", path + "/history", token=owner)
    assert [(row["revision"], row["units"], row["deleted"]) for row in history["items"]] == [
        (1, 4.5, False),
        (2, 6, False),
        (3, 6, True),
        (4, 6, False),
        (5, 6, True),
    ]


async def test_of_two_changes_made_from_one_revision_the_first_wins_and_the_second_is_told(
    iv3: Served, owner: str
) -> None:
    _, made = await log_entry(iv3, owner, DOSE)
    path = f"/v1/entries/{made['id']}"
    answers = await asyncio.gather(
        *(iv3.ask("PATCH", path, token=owner, json={"revision": 1, "units": units}) for units in (5, 6, 7))
    )
    assert sorted(status for status, _ in answers) == [202, 409, 409]
    assert all(said["code"] == "conflict" for status, said in answers if status == 409)
    _, entry = await iv3.ask("GET", path, token=owner)
    assert entry["revision"] == 2


async def test_an_unknown_entry_is_a_404_and_an_unknown_address_too(iv3: Served, owner: str) -> None:
    for method, path in (
        ("GET", "/v1/entries/nope"),
        ("DELETE", "/v1/entries/nope"),
        ("GET", "/v1/nope"),
        ("GET", "/nope"),
    ):
        status, said = await iv3.ask(method, path, token=owner)
        assert (status, said["status"]) == (404, 404)


async def test_a_write_whose_outcome_is_not_seen_in_time_is_not_known_and_a_body_that_drips_in_is_cut_off(
    iv3: Served, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(problems, "DEADLINE_S", 1.0)

    async def never(*_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()

    async def drips() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(30)

    asked = {"token": owner, "headers": {"Idempotency-Key": "k"}}
    status, said = await iv3.ask("POST", "/v1/entries", data=drips(), **asked)
    assert (status, said["title"]) == (408, "Request Timeout")
    monkeypatch.setattr(iv3.log, "append", never)
    status, said = await iv3.ask("POST", "/v1/entries", json=DOSE, **asked)
    assert (status, "not known whether this was saved" in said["detail"]) == (503, True)
