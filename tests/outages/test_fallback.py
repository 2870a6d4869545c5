"""The second way out, with a real webhook, a real mail server and an ntfy that is shut: urgent messages get out, once,
and come back when ntfy does.
"""

from collections.abc import AsyncIterator, Callable

import pytest
from pydantic import SecretStr

from schemas.alerts import Delivered
from schemas.settings import SmtpSettings
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.adapters.notifiers.ntfy import Ntfy
from streams.adapters.notifiers.smtp import Smtp
from streams.adapters.notifiers.webhook import HealthCheck, Webhook
from streams.delivery.channels import Channels
from streams.errors import Misconfigured, NotifierRefused, NotifierUnreachable
from streams.ports.notifier import Message, Notifier
from streams.roles.notifier import AlarmNotifier
from tests.standins.ntfy import Access, NtfyStandIn
from tests.standins.smtp import MailSink
from tests.support.hook import Hook
from tests.support.notified import TOKEN, World, said
from tests.support.running import app_maker, running, until

MESSAGE = Message("low-1-1", "Low 3.0\nand more", "Check now.", 5)


@pytest.fixture
async def hook() -> AsyncIterator[tuple[Hook, str]]:
    made = Hook()
    yield made, await made.start()
    await made.stop()


@pytest.fixture
async def world(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr("streams.delivery.scheduler.FIRST_RETRY_S", 0.02)
    monkeypatch.setattr("streams.delivery.scheduler.LONGEST_RETRY_S", 0.1)
    monkeypatch.setattr("streams.delivery.scheduler.REFUSED_RETRY_S", 0.3)
    monkeypatch.setattr("streams.delivery.fallback._LOOK_S", 0.05)
    async with NtfyStandIn(tokens={TOKEN: Access("iv3-*")}) as server:
        yield World(log, server)


class Household:
    """A notifier with a second way out."""

    def __init__(self, world: World, second: Notifier, token: str = TOKEN) -> None:
        self.first = Ntfy(
            server=world.server.url, topic="iv3-phone", clock=world.clock, token=SecretStr(token), timeout_s=1.0
        )
        self.notifier = AlarmNotifier(
            world.log, world.clock, app_maker(world.log), Channels([self.first], fallback=second)
        )

    async def armed(self) -> None:
        await until(lambda: all(box.armed for box in self.notifier.outboxes.values()))


@pytest.mark.parametrize(
    "shut", [lambda s: s.tokens.clear(), lambda s: s.spend_quota()], ids=["token revoked", "quota spent"]
)
async def test_what_ntfy_will_not_take_for_long_goes_the_second_way_at_once_and_once(
    world: World, hook: tuple[Hook, str], shut: Callable[[NtfyStandIn], None]
) -> None:
    heard, url = hook
    house = Household(world, Webhook(SecretStr(f"{url}/key")))
    async with running(house.notifier):
        await house.armed()
        shut(world.server)
        await world.decide(said("urgent_low"), said("high", priority=3))
        await until(lambda: [m["id"] for m in heard.heard] == ["urgent_low-1-1"])
    again = Household(world, Webhook(SecretStr(f"{url}/key")))
    async with running(again.notifier):
        await until(lambda: bool(again.notifier.waiting()))
        await until(lambda: again.notifier.states[again.first.target].failing != "")
    assert [m["id"] for m in heard.heard] == ["urgent_low-1-1"], "a restart tells nobody twice"
    assert heard.heard[0]["priority"] == 5
    assert (await world.outcomes(Delivered))["urgent_low-1-1"] == 1


async def test_an_urgent_message_that_waits_for_two_minutes_goes_the_second_way_and_a_mild_one_does_not(
    world: World, hook: tuple[Hook, str]
) -> None:
    heard, url = hook
    house = Household(world, Webhook(SecretStr(url)))
    async with running(house.notifier):
        await house.armed()
        world.server.fail(503, 1_000_000)
        await world.decide(said("urgent_low"))
        await until(lambda: house.notifier.states[house.first.target].failing != "")
        assert heard.heard == [], "a short outage is waited out"
        world.clock.advance(121)
        await until(lambda: [m["id"] for m in heard.heard] == ["urgent_low-1-1"])
        world.server.trouble.fail.clear()
        await until(lambda: world.rang() == ["urgent_low-1-1"])


async def test_a_second_way_that_fails_too_is_tried_again_and_said(
    world: World, hook: tuple[Hook, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.delivery.fallback._AGAIN_S", 0.0)
    heard, url = hook
    heard.status = 503
    house = Household(world, Webhook(SecretStr(url)))
    async with running(house.notifier):
        await house.armed()
        world.server.tokens.clear()  # type: ignore[union-attr]  # made with a server
        await world.decide(said("urgent_low"))
        fallback = house.notifier.fallback
        assert fallback is not None
        await until(lambda: "503" in fallback.state.failing)
        heard.status = 200
        await until(lambda: len(heard.heard) == 1)


async def test_mail_arrives_with_its_words_and_no_line_of_a_title_becomes_a_header() -> None:
    sink = MailSink()
    await sink.start()
    smtp = Smtp(
        SmtpSettings(
            host="127.0.0.1",
            port=sink.port,
            sender="iv3@example.org",
            to=("mum@example.org", "dad@example.org"),
            encryption="none",
        )
    )
    await smtp.send(MESSAGE)
    (mail,) = sink.mails
    assert mail["Subject"] == "Low 3.0 and more"
    assert mail["To"] == "mum@example.org, dad@example.org"
    assert mail.get_payload().strip() == "Check now."
    sink.refuse = True
    with pytest.raises(NotifierRefused, match="recipients"):
        await smtp.send(MESSAGE)
    sink.refuse, sink.broken = False, True
    with pytest.raises(NotifierUnreachable, match="did not take the message"):
        await smtp.send(MESSAGE)
    await sink.stop()
    with pytest.raises(NotifierUnreachable, match="asked again"):
        await smtp.send(MESSAGE)


async def test_a_webhook_that_refuses_is_named_without_its_address(hook: tuple[Hook, str]) -> None:
    heard, url = hook
    heard.status = 403
    secret = f"{url}/a-secret-key"
    target = Webhook(SecretStr(secret))
    with pytest.raises(NotifierRefused) as refused:
        await target.send(MESSAGE)
    assert "check ntfy.fallback.webhook" in str(refused.value)
    assert "a-secret-key" not in f"{refused.value}{target!r}{target.target}"
    await target.close()


async def test_the_health_check_hears_that_all_is_well_and_that_it_is_not(hook: tuple[Hook, str]) -> None:
    heard, url = hook
    check = HealthCheck(SecretStr(f"{url}/ping/uuid"))
    await check.ping("")
    await check.ping("alarms are not decided in time")
    assert heard.pinged == [("/ping/uuid", ""), ("/ping/uuid/fail", "alarms are not decided in time")]
    await check.close()


def test_a_mail_server_elsewhere_must_be_spoken_to_in_secret() -> None:
    with pytest.raises(Misconfigured, match="starttls or tls"):
        Smtp(SmtpSettings(host="mail.example.org", sender="a@example.org", to=("b@example.org",), encryption="none"))
