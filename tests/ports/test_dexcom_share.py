"""The Dexcom Share client against the fake Share server, over a socket, in every state that Share was seen in."""

import asyncio
import json
import logging
import stat
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import aiohttp.web
import pydexcom
import pydexcom.dexcom
import pytest
from pydantic import SecretStr

from processors.simulated_person import SimulatedEvent, simulate
from processors.sources.polling import LoginPolicy
from streams.adapters.simulation.faults import FAULTS, parse_faults
from streams.adapters.simulation.share_server import ShareServer
from streams.adapters.sources.dexcom import DexcomShare
from streams.errors import Misconfigured, SourceRefused, SourceUnreachable, StreamError
from streams.ports.source import Fetched, GlucoseSource

NOW = 1_763_985_600_000
MIN = 60_000
HOUR = 60 * MIN
USER, PASSWORD = "Mum@Example.com", "correct horse battery"
PERSON = simulate(5, NOW - 48 * HOUR, NOW + 30 * HOUR)
GLUCOSE = {event.time_ms: event.value for event in PERSON if event.kind == "glucose"}


class Time:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.ms = NOW

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def server(time: Time) -> AsyncIterator[ShareServer]:
    server = ShareServer(PERSON, now_ms=time, username=USER, password=PASSWORD, control=True, slow_s=5.0)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def build(server: ShareServer, tmp_path: Path, time: Time) -> AsyncIterator[Callable[..., DexcomShare]]:
    built: list[DexcomShare] = []

    def new(**changes: Any) -> DexcomShare:
        settings: dict[str, Any] = {
            "username": USER,
            "password": SecretStr(PASSWORD),
            "region": "ous",
            "session_file": tmp_path / "dexcom-session.json",
            "base_url": server.url,
            "timeout_s": 2.0,
            "now_ms": time,
        }
        built.append(DexcomShare(**settings | changes))
        return built[-1]

    yield new
    for client in built:
        await client.close()


@pytest.fixture
def client(build: Callable[..., DexcomShare]) -> DexcomShare:
    return build()


def secrets_of(server: ShareServer) -> list[str]:
    return [PASSWORD, USER, USER.lower(), *server._sessions, *server._ended, server.account_id]


def assert_silent(error: BaseException | None, server: ShareServer) -> None:
    """No secret in the error nor in anything that is shown with it."""
    while error is not None:
        shown = f"{error!s} {error!r} {error.args!r} {vars(error)!r}"
        assert not [secret for secret in secrets_of(server) if secret in shown]
        error = error.__cause__ or error.__context__


async def refused(client: DexcomShare, server: ShareServer, *, may_log_in: bool = True) -> StreamError:
    with pytest.raises((SourceRefused, SourceUnreachable)) as caught:
        await client.latest(60, 12, may_log_in=may_log_in)
    assert_silent(caught.value, server)
    assert str(caught.value).endswith(".")
    return caught.value


def assert_true_to_life(fetched: Fetched, *, first: int = NOW - 24 * HOUR, last: int = NOW) -> None:
    expected = [(t, v) for t, v in sorted(GLUCOSE.items()) if first < t <= last]
    assert [(reading.time_ms, reading.glucose_mgdl) for reading in fetched.readings] == expected


def test_it_is_a_glucose_source_with_a_stable_account_name(client: DexcomShare, build: Any) -> None:
    source: GlucoseSource = client
    assert source.name == "dexcom-share"
    assert len(client.account) == 16
    assert client.account == build(username=USER.upper()).account
    assert client.account != build(region="us").account
    assert client.account != build(username="dad").account
    assert repr(client) == f"DexcomShare(ous, account {client.account})"


async def test_a_day_of_readings_comes_oldest_first_with_the_servers_time(client: DexcomShare) -> None:
    fetched = await client.latest(1440, 288, may_log_in=True)
    assert_true_to_life(fetched)
    assert fetched.server_time_ms == NOW
    assert not fetched.rejected
    assert not fetched.sensor_codes
    trends = {reading.trend for reading in fetched.readings}
    assert {"Flat", "FortyFiveUp", "FortyFiveDown"} <= trends


async def test_the_future_is_hidden_until_it_is_now(client: DexcomShare, time: Time) -> None:
    before = (await client.latest(10, 288, may_log_in=True)).readings
    time.ms += 5 * MIN
    after = (await client.latest(10, 288, may_log_in=True)).readings
    assert after[:-1] == before[1:]
    assert after[-1].time_ms > before[-1].time_ms


async def test_more_than_share_gives_is_not_asked_for(client: DexcomShare) -> None:
    assert_true_to_life(await client.latest(5000, 9999, may_log_in=True))
    assert len((await client.latest(0, 0, may_log_in=True)).readings) <= 1
    assert len((await client.latest(1440, 3, may_log_in=True)).readings) == 3


async def test_one_log_in_serves_many_reads_and_many_askers(client: DexcomShare, server: ShareServer) -> None:
    await asyncio.gather(*(client.latest(60, 12, may_log_in=True) for _ in range(20)))
    assert server.calls == {"authenticate": 1, "login": 1, "read": 20}


async def test_the_session_survives_a_restart_in_a_file_for_the_owner_only(
    client: DexcomShare, build: Any, server: ShareServer, tmp_path: Path
) -> None:
    await client.latest(60, 12, may_log_in=True)
    path = tmp_path / "dexcom-session.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert PASSWORD not in path.read_text()
    assert len((await build().latest(60, 12, may_log_in=False)).readings) == 12
    assert server.log_ins == 2


async def test_a_file_that_others_could_read_is_replaced_by_one_that_they_cannot(
    client: DexcomShare, tmp_path: Path
) -> None:
    path = tmp_path / "dexcom-session.json"
    path.write_text("{}")
    path.chmod(0o644)
    await client.latest(60, 12, may_log_in=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_session_is_never_used_for_another_account_or_server(
    client: DexcomShare, build: Any, server: ShareServer, time: Time
) -> None:
    await client.latest(60, 12, may_log_in=True)
    with pytest.raises(SourceUnreachable, match="no Dexcom Share session"):
        await build(username="dad").latest(60, 12, may_log_in=False)
    other = ShareServer(PERSON, now_ms=time)
    await other.start()
    with pytest.raises(SourceUnreachable, match="no Dexcom Share session"):
        await build(base_url=other.url).latest(60, 12, may_log_in=False)
    assert not other.calls
    await other.stop()
    assert server.calls["read"] == 1


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"account": 1}', '{"account_id": "x", "session_id": 7}', "\x00\xff"]
)
async def test_a_damaged_session_file_costs_a_log_in_and_nothing_else(
    client: DexcomShare, server: ShareServer, tmp_path: Path, content: str
) -> None:
    (tmp_path / "dexcom-session.json").write_text(content)
    assert (await client.latest(60, 12, may_log_in=True)).readings
    assert server.log_ins == 2


async def test_a_session_file_that_cannot_be_written_is_said_once_and_stops_nothing(
    build: Any, server: ShareServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "taken").write_text("a file where a folder should be")
    client = build(session_file=tmp_path / "taken" / "session.json")
    with caplog.at_level(logging.DEBUG):
        assert (await client.latest(60, 12, may_log_in=True)).readings
        server.set_faults(["expired-session"])
        assert (await client.latest(60, 12, may_log_in=True)).readings
    assert caplog.text.count("cannot be kept") == 1
    assert not [secret for secret in secrets_of(server) if secret in caplog.text]


async def test_an_expired_session_is_renewed_with_the_known_account(client: DexcomShare, server: ShareServer) -> None:
    await client.latest(60, 12, may_log_in=True)
    server.set_faults(["expired-session"])
    for _ in range(7):
        assert len((await client.latest(60, 12, may_log_in=True)).readings) == 12
    assert server.calls["authenticate"] == 1
    assert server.calls["login"] == 1 + 1 + 3


async def test_an_expired_session_is_not_renewed_where_no_log_in_is_allowed(
    client: DexcomShare, server: ShareServer
) -> None:
    await client.latest(60, 12, may_log_in=True)
    server.set_faults(["expired-session"])
    for _ in range(3):
        assert isinstance(await refused(client, server, may_log_in=False), SourceUnreachable)
    assert server.log_ins == 2
    assert server.calls["read"] == 2  # the lost session is not asked with again


async def test_a_session_that_never_holds_costs_one_log_in_a_poll(client: DexcomShare, server: ShareServer) -> None:
    server.set_faults(["no-session-holds"])
    for polls in range(1, 4):
        assert isinstance(await refused(client, server), SourceUnreachable)
        assert server.calls["login"] == polls
        assert server.calls["read"] == polls


async def test_a_spurious_password_error_is_not_answered_with_another_log_in(
    client: DexcomShare, server: ShareServer, time: Time
) -> None:
    server.set_faults(["spurious-password-error"])
    error = await refused(client, server)
    assert isinstance(error, SourceRefused)
    assert error.kind == "rejected"
    assert server.log_ins == 1
    time.ms += 10 * MIN
    assert len((await client.latest(60, 12, may_log_in=True)).readings) == 12


async def test_a_wrong_password_is_never_tried_more_often_than_the_policy_allows(
    build: Any, server: ShareServer, time: Time
) -> None:
    client = build(password=SecretStr("wrong"))
    policy, tried = LoginPolicy(), []
    while time.ms < NOW + 20 * HOUR:
        may_log_in, before = policy.may_log_in(time.ms), server.log_ins
        error = await refused(client, server, may_log_in=may_log_in)
        if isinstance(error, SourceRefused):
            policy = policy.after_refusal(error.kind, time.ms)
        if server.log_ins > before:
            tried.append((time.ms - NOW) // MIN)
        assert server.log_ins - before <= may_log_in
        time.ms += 10 * MIN
    assert tried == [0, 10, 40, 100, *range(460, 20 * 60, 360)]
    assert not server.accepted
    server._password = "wrong"
    time.ms += 6 * HOUR
    assert (await client.latest(60, 12, may_log_in=True)).readings


async def test_a_changed_password_ends_in_a_refusal_after_one_log_in(
    client: DexcomShare, server: ShareServer, time: Time
) -> None:
    await client.latest(60, 12, may_log_in=True)
    server.set_faults(["wrong-password"])
    error = await refused(client, server)
    assert isinstance(error, SourceRefused)
    assert error.kind == "rejected"
    assert server.calls == {"authenticate": 1, "login": 2, "read": 2}
    server.set_faults([])
    time.ms += 10 * MIN
    await client.latest(60, 12, may_log_in=True)
    assert server.calls["authenticate"] == 2  # the account id was forgotten with the rejection


async def test_five_wrong_passwords_lock_the_account_for_a_while(
    build: Any, server: ShareServer, time: Time, tmp_path: Path
) -> None:
    """Five machines, each with one wrong try: none of them did anything wrong, and the account is locked all
    the same.
    """
    kinds = [
        getattr(
            await refused(build(password=SecretStr("wrong"), session_file=tmp_path / f"{n}" / "s.json"), server),
            "kind",
            None,
        )
        for n in range(6)
    ]
    assert kinds == ["rejected"] * 5 + ["locked_out"]
    good = build()
    assert isinstance(await refused(good, server), SourceRefused)
    time.ms += 61 * MIN
    assert (await good.latest(60, 12, may_log_in=True)).readings


async def test_whatever_command_asks_a_refused_password_is_not_tried_again_too_soon(
    build: Any, server: ShareServer, time: Time
) -> None:
    for _ in range(5):
        assert isinstance(await refused(build(password=SecretStr("wrong")), server), SourceRefused | SourceUnreachable)
    assert server.log_ins == 1
    time.ms += 10 * MIN
    await refused(build(password=SecretStr("wrong")), server)
    assert server.log_ins == 2


async def test_a_password_that_was_changed_need_not_wait_for_the_refused_one(
    build: Any, server: ShareServer, tmp_path: Path
) -> None:
    await refused(build(password=SecretStr("wrong")), server)
    assert (await build().latest(60, 12, may_log_in=False)).readings
    assert not (tmp_path / "dexcom-refusals.json").exists()


async def test_the_memory_of_a_refusal_holds_no_password_and_only_its_owner_reads_it(
    build: Any, server: ShareServer, tmp_path: Path
) -> None:
    await refused(build(password=SecretStr("wr0ng-canary")), server)
    path = tmp_path / "dexcom-refusals.json"
    assert "canary" not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("{")
    assert isinstance(await refused(build(password=SecretStr("wr0ng-canary")), server), SourceRefused)


@pytest.mark.parametrize(
    ("fault", "kind"), [("wrong-password", "rejected"), ("zero-uuid", "rejected"), ("lock-out", "locked_out")]
)
async def test_a_refused_log_in_says_of_what_kind_it_is(
    client: DexcomShare, server: ShareServer, fault: str, kind: str
) -> None:
    server.set_faults([fault])
    error = await refused(client, server)
    assert isinstance(error, SourceRefused)
    assert error.kind == kind
    assert server.log_ins == 1


async def test_an_empty_name_or_password_is_a_mistake_in_the_configuration(build: Any, server: ShareServer) -> None:
    for changes in ({"username": ""}, {"password": SecretStr("")}):
        error = await refused(build(**changes), server)
        assert isinstance(error, SourceRefused)
        assert error.kind == "misconfigured"
        assert "dexcom." in str(error)


async def test_an_empty_list_is_an_answer(client: DexcomShare, server: ShareServer) -> None:
    server.set_faults(["empty-list"])
    fetched = await client.latest(60, 12, may_log_in=True)
    assert fetched == Fetched((), server_time_ms=NOW)


@pytest.mark.parametrize("fault", ["html-403", "429", "empty-body", "half-closed", "slow"])
@pytest.mark.parametrize("logged_in", [True, False])
async def test_an_outage_is_waited_out_and_costs_no_session(
    build: Any, server: ShareServer, fault: str, *, logged_in: bool
) -> None:
    client = build(timeout_s=0.3)
    if logged_in:
        await client.latest(60, 12, may_log_in=True)
    server.set_faults([fault])
    error = await refused(client, server)
    assert isinstance(error, SourceUnreachable)
    assert error.retry_after_s == (42.0 if fault == "429" else None)
    server.set_faults([])
    assert len((await client.latest(60, 12, may_log_in=True)).readings) == 12
    if logged_in:
        assert server.log_ins == 2


async def test_a_server_that_is_not_there_is_an_outage(client: DexcomShare, server: ShareServer) -> None:
    await client.latest(60, 12, may_log_in=True)
    await server.stop()
    error = await refused(client, server)
    assert isinstance(error, SourceUnreachable)
    assert error.__cause__ is None
    assert error.__context__ is None


async def test_an_answer_that_is_no_http_shows_no_session(build: Any, server: ShareServer, tmp_path: Path) -> None:
    """aiohttp puts the address, session id included, into the error about a bad status line; ours must not show it."""

    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 nonsense\r\n\r\n")
        await writer.drain()
        writer.close()

    babbler = await asyncio.start_server(babble, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{babbler.sockets[0].getsockname()[1]}/ShareWebServices/Services"
    client = build(base_url=url)
    session_id = "1e2f3a4b-0000-4000-8000-123456789abc"
    kept = {"account": client.account, "server": url, "account_id": session_id, "session_id": session_id}
    (tmp_path / "dexcom-session.json").write_text(json.dumps(kept))
    error = await refused(client, server)
    assert session_id not in f"{error!r}{error.__cause__!r}{error.__context__!r}"
    babbler.close()
    await babbler.wait_closed()


async def test_a_redirect_is_not_followed_and_an_endless_answer_not_read(
    build: Any, server: ShareServer, serve: Any
) -> None:
    async def redirect(_: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        raise aiohttp.web.HTTPFound(server.url)

    async def endless(_: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        return aiohttp.web.Response(body=b"[" + b" " * (2 << 20) + b"]")

    for handler, says in ((redirect, "redirect"), (endless, "more than 1048576 bytes")):
        url = await serve(handler)
        assert says in str(await refused(build(base_url=url), server))
    assert not server.calls


@pytest.fixture
async def serve() -> AsyncIterator[Any]:
    runners: list[aiohttp.web.AppRunner] = []

    async def new(handler: Any) -> str:
        app = aiohttp.web.Application()
        app.router.add_route("*", "/{tail:.*}", handler)
        runner = aiohttp.web.AppRunner(app, access_log=None)
        runners.append(runner)
        await runner.setup()
        await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}/ShareWebServices/Services"

    yield new
    for runner in runners:
        await runner.cleanup()


async def test_a_good_session_that_is_called_a_wrong_password_is_kept_once(
    build: Any, server: ShareServer, serve: Any, tmp_path: Path
) -> None:
    asked: list[str] = []

    async def handler(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        asked.append(request.path.rpartition("/")[2])
        if asked[-1].startswith("Read"):
            body = {"Code": "AccountPasswordInvalid", "Message": "", "SubCode": "", "TypeName": "FaultException"}
            return aiohttp.web.json_response(body, status=500)
        return aiohttp.web.json_response("1e2f3a4b-0000-4000-8000-123456789abc")

    client = build(base_url=await serve(handler))
    for log_ins in (1, 1, 2, 2):
        assert isinstance(await refused(client, server), SourceUnreachable)
        assert sum(call.startswith("Login") for call in asked) == log_ins


@pytest.mark.parametrize("fault", ["jitter", "duplicate-wt", "int-trends", "1-minute", "clock-skew"])
async def test_readings_in_an_odd_form_are_readings(client: DexcomShare, server: ShareServer, fault: str) -> None:
    plain = await client.latest(120, 288, may_log_in=True)
    server.set_faults([fault])
    odd = await client.latest(120, 288, may_log_in=True)
    times = [reading.time_ms for reading in odd.readings]
    assert times == sorted(set(times))
    assert not odd.rejected
    if fault in ("duplicate-wt", "int-trends", "clock-skew"):
        assert odd.readings == plain.readings
    if fault == "jitter":
        assert max(abs(a.time_ms - b.time_ms) for a, b in zip(odd.readings, plain.readings, strict=False)) > 0
    if fault == "1-minute":
        assert 115 <= len(times) <= 120
        assert set(plain.readings[1:-1]) <= set(odd.readings)
    assert odd.server_time_ms == NOW + (10 * MIN if fault == "clock-skew" else 0)


async def test_low_high_and_sensor_codes_are_told_apart(client: DexcomShare, server: ShareServer) -> None:
    server.set_faults(["low-high-codes"])
    fetched = await client.latest(180, 288, may_log_in=True)
    values = {reading.glucose_mgdl for reading in fetched.readings}
    assert {39.0, 401.0} <= values
    assert {code for _, code in fetched.sensor_codes} == {10, 5, 1}
    assert len(fetched.rejected) >= 4
    assert len(fetched.readings) + len(fetched.sensor_codes) + len(fetched.rejected) == 36


async def test_late_and_unordered_readings_are_all_seen_in_the_end(
    client: DexcomShare, server: ShareServer, time: Time
) -> None:
    server.set_faults(["out-of-order-backfill"])
    seen: dict[int, float] = {}
    grown_behind = 0
    for _ in range(36):
        newest = max(seen, default=0)
        for reading in (await client.latest(40, 40, may_log_in=True)).readings:
            grown_behind += reading.time_ms < newest and reading.time_ms not in seen
            seen[reading.time_ms] = reading.glucose_mgdl
        time.ms += 5 * MIN
    expected = {t: v for t, v in GLUCOSE.items() if NOW - 20 * MIN <= t <= time.ms - 25 * MIN}
    assert expected.items() <= seen.items()
    assert grown_behind >= 5


async def test_after_a_gap_everything_comes_at_once(client: DexcomShare, server: ShareServer, time: Time) -> None:
    server.set_faults(["gap-then-backfill"])
    time.ms += 55 * MIN
    assert_true_to_life(await client.latest(90, 90, may_log_in=True), first=NOW - 35 * MIN)
    time.ms += 10 * MIN
    assert_true_to_life(await client.latest(90, 90, may_log_in=True), first=NOW - 25 * MIN, last=NOW + 65 * MIN)


async def test_every_fault_can_be_switched_on_over_http_and_the_client_survives_it(
    build: Any, server: ShareServer, time: Time
) -> None:
    """Whatever Share does, the client answers with readings or with one of its two errors, and recovers."""
    client = build(timeout_s=0.3)
    async with aiohttp.ClientSession() as http:
        control = server.url.partition("/Share")[0] + "/_fault"
        for fault in FAULTS:
            async with http.post(control, json={"faults": [fault]}) as reply:
                assert (await reply.json())["faults"] == [fault]
            try:
                await client.latest(60, 12, may_log_in=True)
            except (SourceRefused, SourceUnreachable) as error:
                assert_silent(error, server)
            server.set_faults([])
            time.ms += 61 * MIN
            assert (await client.latest(60, 12, may_log_in=True)).readings, fault
        async with http.post(control, json={"faults": ["expired-sesion"]}) as reply:
            assert reply.status == 400
            assert "did you mean expired-session?" in (await reply.json())["error"]


async def test_faults_cannot_be_switched_by_strangers(time: Time) -> None:
    server = ShareServer([], now_ms=time)
    await server.start()
    async with (
        aiohttp.ClientSession() as http,
        http.post(server.url.partition("/Share")[0] + "/_fault", json={"faults": ["slow"]}) as reply,
    ):
        assert reply.status == 404
    await server.stop()


def test_faults_are_named_as_on_a_command_line() -> None:
    assert parse_faults("expired-session, 429,ok") == {"expired-session", "429"}
    assert parse_faults("") == frozenset()
    with pytest.raises(ValueError, match="did you mean jitter"):
        parse_faults("jiter")


async def test_new_readings_can_be_given_to_a_running_server(client: DexcomShare, server: ShareServer) -> None:
    server.extend([SimulatedEvent(NOW - 2 * MIN, "glucose", 100.0, "")])
    server.extend([SimulatedEvent(NOW - MIN, "glucose", 101.0, ""), SimulatedEvent(NOW - MIN, "carbs", 20.0, "x")])
    fetched = await client.latest(60, 12, may_log_in=True)
    found = {reading.time_ms: reading.glucose_mgdl for reading in fetched.readings}
    assert (found[NOW - 2 * MIN], found[NOW - MIN]) == (100.0, 101.0)


@pytest.mark.parametrize(
    "url", ["share2.dexcom.com", "https://share2.dexcom.com", "ftp://x/ShareWebServices/Services", "https://x/Services"]
)
def test_an_address_that_is_none_is_refused_at_the_door(build: Any, url: str) -> None:
    with pytest.raises(Misconfigured, match=r"dexcom\.url must"):
        build(base_url=url)


async def test_a_client_that_was_closed_can_be_used_again(client: DexcomShare) -> None:
    await client.latest(60, 12, may_log_in=True)
    await client.close()
    await client.close()
    assert (await client.latest(60, 12, may_log_in=True)).readings


@pytest.mark.parametrize("fault", ["ok", "expired-session", "jitter", "duplicate-wt"])
async def test_pydexcom_reads_the_same_from_the_same_server(
    client: DexcomShare, server: ShareServer, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setitem(pydexcom.dexcom.DEXCOM_BASE_URLS, pydexcom.Region.OUS, f"{server.url}/")

    def theirs() -> list[tuple[int, float, str]]:
        assert threading.current_thread() is not threading.main_thread()
        other = pydexcom.Dexcom(username=USER, password=PASSWORD, region=pydexcom.Region.OUS)
        try:
            other.get_glucose_readings(minutes=10, max_count=1)
            server.set_faults([fault])
            readings = other.get_glucose_readings(minutes=1440, max_count=288)
            return [(round(r.datetime.timestamp() * 1000), float(r.value), r.trend_direction) for r in readings]
        finally:
            other._session.close()

    seen = await asyncio.to_thread(theirs)
    fetched = await client.latest(1440, 288, may_log_in=True)
    ours = [(reading.time_ms, reading.glucose_mgdl, reading.trend or "None") for reading in fetched.readings]
    assert len(ours) == (144 if fault == "duplicate-wt" else 288)
    assert sorted(set(seen)) == ours


async def test_pydexcom_is_told_of_a_wrong_password_as_by_dexcom(
    server: ShareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(pydexcom.dexcom.DEXCOM_BASE_URLS, pydexcom.Region.US, f"{server.url}/")
    with pytest.raises(pydexcom.errors.AccountError, match="Failed to authenticate"):
        await asyncio.to_thread(pydexcom.Dexcom, username=USER, password="wrong")
    server.set_faults(["lock-out"])
    with pytest.raises(pydexcom.errors.AccountError, match="Maximum authentication attempts"):
        await asyncio.to_thread(pydexcom.Dexcom, username=USER, password=PASSWORD)
