"""A webhook as a notifier: one POST of JSON for each message. And the ping of a health-check service, which alarms when
it no longer comes.
"""

import hashlib
import json
from urllib.parse import urlsplit

from pydantic import SecretStr

from streams.adapters.http_client import TIMEOUT_S, HttpClient, NoAnswer
from streams.errors import Misconfigured, NotifierRefused, NotifierUnreachable
from streams.ports.notifier import Message

_REFUSED = frozenset({400, 401, 403, 404, 405, 410, 422})


def _host_of(address: SecretStr, setting: str) -> str:
    parts = urlsplit(address.get_secret_value())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Misconfigured(f"{setting} must begin with https:// and name a host.")
    return parts.hostname


class Webhook:
    """A `Notifier`. The address is a secret: most services put the key in it. Any 2xx counts as delivered."""

    def __init__(self, url: SecretStr, token: SecretStr | None = None, *, timeout_s: float = TIMEOUT_S) -> None:
        """Does no I/O. Raises Misconfigured."""
        self._url, host = url, _host_of(url, "ntfy.fallback.webhook")
        self._headers = {"Content-Type": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token.get_secret_value()}"
        self._name = f"webhook-{hashlib.sha256(url.get_secret_value().encode()).hexdigest()[:10]}"
        self._exchange = HttpClient(f"the webhook ({host})", timeout_s=timeout_s)

    def __repr__(self) -> str:
        return f"Webhook({self._name})"

    @property
    def target(self) -> str:
        """See `Notifier`."""
        return self._name

    async def probe(self) -> bool:
        """It knows no sequence ids."""
        return False

    async def send(self, message: Message) -> None:
        """See `Notifier`."""
        said = {
            "id": message.sequence_id,
            "title": message.title,
            "message": message.body,
            "priority": message.priority,
            "tags": list(message.tags),
        }
        problem = ""
        try:
            reply = await self._exchange.ask(
                "POST",
                self._url.get_secret_value(),
                headers=self._headers,
                body=json.dumps(said, ensure_ascii=False).encode(),
            )
        except NoAnswer as error:
            problem = str(error)
        else:
            if 200 <= reply.status < 300:
                return
            if reply.status in _REFUSED:
                raise NotifierRefused(
                    f"The webhook refuses the message (HTTP {reply.status}): check ntfy.fallback.webhook.", final=False
                )
            problem = f"The webhook failed (HTTP {reply.status}); it is asked again later."
        raise NotifierUnreachable(problem)

    async def was_sent(self, sequence_id: str, *, within_s: int) -> bool | None:
        """It will not say."""
        del sequence_id, within_s
        return None

    async def clear(self, sequence_id: str) -> None:
        """Nothing can be taken back."""

    async def close(self) -> None:
        """Let go of connections."""
        await self._exchange.close()


class HealthCheck:
    """Pings an address while all is well, and the same with `/fail` behind it while not. Never raises: it is the one
    who is to notice silence.
    """

    def __init__(self, url: SecretStr, *, timeout_s: float = TIMEOUT_S) -> None:
        """Does no I/O. Raises Misconfigured."""
        self._url, host = url, _host_of(url, "healthcheck_url")
        self._exchange = HttpClient(f"the health check ({host})", timeout_s=timeout_s)
        self.failing = ""

    async def ping(self, trouble: str) -> None:
        """Tell whether all is well."""
        address = self._url.get_secret_value().rstrip("/") + ("/fail" if trouble else "")
        try:
            reply = await self._exchange.ask("POST", address, body=trouble[:200].encode())
            self.failing = (
                "" if reply.status < 400 else f"The health check answered HTTP {reply.status}: check healthcheck_url."
            )
        except NoAnswer as error:
            self.failing = str(error)

    async def close(self) -> None:
        """Let go of connections."""
        await self._exchange.close()
