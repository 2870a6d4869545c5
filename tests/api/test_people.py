"""Whom a token opens: on every route, whoever is named, and when nobody is."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from api.app import build_api
from api.request.openapi import ROLE
from schemas.envelope import make
from schemas.facts import GlucoseRead, PersonAdded, ProfileChanged
from schemas.model import at_ms
from streams.commands.tokens import issue
from streams.ports.log import append_events
from streams.topics import JOURNAL
from tests.support.serving import NOW_MS, Served, serving

DOSE = {"kind": "insulin", "units": 4.5, "insulin": "Humalog"}
MIN = 60_000


@pytest.fixture
async def iv3(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as served:
        now = at_ms(NOW_MS)
        for person, glucose in (("lena", 110.0), ("max", 190.0)):
            facts = [
                PersonAdded(name=person.title()),
                ProfileChanged(name=person.title()),
                GlucoseRead(glucose_mgdl=glucose),
            ]
            await append_events(
                served.log,
                JOURNAL,
                [
                    make(f, id=f"{person}{n}", source="test", subject=person, time=now, recordedtime=now)
                    for n, f in enumerate(facts)
                ],
            )
        await served.settled()
        yield served


async def bound(iv3: Served, role: Any, *people: str) -> str:
    token, event = issue(role, f"for {people}", NOW_MS, people=people)
    await append_events(iv3.log, JOURNAL, [event])
    await iv3.context.catalog.caught_up()
    return token


def heads(iv3: Served) -> int:
    return sum(head for (topic, _), head in iv3.log.heads.items() if topic == JOURNAL)


async def test_a_token_for_one_person_opens_nothing_of_anybody_else_on_any_route(iv3: Served) -> None:
    token = await bound(iv3, "owner", "lena")
    before, seen = heads(iv3), 0
    for route in build_api(iv3.context).router.routes():
        if getattr(route.handler, ROLE, None) in ("public", None) or route.resource is None:
            continue
        path = route.resource.canonical.replace("{id}", "x").replace("{kind}", "low")
        status, said = await iv3.ask(route.method, f"{path}?person=max", token=token, json={})
        assert status == 403, (route.method, path, status, said)
        seen += 1
    assert seen > 30
    assert heads(iv3) == before


async def test_a_token_for_one_person_means_that_person_where_nobody_is_named(iv3: Served) -> None:
    token = await bound(iv3, "writer", "lena")
    _, now = await iv3.ask("GET", "/v1/now", token=token)
    assert (now["person"], now["reading"]["glucose_mgdl"], now["caller"]["people"]) == ("lena", 110, 1)
    headers = {"Idempotency-Key": "k"}
    status, said = await iv3.ask("POST", "/v1/entries?wait=1", token=token, json=DOSE, headers=headers)
    assert status == 201
    owner = await iv3.token("owner")
    for person, ids in (("lena", [said["id"]]), ("max", []), ("me", [])):
        _, listed = await iv3.ask("GET", f"/v1/entries?person={person}", token=owner)
        assert [entry["id"] for entry in listed["items"]] == ids


async def test_an_entry_of_somebody_else_is_not_there_even_for_who_knows_its_id(iv3: Served) -> None:
    owner, headers = await iv3.token("owner"), {"Idempotency-Key": "k"}
    _, said = await iv3.ask("POST", "/v1/entries?wait=1&person=max", token=owner, json=DOSE, headers=headers)
    token = await bound(iv3, "writer", "lena")
    before = heads(iv3)
    for method, path, body in (
        ("GET", f"/v1/entries/{said['id']}/history", None),
        ("PATCH", f"/v1/entries/{said['id']}", {"revision": 2, "units": 5, "kind": "insulin", "insulin": "Humalog"}),
        ("DELETE", f"/v1/entries/{said['id']}?revision=2", None),
    ):
        status, _ = await iv3.ask(method, path, token=token, json=body)
        assert status in (404, 422), (method, status)
    assert heads(iv3) == before
    assert (await iv3.ask("GET", f"/v1/entries/{said['id']}/history", token=owner))[0] == 404, "the default person's"
    assert (await iv3.ask("GET", f"/v1/entries/{said['id']}/history?person=max", token=owner))[0] == 200


@pytest.mark.parametrize("person", ["nobody", "", "x" * 81, "lena&person=max"])
async def test_a_person_whom_iv3_does_not_know_is_an_error_and_no_new_person(iv3: Served, person: str) -> None:
    owner = await iv3.token("owner")
    before = heads(iv3)
    for method, path in (("GET", "/v1/now"), ("POST", "/v1/entries"), ("GET", "/glucose")):
        status, said = await iv3.ask(
            method, f"{path}?person={person}", token=owner, json=DOSE, headers={"Idempotency-Key": "k"}
        )
        assert status in (404, 422), (path, status)
        assert said["errors"][0]["field"] == "person"
    assert heads(iv3) == before


async def test_a_token_for_people_makes_and_shows_only_tokens_for_these(iv3: Served) -> None:
    everybody = await iv3.token("owner")
    token = await bound(iv3, "owner", "lena", "me")
    status, said = await iv3.ask(
        "POST", "/v1/tokens", token=token, json={"role": "reader", "name": "Nurse", "people": ["max"]}
    )
    assert (status, said["errors"][0]["field"]) == (403, "people")
    _, mine = await iv3.ask("POST", "/v1/tokens", token=token, json={"role": "reader", "name": "Nurse"})
    assert mine["people"] == ["lena", "me"], "what it makes opens no more than itself"
    _, theirs = await iv3.ask(
        "POST", "/v1/tokens", token=everybody, json={"role": "reader", "name": "x", "people": ["max"]}
    )
    _, listed = await iv3.ask("GET", "/v1/tokens", token=token)
    assert {tuple(item["people"]) for item in listed["items"]} == {("lena", "me")}
    assert (await iv3.ask("DELETE", f"/v1/tokens/{theirs['id']}", token=token))[0] == 404
    status, said = await iv3.ask(
        "POST", "/v1/tokens", token=everybody, json={"role": "reader", "name": "x", "people": ["nobody"]}
    )
    assert (status, said["errors"][0]["field"]) == (422, "people")


async def test_one_device_may_upload_the_same_value_in_the_same_second_for_two_people(iv3: Served) -> None:
    token, owner = await iv3.token("uploader"), await iv3.token("owner")
    body = {"items": [{"time": NOW_MS - 20 * MIN, "glucose_mgdl": 104}]}
    for _ in range(2):
        for person in ("lena", "max", "me"):
            assert (await iv3.ask("POST", f"/v1/readings?person={person}", token=token, json=body))[0] == 202
    await iv3.settled()
    for person in ("lena", "max", "me"):
        _, listed = await iv3.ask("GET", f"/v1/readings?person={person}", token=owner)
        assert [row["glucose_mgdl"] for row in listed["items"]].count(104) == 1, person


async def test_people_are_listed_as_far_as_the_token_opens_them(iv3: Served) -> None:
    _, seen = await iv3.ask("GET", "/v1/people", token=await bound(iv3, "reader", "lena"))
    assert [(row["id"], row["name"], row["glucose_mgdl"]) for row in seen["items"]] == [("lena", "Lena", 110)]
    everybody = await iv3.token("reader")
    _, first = await iv3.ask("GET", "/v1/people?limit=2", token=everybody)
    _, rest = await iv3.ask("GET", f"/v1/people?limit=2&cursor={first['next_cursor']}", token=everybody)
    assert [row["id"] for row in first["items"] + rest["items"]] == ["lena", "max", "me"]
    assert rest["next_cursor"] is None


async def test_a_person_is_added_suspended_and_taken_up_again_by_an_owner_of_the_house(iv3: Served) -> None:
    owner = await iv3.token("owner")
    status, _ = await iv3.ask("POST", "/v1/people", token=await bound(iv3, "owner", "lena"), json={"id": "ida"})
    assert status == 403
    assert (await iv3.ask("POST", "/v1/people", token=owner, json={"id": "ida", "name": "Ida"}))[0] == 201
    assert (await iv3.ask("POST", "/v1/people", token=owner, json={"id": "ida"}))[0] == 409
    assert (await iv3.ask("GET", "/v1/now?person=ida", token=owner))[1]["name"] == "Ida"
    for verb, watched in (("suspend", False), ("resume", True)):
        assert (await iv3.ask("POST", f"/v1/people/ida/{verb}", token=owner))[0] == 202
        iv3.clock.advance(1)
        _, listed = await iv3.ask("GET", "/v1/people", token=owner)
        assert {row["id"]: row["watched"] for row in listed["items"]}["ida"] is watched
    assert (await iv3.ask("POST", "/v1/people/nobody/suspend", token=owner))[0] == 404


async def test_a_page_whose_token_was_revoked_hears_nothing_more(iv3: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.v1.stream.PING_S", 0.2)
    owner = await iv3.token("owner")
    _, made = await iv3.ask("POST", "/v1/tokens", token=owner, json={"role": "reader", "name": "Tablet"})
    async with iv3.http.get(f"{iv3.url}/v1/stream", headers={"Authorization": f"Bearer {made['token']}"}) as reply:
        await asyncio.wait_for(reply.content.readuntil(b"event: ping"), 60)
        assert (await iv3.ask("DELETE", f"/v1/tokens/{made['id']}", token=owner))[0] == 202
        await asyncio.wait_for(reply.content.read(), 60)  # to its end
    assert reply.content.at_eof()


async def test_a_page_hears_of_its_own_person_and_of_nobody_else(iv3: Served) -> None:
    token = await bound(iv3, "reader", "lena")
    headers = {"Authorization": f"Bearer {token}"}
    async with iv3.http.get(f"{iv3.url}/v1/stream", headers=headers) as reply:
        await asyncio.wait_for(reply.content.readuntil(b"\n\n"), 60)
        for n, person in enumerate(("max", "me", "lena")):
            time = at_ms(NOW_MS + (n + 1) * MIN)
            event = make(
                GlucoseRead(glucose_mgdl=99), id=f"r{n}", source="test", subject=person, time=time, recordedtime=time
            )
            await append_events(iv3.log, JOURNAL, [event])
            await iv3.settled()
            if person != "lena":
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(reply.content.readuntil(b"\n\n"), 0.4)
        heard = (await asyncio.wait_for(reply.content.readuntil(b"\n\n"), 60)).decode()
    assert "event: change" in heard
    assert "readings" in heard
