"""ntfy as a notifier: JSON to the server's root, read back by polling.

Only a message that ntfy itself confirms counts as delivered: a hotel's log-in page answers 200 as well. Topic and token
are secrets (the topic's name is the password of a public server), so no sentence and no repr shows them.
"""

import hashlib
import json
import math
import re
from typing import Final, NoReturn
from urllib.parse import urlsplit

from pydantic import SecretStr

from streams.adapters.http_client import TIMEOUT_S, HttpClient, Reply, json_object
from streams.errors import Misconfigured, NotifierRefused, NotifierUnreachable
from streams.ports.clock import Clock
from streams.ports.notifier import Message

_MESSAGE_BYTES = 4095  # one more, and ntfy makes an attachment of it or refuses
_BODY_BYTES = 8192
_ROOM_MIN = 500  # bytes of text that are worth more than buttons
_TITLE_CHARACTERS = 250  # what Firebase and Apple pass on with everything else
_ACTIONS = 3
_DELAY_MIN_S = 10
_POLL_BYTES = 4 << 20
_CACHE_S = 12 * 3600  # ntfy forgets messages after this long, unless told otherwise
_DAY_MS = 86_400_000
_TOO_MANY_S = 5.0  # ntfy grants one more request every 5 s and never says so
_NOT_NTFY_S = 60.0  # what stands before ntfy does not let us through; it may have a bad moment, or a wrong setting
_QUOTA, _TOO_MANY_BAD_TOKENS = 42908, 42909
_NAME = re.compile(r"[-_A-Za-z0-9]{1,64}")
_PROBE: Final = Message("iv3-probe", "iv3 looks whether this server can update messages", "", priority=1)


class Ntfy:
    """A `Notifier` for one topic of one ntfy server. Each request takes at most `timeout_s` real seconds. `target` is a
    hash of server and topic: 10 hexadecimal digits after the word ntfy.
    """

    def __init__(
        self,
        *,
        server: str,
        topic: str,
        clock: Clock,
        token: SecretStr | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """Does no I/O. Raises Misconfigured for a server or topic that cannot be one."""
        self._server = server.rstrip("/")
        parts = urlsplit(self._server)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path or parts.query or parts.username:
            raise Misconfigured(
                "ntfy.server must be http(s)://host[:port] and nothing else; topic and token are other settings.",
            )
        if not _NAME.fullmatch(topic):
            raise Misconfigured("ntfy.topic must be 1 to 64 letters, digits, - or _.")
        self._topic = topic
        self._clock = clock
        self._headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token is not None else {}
        self.target = f"ntfy-{hashlib.sha256(f'{self._server}{topic}'.encode()).hexdigest()[:10]}"
        self._exchange = HttpClient(f"ntfy ({parts.hostname})", NotifierUnreachable, timeout_s=timeout_s)
        self._echoes: bool | None = None  # whether the server knows sequence ids; None: it was not seen yet

    def __repr__(self) -> str:
        """Name the addressee by its hash only."""
        return f"Ntfy({self.target})"

    async def probe(self) -> bool:
        """Whether the server knows sequence ids (ntfy 2.16 or newer), found out with a silent message that is cleared.

        Raises NotifierRefused and NotifierUnreachable as `send`.
        """
        await self.send(_PROBE)
        if self._echoes:
            await self.clear(_PROBE.sequence_id)
        return bool(self._echoes)

    async def send(self, message: Message) -> None:
        """Publish. What is too long is cut; `delay_s` is of the clock, and at least 10 real seconds.

        Raises NotifierRefused (`code` is ntfy's) or NotifierUnreachable (it may have been delivered; `retry_after_s`
        where a wait is known).
        """
        reply = await self._ask("POST", f"{self._server}/", body=self._body(message))
        self._echoes = _confirmed(reply).get("sequence_id") == message.sequence_id

    async def was_sent(self, sequence_id: str, *, within_s: int) -> bool | None:
        """Whether a message of this id was published in the last `within_s` seconds or is scheduled.

        None: the server does not know sequence ids, the token may not read, or that is longer than ntfy remembers.
        Raises NotifierUnreachable.
        """
        if self._echoes is False:
            return None
        # A window that is too wide finds the same message, so a fast clock is no reason to make it smaller.
        window_s = math.ceil(max(within_s, within_s / self._clock.speed)) + 5
        try:
            messages = _lines(await self._poll(f"{window_s}s"))
        except NotifierRefused:
            return None
        if any(line.get("event") == "message" and line.get("sequence_id") == sequence_id for line in messages):
            return True
        return False if window_s <= _CACHE_S else None

    async def clear(self, sequence_id: str) -> None:
        """Take the notification off the phones; what is scheduled stays. Raises as `send`."""
        await self._mark("PUT", f"{self._named(sequence_id)}/clear")

    async def cancel(self, sequence_id: str) -> None:
        """Delete the notification and whatever is scheduled under this id. Raises as `send`."""
        await self._mark("DELETE", self._named(sequence_id))

    async def pending(self) -> list[str] | None:
        """The sequence ids of messages that are scheduled, one entry for each; None where the token may not read.

        A dead-man's switch that finds others than its own here is no switch. Raises NotifierUnreachable.
        """
        try:
            reply = await self._poll("1m")
        except NotifierRefused:
            return None
        now_s = (reply.server_time_ms or self._clock.now_ms()) / 1000
        lines = [line for line in _lines(reply) if line.get("event") == "message"]
        return sorted(str(line.get("sequence_id", line.get("id"))) for line in lines if _time_s(line) > now_s)

    async def close(self) -> None:
        """Let go of connections."""
        await self._exchange.close()

    def _body(self, message: Message) -> bytes:
        """The JSON to publish, with a text as long as all of ntfy's limits allow."""
        content: dict[str, object] = {
            "topic": self._topic,
            "sequence_id": message.sequence_id,
            "title": message.title[:_TITLE_CHARACTERS],
            "priority": message.priority,
            "tags": list(message.tags),
            "actions": [dict(action) for action in message.actions[:_ACTIONS]],
        }
        if message.click is not None:
            content["click"] = message.click
        if message.delay_s is not None:
            content["delay"] = f"{max(_DELAY_MIN_S, math.ceil(message.delay_s / self._clock.speed))}s"
        text = message.body or message.title
        body = _fitted(content, text)
        if len(body) > _BODY_BYTES:  # an alarm without buttons is better than none
            body = _fitted({name: content[name] for name in content if name not in {"actions", "click"}}, text)
        return body

    def _named(self, sequence_id: str) -> str:
        if not _NAME.fullmatch(sequence_id):
            raise NotifierRefused("A sequence id must be 1 to 64 letters, digits, - or _; this one is not.", code=40049)
        return f"{self._server}/{self._topic}/{sequence_id}"

    async def _mark(self, method: str, url: str) -> None:
        try:
            _confirmed(await self._ask(method, url))
        except NotifierRefused as error:
            if error.code != 40401:  # ntfy before 2.16 has no such page: there is nothing that it could do
                raise

    async def _poll(self, since: str) -> Reply:
        params = {"poll": "1", "since": since, "scheduled": "1"}
        return await self._ask("GET", f"{self._server}/{self._topic}/json", params=params)

    async def _ask(
        self, method: str, url: str, *, params: dict[str, str] | None = None, body: bytes | None = None
    ) -> Reply:
        """The answer, which is a 200. Raises NotifierRefused and NotifierUnreachable."""
        headers = self._headers | ({"Content-Type": "application/json"} if body is not None else {})
        reply = await self._exchange.ask(method, url, params=params, headers=headers, body=body, limit=_POLL_BYTES)
        if reply.status != 200:
            self._judge(reply)
        return reply

    def _judge(self, reply: Reply) -> NoReturn:
        """Raise what an answer other than 200 means."""
        status, code = reply.status, _code(reply)
        if code == _QUOTA:
            until_midnight_s = (_DAY_MS - self._clock.now_ms() % _DAY_MS) / 1000 / self._clock.speed
            raise NotifierUnreachable(_QUOTA_USED, retry_after_s=until_midnight_s)
        if code is not None and (
            code == _TOO_MANY_BAD_TOKENS or (400 <= status < 500 and status not in {408, 425, 429})
        ):
            known = _REFUSALS.get(code)  # these are of the account, the topic or the address, not of the message
            raise NotifierRefused(known or _OTHER.format(status, code), code=code, final=known is None)
        if status in _REFUSALS:
            raise NotifierUnreachable(_REFUSALS[status], retry_after_s=_NOT_NTFY_S)
        if 300 <= status < 400:
            raise NotifierUnreachable(
                f"ntfy's address redirects (HTTP {status}): check ntfy.server, or log in to the network.",
            )
        named = reply.headers.get("Retry-After", "")
        wait_s = float(named) if re.fullmatch(r"\d{1,5}", named) else None
        if status == 429:
            raise NotifierUnreachable(
                "ntfy has had too many requests from here; it is asked again later.",
                retry_after_s=_TOO_MANY_S if wait_s is None else wait_s,
            )
        raise NotifierUnreachable(f"ntfy failed (HTTP {status}); it is asked again later.", retry_after_s=wait_s)


_QUOTA_USED = (
    "ntfy takes no more messages today: the daily quota is used up until midnight UTC. "
    "A server of your own or ntfy's paid plan has none."
)
_OTHER = "ntfy refused the message (HTTP {}, code {}): it is not sent again."
_REFUSALS: Final[dict[int, str]] = {
    401: "ntfy's server wants a log-in: check ntfy.token.",
    403: "ntfy's server refuses access: check ntfy.server and ntfy.token.",
    404: "There is no ntfy at this address: check ntfy.server.",
    40401: "There is no ntfy at this address: check ntfy.server.",
    40101: "ntfy does not know the token: check ntfy.token, then restart iv3.",
    40301: "ntfy does not allow this on the topic: check ntfy.topic and what ntfy.token may do.",
    _TOO_MANY_BAD_TOKENS: "ntfy shut this address out after too many bad tokens: correct ntfy.token, then restart iv3.",
}


def _fitted(content: dict[str, object], text: str) -> bytes:
    """The content with as much of the text as ntfy takes; still too long only if there is no room for any words."""
    room = _MESSAGE_BYTES
    while True:
        # Not ASCII only: an arrow is 3 bytes as itself and 6 as an escape, and the body is limited too.
        whole = json.dumps(content | {"message": _cut(text, room)}, ensure_ascii=False, separators=(",", ":"))
        body = whole.encode("utf-8", "replace")
        excess = len(body) - _BODY_BYTES
        if excess <= 0 or room == _ROOM_MIN:
            return body
        room = max(room - max(excess, 16), _ROOM_MIN)


def _cut(text: str, limit: int) -> str:
    """The text in at most `limit` bytes of UTF-8, cut between characters, with an ellipsis where it was cut."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= limit:
        return encoded.decode()
    return f"{encoded[: max(limit - 3, 0)].decode('utf-8', 'ignore')}…" if limit >= 3 else ""


def _code(reply: Reply) -> int | None:
    code = (json_object(reply.body) or {}).get("code")
    return code if isinstance(code, int) and 10_000 <= code <= 99_999 else None


def _confirmed(reply: Reply) -> dict[str, object]:
    """The message as ntfy took it. Raises NotifierUnreachable if it was not ntfy that answered."""
    content = json_object(reply.body)
    if content is None or not content.get("id") or not content.get("event"):
        raise NotifierUnreachable("Something that is not ntfy answered: check ntfy.server, or log in to the network.")
    return content


def _lines(reply: Reply) -> list[dict[str, object]]:
    """The messages of a poll. Raises NotifierUnreachable if it was not ntfy that answered."""
    lines = [json_object(line) for line in reply.body.splitlines() if line.strip()]
    if any(line is None for line in lines):
        raise NotifierUnreachable("Something that is not ntfy answered: check ntfy.server, or log in to the network.")
    return [line for line in lines if line is not None]


def _time_s(line: dict[str, object]) -> float:
    time_s = line.get("time")
    return float(time_s) if isinstance(time_s, int | float) else 0.0
