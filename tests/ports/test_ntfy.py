"""The ntfy client against the stand-in; the plain part also against a real server, where IV3_TEST_NTFY names one."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp.web
import pytest
from pydantic import SecretStr

from streams.adapters.notifiers.ntfy import Ntfy
from streams.errors import Misconfigured, NotifierRefused, NotifierUnreachable
from streams.ports.notifier import Message, Notifier
from tests.standins.ntfy import Access, NtfyStandIn

TOKEN, TOPIC = "tk_q8f7w6e5r4t3z2u1i0o9p8a7s6d5f", "iv3-k3v9x2m7"
NOON = 1_763_985_600_000  # 12:00 UTC
REAL = os.environ.get("IV3_TEST_NTFY")  # such as http://127.0.0.1:8080, open to everybody


class StillClock:
    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed

    def now_ms(self) -> int:
        return NOON


def low(sequence_id: str = "low-1", **changes: Any) -> Message:
    return Message(
        **{"sequence_id": sequence_id, "title": "LOW 3.6 ↓↓", "body": "04:12", "priority": 5, "tags": ("x",)} | changes
    )


@pytest.fixture
async def server() -> AsyncIterator[NtfyStandIn]:
    async with NtfyStandIn(tokens={TOKEN: Access("iv3-*")}) as server:
        yield server


@pytest.fixture
async def build(server: NtfyStandIn) -> AsyncIterator[Callable[..., Ntfy]]:
    built: list[Ntfy] = []

    def new(**changes: Any) -> Ntfy:
        settings: dict[str, Any] = {"server": server.url, "topic": TOPIC, "clock": StillClock(), "timeout_s": 1.0}
        built.append(Ntfy(**settings | {"token": SecretStr(TOKEN)} | changes))
        return built[-1]

    yield new
    for client in built:
        await client.close()


@pytest.fixture
def ntfy(build: Callable[..., Ntfy]) -> Ntfy:
    return build()


async def failure(client: Ntfy, message: Message | None = None) -> NotifierRefused | NotifierUnreachable:
    with pytest.raises((NotifierRefused, NotifierUnreachable)) as caught:
        await client.send(message or low())
    error: BaseException | None = caught.value
    assert str(error).endswith(".")
    while error is not None:
        shown = f"{error!s} {error!r} {error.args!r} {vars(error)!r}"
        assert TOKEN not in shown
        assert TOPIC not in shown
        error = error.__cause__ or error.__context__
    return caught.value  # type: ignore[no-any-return]  # pytest.raises says which


# --- what any ntfy does -----------------------------------------------------------------------------------------------


@pytest.fixture(
    params=["stand-in", pytest.param("real", marks=pytest.mark.skipif(not REAL, reason="IV3_TEST_NTFY is not set"))]
)
def any_ntfy(request: pytest.FixtureRequest, build: Callable[..., Ntfy]) -> Ntfy:
    if request.param == "stand-in":
        return build(timeout_s=10.0)
    topic = f"iv3-test-{uuid.uuid4().hex[:20]}"
    return build(server=REAL, topic=topic, token=None, timeout_s=10.0)


async def test_a_new_server_is_known_by_its_echo(any_ntfy: Ntfy) -> None:
    notifier: Notifier = any_ntfy
    assert await notifier.probe() is True


async def test_a_message_that_was_sent_is_found_again_and_another_is_not(any_ntfy: Ntfy) -> None:
    assert await any_ntfy.was_sent("low-1", within_s=300) is False
    await any_ntfy.send(low())
    assert await any_ntfy.was_sent("low-1", within_s=300) is True
    assert await any_ntfy.was_sent("low-2", within_s=300) is False


async def test_a_message_is_still_found_after_it_was_cleared(any_ntfy: Ntfy) -> None:
    await any_ntfy.send(low())
    await any_ntfy.clear("low-1")
    await any_ntfy.clear("never-sent")
    assert await any_ntfy.was_sent("low-1", within_s=300) is True


async def test_scheduled_messages_are_pending_until_they_are_moved_or_cancelled(any_ntfy: Ntfy) -> None:
    await any_ntfy.send(low("dead-a", delay_s=2400))
    await any_ntfy.send(low("dead-b", delay_s=2400))
    await any_ntfy.send(low("dead-a", delay_s=3000))
    await any_ntfy.send(low("low-1"))
    assert await any_ntfy.pending() == ["dead-a", "dead-b"]
    assert await any_ntfy.was_sent("dead-a", within_s=60) is True
    await any_ntfy.clear("dead-a")
    assert await any_ntfy.pending() == ["dead-a", "dead-b"]
    await any_ntfy.cancel("dead-a")
    assert await any_ntfy.pending() == ["dead-b"]
    await any_ntfy.cancel("dead-b")
    assert await any_ntfy.pending() == []
    assert await any_ntfy.was_sent("dead-a", within_s=60) is False


@pytest.mark.parametrize(
    "body", ["", "x" * 5000, "🩸" * 3000, "↓ 3.6 " * 2000, '"' * 5000, "\n" * 5000, "\\\x01" * 3000, "\ud800 broken"]
)
async def test_any_text_is_accepted(any_ntfy: Ntfy, body: str) -> None:
    actions = tuple({"action": "view", "label": "Graph", "url": f"https://iv3.example/{'x' * 300}"} for _ in range(5))
    await any_ntfy.send(low(body=body, title="T" * 400 + "🩸", actions=actions, click="https://iv3.example/now"))
    assert await any_ntfy.was_sent("low-1", within_s=60) is True


# --- what the stand-in can show ---------------------------------------------------------------------------------------


async def test_a_message_arrives_as_it_was_said(ntfy: Ntfy, server: NtfyStandIn) -> None:
    actions = ({"action": "http", "label": "Treated", "url": "https://h/a/1", "clear": True},)
    await ntfy.send(low(actions=actions, click="https://h/now"))
    (message,) = server.shown(TOPIC)
    assert message["title"] == "LOW 3.6 ↓↓"
    assert message["message"] == "04:12"
    assert message["priority"] == 5
    assert message["tags"] == ["x"]
    assert message["click"] == "https://h/now"
    assert message["actions"][0] | actions[0] == message["actions"][0]


async def test_the_same_sequence_replaces_what_a_phone_shows_and_a_clear_removes_it(
    ntfy: Ntfy, server: NtfyStandIn
) -> None:
    await ntfy.send(low(body="3.6"))
    await ntfy.send(low(body="3.9", priority=2))
    await ntfy.send(low("low-2", body="again"))
    assert [message["message"] for message in server.shown(TOPIC)] == ["3.9", "again"]
    await ntfy.clear("low-1")
    assert [message["message"] for message in server.shown(TOPIC)] == ["again"]


async def test_a_text_that_is_too_long_is_cut_between_characters(ntfy: Ntfy, server: NtfyStandIn) -> None:
    await ntfy.send(low(body="🩸" * 3000))
    text = server.received[-1].message["message"]
    assert text == "🩸" * 1023 + "…"
    assert len(text.encode()) <= 4095
    await ntfy.send(low(body="x" * 4095))
    assert server.received[-1].message["message"] == "x" * 4095
    await ntfy.send(low(title="T" * 400))
    assert server.received[-1].message["title"] == "T" * 250


async def test_buttons_that_leave_no_room_for_words_are_left_out(ntfy: Ntfy, server: NtfyStandIn) -> None:
    actions = tuple({"action": "view", "label": "Graph", "url": "https://h/" + "x" * 3000} for _ in range(3))
    await ntfy.send(low(actions=actions))
    assert server.received[-1].message["message"] == "04:12"
    assert "actions" not in server.received[-1].message


async def test_a_delay_is_real_time_and_never_too_short_for_ntfy(build: Any, server: NtfyStandIn) -> None:
    for speed, delay_s, real_s in (
        (1.0, 2400, 2400),
        (60.0, 2400, 40),
        (600.0, 2400, 10),
        (1.0, 0, 10),
        (7.0, 100, 15),
    ):
        await build(clock=StillClock(speed)).send(low(delay_s=delay_s))
        assert server.received[-1].delay_s == real_s


async def test_the_probe_leaves_nothing_on_the_phone(ntfy: Ntfy, server: NtfyStandIn) -> None:
    assert await ntfy.probe()
    assert not server.shown(TOPIC)
    assert server.received[0].message["priority"] == 1


async def test_an_old_server_is_found_out_and_trusted_with_nothing_that_needs_sequences(build: Any) -> None:
    async with NtfyStandIn(version="2.13.0", tokens={TOKEN: Access()}) as old:
        client = build(server=old.url)
        assert await client.probe() is False
        await client.send(low())
        assert await client.was_sent("low-1", within_s=60) is None
        await client.clear("low-1")
        await client.cancel("low-1")
        assert [message["message"] for message in old.shown(TOPIC)][-1] == "04:12"


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [(401, 40101, "ntfy.token"), (403, 40301, "ntfy.topic"), (400, 40009, "HTTP 400"), (413, 41303, "HTTP 413")],
)
async def test_a_refusal_names_its_code_and_says_whether_the_message_is_to_blame(
    ntfy: Ntfy, server: NtfyStandIn, status: int, code: int, says: str
) -> None:
    server.fail(status, code=code)
    error = await failure(ntfy)
    assert isinstance(error, NotifierRefused)
    assert error.code == code
    assert error.final == (code not in (40101, 40301)), "the account can be put right; the message cannot"
    assert says in str(error)
    await ntfy.send(low())


@pytest.mark.parametrize(("status", "says"), [(401, "log-in"), (403, "access"), (404, "no ntfy"), (418, "418")])
async def test_a_refusal_that_is_not_ntfys_own_may_pass_like_any_outage(
    ntfy: Ntfy, server: NtfyStandIn, status: int, says: str
) -> None:
    server.fail(status)
    error = await failure(ntfy)
    assert isinstance(error, NotifierUnreachable)
    assert says in str(error)


async def test_a_revoked_token_is_a_refusal(ntfy: Ntfy, server: NtfyStandIn) -> None:
    await ntfy.send(low())
    server.revoke_token()
    error = await failure(ntfy)
    assert isinstance(error, NotifierRefused)
    assert error.code == 40101
    assert await ntfy.was_sent("low-1", within_s=60) is None


async def test_no_token_and_a_topic_that_is_not_ours_are_refusals(build: Any) -> None:
    for client in (build(token=None), build(topic="other")):
        error = await failure(client)
        assert isinstance(error, NotifierRefused)
        assert error.code == 40301


async def test_too_many_bad_tokens_are_a_refusal_even_with_the_good_one(build: Any, ntfy: Ntfy) -> None:
    bad = build(token=SecretStr("tk_bad"))
    for _ in range(30):
        await failure(bad)
    error = await failure(ntfy)
    assert isinstance(error, NotifierRefused)
    assert error.code == 42909


async def test_too_many_requests_are_waited_out_for_five_seconds(build: Any) -> None:
    async with NtfyStandIn(burst=3) as server:
        client = build(server=server.url, token=None)
        for _ in range(3):
            await client.send(low())
        error = await failure(client)
    assert isinstance(error, NotifierUnreachable)
    assert error.retry_after_s == 5.0


@pytest.mark.parametrize("speed", [1.0, 10.0])
async def test_a_spent_quota_lasts_until_midnight_utc(build: Any, server: NtfyStandIn, speed: float) -> None:
    server.spend_quota()
    error = await failure(build(clock=StillClock(speed)))
    assert isinstance(error, NotifierUnreachable)
    assert error.retry_after_s == 12 * 3600 / speed
    assert "midnight" in str(error)


@pytest.mark.parametrize(("status", "code"), [(500, 50001), (502, None), (503, None), (507, 50701), (408, None)])
async def test_a_server_in_trouble_is_an_outage(ntfy: Ntfy, server: NtfyStandIn, status: int, code: int | None) -> None:
    server.fail(status, 2, code=code)
    assert isinstance(await failure(ntfy), NotifierUnreachable)
    with pytest.raises(NotifierUnreachable):
        await ntfy.was_sent("low-1", within_s=60)
    await ntfy.send(low())


async def test_a_reply_that_was_lost_is_found_by_reading_back(ntfy: Ntfy, server: NtfyStandIn) -> None:
    server.lose_replies()
    assert isinstance(await failure(ntfy), NotifierUnreachable)
    assert await ntfy.was_sent("low-1", within_s=60) is True
    assert len(server.received) == 1


async def test_a_server_that_hangs_is_given_up_on_in_time(build: Any, server: NtfyStandIn) -> None:
    client = build(timeout_s=0.2)
    server.hang(5.0)
    assert isinstance(await failure(client), NotifierUnreachable), "given up before the server answers"
    assert await client.was_sent("low-1", within_s=60) is False


async def test_a_server_that_is_not_there_is_an_outage(ntfy: Ntfy, server: NtfyStandIn) -> None:
    await server.stop()
    error = await failure(ntfy)
    assert isinstance(error, NotifierUnreachable)
    assert "127.0.0.1" in str(error)


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 200, "text": "<html>Welcome to our hotel</html>"},
        {"status": 200, "text": ""},
        {"status": 200, "text": '{"ok": true}'},
        {"status": 200, "text": "[]"},
        {"status": 302, "headers": {"Location": "http://hotel.example/login"}},
        {"status": 429, "headers": {"Retry-After": "17"}},
    ],
)
async def test_what_is_not_ntfy_never_counts_as_delivered(build: Any, answer: dict[str, Any]) -> None:
    async def handler(_: aiohttp.web.Request) -> aiohttp.web.Response:
        return aiohttp.web.Response(**answer)

    app = aiohttp.web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = aiohttp.web.AppRunner(app, access_log=None)
    await runner.setup()
    await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
    client = build(server=f"http://127.0.0.1:{runner.addresses[0][1]}")
    error = await failure(client)
    assert isinstance(error, NotifierUnreachable)
    assert error.retry_after_s == (17.0 if answer["status"] == 429 else None)
    await client.close()
    await runner.cleanup()


async def test_who_may_only_write_cannot_read_back(build: Any) -> None:
    async with NtfyStandIn(tokens={TOKEN: Access(read=False)}) as server:
        client = build(server=server.url)
        await client.send(low())
        assert await client.was_sent("low-1", within_s=60) is None
        assert await client.pending() is None


async def test_what_ntfy_has_forgotten_by_now_is_not_denied(ntfy: Ntfy) -> None:
    assert await ntfy.was_sent("low-1", within_s=86_400) is None
    await ntfy.send(low())
    assert await ntfy.was_sent("low-1", within_s=86_400) is True


async def test_a_sequence_id_that_would_change_the_address_is_refused(ntfy: Ntfy, server: NtfyStandIn) -> None:
    for bad in ("a/../../other/x", "", "a b", "x" * 65):
        with pytest.raises(NotifierRefused):
            await ntfy.clear(bad)
    assert not server.calls


@pytest.mark.parametrize(
    "changes",
    [
        {"server": "ntfy.sh"},
        {"server": "https://ntfy.sh/iv3-k3v9x2m7"},
        {"server": "https://user:secret@ntfy.sh"},
        {"server": "https://ntfy.sh?auth=x"},
        {"topic": "a b"},
        {"topic": ""},
    ],
)
def test_a_setting_that_cannot_be_right_is_refused_at_the_door(build: Any, changes: dict[str, str]) -> None:
    with pytest.raises(Misconfigured, match=r"ntfy\.(server|topic) must") as caught:
        build(**changes)
    assert "secret" not in str(caught.value)


def test_the_target_is_stable_and_tells_nothing(build: Any, server: NtfyStandIn) -> None:
    client = build()
    assert client.target == build(server=f"{server.url}/").target != build(topic="iv3-other").target
    assert len(client.target) == 15
    assert TOPIC not in repr(client)
    assert TOKEN not in repr(client)


async def test_many_messages_at_once_all_arrive(ntfy: Ntfy, server: NtfyStandIn) -> None:
    await asyncio.gather(*(ntfy.send(low(f"low-{number}")) for number in range(50)))
    assert len(server.shown(TOPIC)) == 50
