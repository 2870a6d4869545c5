"""The notifier against an ntfy that is down, slow, overrun, forgetful or closed: every step arrives, once for the
phone, and who cannot be told is shown.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pydantic import SecretStr

from schemas.alerts import (
    Delivered,
    DeliveryAttempted,
    Undeliverable,
)
from schemas.envelope import make
from schemas.model import at_ms
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.adapters.notifiers.ntfy import Ntfy
from streams.errors import LogRefused
from streams.ports.notifier import Message
from tests.standins.ntfy import Access, NtfyStandIn
from tests.support.notified import T0, TOKEN, World, said
from tests.support.running import until


@pytest.fixture
async def world(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr("streams.delivery.scheduler.FIRST_RETRY_S", 0.02)
    monkeypatch.setattr("streams.delivery.scheduler.LONGEST_RETRY_S", 0.1)
    monkeypatch.setattr("streams.delivery.scheduler.REFUSED_RETRY_S", 0.3)
    async with NtfyStandIn(tokens={TOKEN: Access("iv3-*")}) as server:
        yield World(log, server)


@pytest.mark.parametrize(
    "trouble",
    [
        lambda s: s.fail(500, 3, code=50001),
        lambda s: s.fail(502, 3),
        lambda s: s.fail(503, 3),
        lambda s: s.hang(3.0, 2),
        lambda s: s.lose_replies(2),
        lambda s: s.fail(200, 1),
    ],
    ids=["500", "502 of a proxy", "503", "slow", "replies lost", "a hotel's log-in page"],
)
async def test_what_passes_is_waited_out_and_every_step_arrives_once(
    world: World, trouble: Callable[[NtfyStandIn], None]
) -> None:
    trouble(world.server)
    async with world.notifying():
        await world.decide(said("low"), said("low", 2, "escalated"), said("low", 2, "resolved"))
        await until(lambda: set(world.rang()) == {"low-1-1", "low-1-2", "low-1-clear"}, 20)
        await until(lambda: world.server.shown("iv3-phone") != [] and len(world.server.shown("iv3-phone")) == 1)
    assert max(Counter(world.rang()).values()) == 1, "asked back before it was sent again"
    assert await world.outcomes(Delivered) == Counter(["low-1-1", "low-1-2", "low-1-clear"])
    (left,) = world.server.shown("iv3-phone")
    assert left["sequence_id"] == "low-1-clear"


async def test_too_many_requests_are_waited_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.adapters.notifiers.ntfy._TOO_MANY_S", 0.05)
    world.server.fail(429, 4, code=42901)
    async with world.notifying() as notifier:
        await world.decide(said("urgent_low"))
        await until(lambda: world.rang() == ["urgent_low-1-1"])
        assert notifier.trouble() == ""


async def test_a_spent_quota_is_told_and_nothing_is_given_up(world: World) -> None:
    world.server.spend_quota()
    async with world.notifying() as notifier:
        await world.decide(said("urgent_low"))
        await until(lambda: notifier.states[next(iter(notifier.states))].failing != "")
        world.clock.advance(130)
        assert "quota" in notifier.trouble()
        assert len(notifier.waiting()) == 1
    world.server.quota = None
    async with world.notifying():
        await until(lambda: world.rang() == ["urgent_low-1-1"])


async def test_a_revoked_token_is_said_loudly_never_hammered_and_costs_no_open_alarm(world: World) -> None:
    async with world.notifying() as notifier:
        world.server.revoke_token()
        before = world.server.calls["POST"]
        await world.decide(said("urgent_low"), said("stale"))
        await until(lambda: "ntfy.token" in notifier.trouble())
        await asyncio.sleep(0.1)
        assert world.server.calls["POST"] - before == 1
        assert await world.outcomes(Undeliverable) == Counter(["urgent_low-1-1"])
        world.server.tokens = {TOKEN: Access("iv3-*")}
        await until(lambda: world.rang() == ["urgent_low-1-1", "stale-1-1"])
        await until(lambda: notifier.trouble() == "")


async def test_what_a_revoked_token_kept_back_is_not_said_when_it_is_over(world: World) -> None:
    async with world.notifying() as notifier:
        world.server.revoke_token()
        await world.decide(said("urgent_low"))
        await until(lambda: "ntfy.token" in notifier.trouble())
        await world.decide(said("urgent_low", 2, "escalated"), said("urgent_low", 2, "resolved"), said("low"))
        world.server.tokens = {TOKEN: Access("iv3-*")}
    async with world.notifying() as notifier:
        await until(lambda: not notifier.waiting())
    assert "urgent_low-1-1" not in world.rang()
    assert world.rang()[0] == "low-1-1", "what is over waits for what is not"


async def test_a_server_that_asks_for_a_day_of_silence_is_tried_every_minute_for_an_urgent_alarm(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.delivery.scheduler.LONGEST_URGENT_PAUSE_S", 0.05)
    monkeypatch.setattr("streams.adapters.notifiers.ntfy._TOO_MANY_S", 86_399.0)
    world.server.fail(429, 3, code=42901)
    async with world.notifying():
        await world.decide(said("urgent_low"))
        await until(lambda: world.rang() == ["urgent_low-1-1"])


async def test_a_decision_that_comes_while_something_is_cleared_is_sent_at_once(world: World) -> None:
    """Predicted low, low, urgent low: each takes the one before it off the phone, which takes a while."""
    async with world.notifying():
        await world.decide(said("predicted_low"))
        await until(lambda: world.rang() == ["predicted_low-1-1"])
        quiet = said("predicted_low", 1, "resolved")
        events = tuple(e.model_copy(update={"quiet": True}) for e in quiet.data.events)  # type: ignore[attr-defined]  # this topic holds one type of event
        quiet = quiet.model_copy(update={"data": quiet.data.model_copy(update={"events": events})})
        world.server.hang(0.6, 1)
        await world.decide(quiet)
        await asyncio.sleep(0.2)  # the clearing is under way
        await world.decide(said("urgent_low"))
        await until(lambda: "urgent_low-1-1" in world.rang(), 5)


async def test_a_message_that_goes_before_ends_the_wait_for_the_one_that_failed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.adapters.notifiers.ntfy._TOO_MANY_S", 3600.0)
    monkeypatch.setattr("streams.delivery.scheduler.LONGEST_URGENT_PAUSE_S", 3600.0)
    world.server.fail(429, 1, code=42901)
    async with world.notifying() as notifier:
        await world.decide(said("stale"))
        await until(lambda: any(state.failing for state in notifier.states.values()))
        await world.decide(said("urgent_low"))
        await until(lambda: world.rang()[:1] == ["urgent_low-1-1"])


async def test_one_target_that_is_dead_holds_up_no_other(world: World) -> None:
    async with NtfyStandIn() as other:
        await other.stop()
        async with world.notifying(other) as notifier:
            began = asyncio.get_running_loop().time()
            await world.decide(said("low"))
            await until(lambda: world.rang() == ["low-1-1"])
            assert asyncio.get_running_loop().time() - began < 1.0
            await until(lambda: len(notifier.waiting()) == 1)  # the dead one is still owed it


@pytest.mark.parametrize("arrived", [True, False], ids=["it had arrived", "it had not"])
async def test_after_a_crash_between_the_message_and_its_record_the_server_is_asked(
    world: World, arrived: bool
) -> None:
    """Attempted is durable, then the process died: before or after the message reached the server, nobody here can
    know.
    """
    async with world.notifying() as notifier:
        target = next(iter(notifier.states))
    at = at_ms(T0)
    attempt = DeliveryAttempted(episode="low-1", step=1, target=target, sequence_id="low-1-1")
    await world.decide(said("low"), make(attempt, id="try", source="t", subject="me", time=at, recordedtime=at))
    if arrived:
        phone = Ntfy(server=world.server.url, topic="iv3-phone", clock=world.clock, token=SecretStr(TOKEN))
        await phone.send(Message("low-1-1", "Low", "", 4))
        await phone.close()
    async with world.notifying() as notifier:
        await until(lambda: not notifier.waiting())
    assert world.rang() == ["low-1-1"]
    assert await world.outcomes(Delivered) == Counter(["low-1-1"])


async def test_a_log_that_takes_nothing_for_a_while_costs_neither_the_message_nor_its_record(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.notifying():
        await world.decide(said("low"))
        await until(lambda: world.rang() == ["low-1-1"])
        took, left = world.log.append, [3]

        async def now_and_then(*given: Any, **named: Any) -> Any:
            if left[0]:
                left[0] -= 1
                raise LogRefused("the disk is busy")
            return await took(*given, **named)

        await world.decide(said("low", 2, "escalated"))
        monkeypatch.setattr(world.log, "append", now_and_then)
        await until(lambda: world.rang() == ["low-1-1", "low-1-2"])
    assert await world.outcomes(Delivered) == Counter(["low-1-1", "low-1-2"])


async def test_urgent_goes_first_when_ntfy_is_back(world: World) -> None:
    await world.server.stop()
    async with world.notifying() as notifier:
        for n in range(30):
            await world.decide(said("stale", episode=f"stale-{n}"), said("stale", 1, "expired", episode=f"stale-{n}"))
        await world.decide(said("high"), said("urgent_low"))
        await until(lambda: len(notifier.waiting()) >= 2)
        await asyncio.sleep(0.3)  # whatever was being tried when the urgent one came has failed by now
        port = int(world.server.url.rsplit(":", 1)[1])
        await world.server.start(port=port)
        await until(lambda: "high-1-1" in world.rang())
        assert world.rang()[0] == "urgent_low-1-1"
