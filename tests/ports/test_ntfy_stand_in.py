"""The stand-in of ntfy answers, request by request, what real servers of 2.27 and 2.13 answered."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.standins.ntfy import Access, NtfyStandIn

GOLDEN = Path(__file__).parents[2].parent / "shared" / "golden" / "ntfy_2.27.0.json"
pytestmark = pytest.mark.skipif(not GOLDEN.exists(), reason="the recorded answers are not beside the checkout")

TOKENS = {"NTFY_TOKEN": Access("iv3-*"), "NTFY_READ_TOKEN": Access("iv3-*", write=False)}
HEADERS = {"publish_header_sequence": {"Title": "t", "X-Sequence-ID": "low-2"}}  # not in the recording


def recorded() -> tuple[dict[str, Any], dict[str, Any]]:
    versions = json.loads(GOLDEN.read_text())["recorded_from"]
    return versions["2.27.0"], versions["2.13.0"]["differs_from_2.27.0"]


def masked(content: Any) -> Any:
    """Ids, times and long texts are replaced as in the recording."""
    if isinstance(content, list):
        return [masked(part) for part in content]
    if not isinstance(content, dict):
        return content
    masks = {"id": "ID", "time": 0, "expires": 0}
    out = {name: masks.get(name, masked(part)) for name, part in content.items()}
    if len(str(out.get("message", ""))) > 1000:
        out["message"] = f"<{len(out['message'])} chars>"
    return out


async def ask(http: aiohttp.ClientSession, url: str, name: str, request: dict[str, Any]) -> dict[str, Any]:
    headers = dict(HEADERS.get(name, {}))
    if request["auth"] != "none":
        headers["Authorization"] = f"Bearer {request['auth']}"
    body = request["body"]
    if isinstance(body, str) and body.startswith("<message of"):  # too long to be recorded
        body = {"topic": "iv3-l", "message": "x" * int(body.split()[2])}
    if isinstance(body, dict):
        body = json.dumps(body, ensure_ascii=False)
    async with http.request(
        request["method"], url + request["path"], headers=headers, data=body.encode() if body is not None else None
    ) as reply:
        text = await reply.text()
        many = "/json" in request["path"]
        content = [json.loads(line) for line in text.splitlines()] if many else json.loads(text)
        kind = {"Content-Type": reply.headers["Content-Type"]}
        return {"status": reply.status, "headers": kind, "body": masked(content)}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.mark.parametrize("version", ["2.27.0", "2.16.0", "2.13.0"])
async def test_every_recorded_request_gets_the_recorded_reply(http: aiohttp.ClientSession, version: str) -> None:
    cases, differing = recorded()
    replayed = 0
    async with NtfyStandIn(version=version, tokens=TOKENS) as ntfy:
        for name, case in cases.items():
            if "request" in case:
                expected = differing[name]["reply"] if version == "2.13.0" and name in differing else case["reply"]
                assert await ask(http, ntfy.url, name, case["request"]) == expected, name
                replayed += 1
    assert replayed == len(cases) - 3  # the three limits have their own tests


async def test_after_the_recorded_number_of_requests_the_recorded_limit_is_reached(
    http: aiohttp.ClientSession,
) -> None:
    case = recorded()[0]["rate_limit"]
    request = {"method": "POST", "path": "/", "auth": "NTFY_TOKEN", "body": {"topic": "iv3-a", "message": "x"}}
    now = [1_000_000.0]
    async with NtfyStandIn(tokens=TOKENS, burst=60, now=lambda: now[0]) as ntfy:
        for _ in range(case["after_requests"]):
            assert (await ask(http, ntfy.url, "", request))["status"] == 200
        assert await ask(http, ntfy.url, "", request) == case["reply"]
        now[0] += 5
        assert (await ask(http, ntfy.url, "", request))["status"] == 200
        assert await ask(http, ntfy.url, "", request) == case["reply"]


async def test_the_daily_quota_answers_as_recorded(http: aiohttp.ClientSession) -> None:
    request = {"method": "POST", "path": "/", "auth": "none", "body": {"topic": "iv3-a", "message": "x"}}
    async with NtfyStandIn(daily_quota=1) as ntfy:
        assert (await ask(http, ntfy.url, "", request))["status"] == 200
        assert await ask(http, ntfy.url, "", request) == recorded()[0]["daily_quota"]["reply"]


async def test_after_too_many_bad_tokens_the_good_one_is_refused_too(http: aiohttp.ClientSession) -> None:
    case = recorded()[0]["auth_failures"]
    request = {"method": "POST", "path": "/", "auth": "tk_bad", "body": {"topic": "iv3-a", "message": "x"}}
    async with NtfyStandIn(tokens=TOKENS) as ntfy:
        for _ in range(case["after_requests"]):
            assert (await ask(http, ntfy.url, "", request))["status"] == 401
        assert await ask(http, ntfy.url, "", request | {"auth": "NTFY_TOKEN"}) == case["reply"]


async def publish(http: aiohttp.ClientSession, ntfy: NtfyStandIn, **message: Any) -> None:
    async with http.post(ntfy.url, data=json.dumps({"topic": "t", **message})) as reply:
        assert reply.status == 200


async def test_a_phone_shows_the_newest_of_each_sequence(http: aiohttp.ClientSession) -> None:
    now = [1_000_000.0]
    async with NtfyStandIn(now=lambda: now[0]) as ntfy:
        for message, sequence in (("low", "a"), ("still low", "a"), ("other", "b"), ("plain", None)):
            await publish(http, ntfy, message=message, **({"sequence_id": sequence} if sequence else {}))
        assert [message["message"] for message in ntfy.shown("t")] == ["still low", "other", "plain"]
        async with http.put(f"{ntfy.url}/t/a/clear") as reply:
            assert reply.status == 200
        assert [message["message"] for message in ntfy.shown("t")] == ["other", "plain"]
        assert not ntfy.shown("another")


async def test_a_scheduled_message_comes_when_it_is_due_unless_it_was_cancelled(http: aiohttp.ClientSession) -> None:
    now = [1_000_000.0]
    async with NtfyStandIn(now=lambda: now[0]) as ntfy:
        await publish(http, ntfy, message="silent", sequence_id="dead-a", delay="40m")
        await publish(http, ntfy, message="silent too", sequence_id="dead-b", delay="40m")
        now[0] += 600
        await publish(http, ntfy, message="moved", sequence_id="dead-a", delay="40m")
        assert len(ntfy.pending("t")) == 2
        async with http.delete(f"{ntfy.url}/t/dead-b") as reply:
            assert reply.status == 200
        now[0] += 2399
        assert not ntfy.shown("t")
        now[0] += 1
        assert [message["message"] for message in ntfy.shown("t")] == ["moved"]


async def test_a_subscriber_hears_what_is_published_while_it_listens(http: aiohttp.ClientSession) -> None:
    async with NtfyStandIn() as ntfy:
        await publish(http, ntfy, message="before")
        async with http.get(f"{ntfy.url}/t/json") as stream:
            assert json.loads(await stream.content.readline())["event"] == "open"
            await publish(http, ntfy, message="while")
            assert json.loads(await stream.content.readline())["message"] == "while"


async def test_what_was_taken_is_found_again_after_a_restart(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    file = tmp_path / "taken.jsonl"
    async with NtfyStandIn(file=file) as ntfy:
        await publish(http, ntfy, message="eins", sequence_id="a")
        await publish(http, ntfy, message="zwei ↓", sequence_id="a")
    async with NtfyStandIn(file=file) as ntfy:
        await publish(http, ntfy, message="drei", sequence_id="b")
        assert [message["message"] for message in ntfy.shown("t")] == ["zwei ↓", "drei"]
    assert [json.loads(line)["message"]["message"] for line in file.read_text().splitlines()] == [
        "eins",
        "zwei ↓",
        "drei",
    ]
