"""The exam of the Notifier port: whatever tells a person, it sends, it fails and it keeps secrets in the same way."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from email.header import decode_header, make_header

import pytest
from pydantic import SecretStr

from schemas.settings import SmtpSettings
from streams.adapters.notifiers.ntfy import Ntfy
from streams.adapters.notifiers.smtp import Smtp
from streams.adapters.notifiers.webhook import Webhook
from streams.clock import SystemClock
from streams.errors import NotifierRefused, NotifierUnreachable
from streams.ports.notifier import Message, Notifier
from tests.standins.ntfy import Access, NtfyStandIn
from tests.standins.smtp import MailSink
from tests.support.hook import Hook

TOKEN, SECRET = "tk_" + "b" * 29, "a-secret-key"
LOW = Message("low-1-1", "Low 3.0 ↓", "Check now.", 5, ("warning",))


@dataclass
class Way:
    """A notifier, and the other end of it."""

    make: Callable[[], Notifier]
    arrived: Callable[[], list[tuple[str, str]]]  # (title, body), the oldest first
    refuse: Callable[[], None]
    go: Callable[[], Awaitable[None]]
    secrets: tuple[str, ...]
    one_way: bool = True


async def by_ntfy() -> Way:
    server = NtfyStandIn(tokens={TOKEN: Access("iv3-*")})
    await server.start()

    def arrived() -> list[tuple[str, str]]:
        messages = (row.message for row in server.received if row.message["event"] == "message")
        return [(message["title"], message["message"]) for message in messages]

    def refuse() -> None:
        server.tokens = {}

    def make() -> Notifier:
        return Ntfy(server=server.url, topic="iv3-k3v9x2m7", clock=SystemClock(), token=SecretStr(TOKEN), timeout_s=2.0)

    return Way(make, arrived, refuse, server.stop, (TOKEN, "iv3-k3v9x2m7"), one_way=False)


async def by_webhook() -> Way:
    hook = Hook()
    url = f"{await hook.start()}/{SECRET}"

    def refuse() -> None:
        hook.status = 403

    return Way(
        lambda: Webhook(SecretStr(url), SecretStr(TOKEN), timeout_s=2.0),
        lambda: [(said["title"], said["message"]) for said in hook.heard],
        refuse,
        hook.stop,
        (SECRET, TOKEN),
    )


async def by_mail() -> Way:
    sink = MailSink()
    await sink.start()
    server = SmtpSettings(
        host="127.0.0.1", port=sink.port, sender="iv3@example.org", to=("mum@example.org",), encryption="none"
    )

    def refuse() -> None:
        sink.refuse = True

    def arrived() -> list[tuple[str, str]]:
        decoded = [(mail["Subject"], mail.get_payload(decode=True).decode().strip()) for mail in sink.mails]
        return [(str(make_header(decode_header(subject))), body) for subject, body in decoded]

    return Way(lambda: Smtp(server), arrived, refuse, sink.stop, ("mum@example.org",))


@pytest.fixture(params=[by_ntfy, by_webhook, by_mail], ids=["ntfy", "webhook", "smtp"])
async def way(request: pytest.FixtureRequest) -> Way:
    made: Way = await request.param()
    return made


@pytest.fixture
async def notifier(way: Way) -> AsyncIterator[Notifier]:
    made = way.make()
    yield made
    await made.close()
    await way.go()


async def test_a_message_arrives_with_its_words(way: Way, notifier: Notifier) -> None:
    await notifier.send(LOW)
    assert way.arrived() == [("Low 3.0 ↓", "Check now.")]


async def test_the_addressee_has_one_name_for_ever_and_it_tells_no_secret(way: Way, notifier: Notifier) -> None:
    again = way.make()
    assert again.target == notifier.target
    await again.close()
    assert not [secret for secret in way.secrets if secret in f"{notifier.target}{notifier!r}"]


async def test_who_refuses_is_named_in_a_sentence_without_a_secret(way: Way, notifier: Notifier) -> None:
    way.refuse()
    with pytest.raises(NotifierRefused) as refused:
        await notifier.send(LOW)
    assert not refused.value.final, "the account is refused: the message is taken once that is put right"
    _tells_nothing(way, refused.value)
    assert way.arrived() == []


async def test_who_is_gone_is_unreachable_and_made_anew_or_not_never_raises_anything_else(
    way: Way, notifier: Notifier
) -> None:
    await way.go()
    for asked in (notifier, away := way.make()):
        with pytest.raises(NotifierUnreachable) as gone:
            await asked.send(LOW)
        _tells_nothing(way, gone.value)
    await away.close()


async def test_what_was_sent_is_known_where_the_server_says_so_and_none_where_it_cannot(
    way: Way, notifier: Notifier
) -> None:
    await notifier.send(LOW)
    known = [await notifier.was_sent(name, within_s=300) for name in ("low-1-1", "low-1-2")]
    assert known == ([None, None] if way.one_way else [True, False])
    assert await notifier.probe() is not way.one_way


async def test_what_was_never_shown_can_be_taken_off(notifier: Notifier) -> None:
    await notifier.clear("low-9-9")


async def test_it_can_be_closed_twice(notifier: Notifier) -> None:
    await notifier.close()


def _tells_nothing(way: Way, error: BaseException) -> None:
    assert str(error).endswith(".")
    at: BaseException | None = error
    while at is not None:
        shown = f"{at!s} {at!r} {at.args!r} {vars(at)!r}"
        assert not [secret for secret in way.secrets if secret in shown]
        at = at.__cause__ or at.__context__
