"""A webhook as a notifier: one POST of JSON for each message. And the ping of a health-check service, which alarms when
it no longer comes.
"""

import json
from urllib.parse import urlsplit

from pydantic import SecretStr

from streams.adapters.http_client import TIMEOUT_S, HttpClient
from streams.adapters.notifiers.one_way import OneWay
from streams.errors import Misconfigured, NotifierRefused, NotifierUnreachable
from streams.ports.notifier import Message

_REFUSED = frozenset({400, 401, 403, 404, 405, 410, 422})


def _host_of(address: SecretStr, setting: str) -> str:
    parts = urlsplit(address.get_secret_value())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Misconfigured(f"{setting} must begin with https:// and name a host.")
    return parts.hostname


class Webhook(OneWay):
    """A `Notifier`. The address is a secret: most services put the key in it. Any 2xx counts as delivered."""

    def __init__(self, url: SecretStr, token: SecretStr | None = None, *, timeout_s: float = TIMEOUT_S) -> None:
        """Does no I/O. Raises Misconfigured."""
        super().__init__("webhook", url.get_secret_value())
        self._url, host = url, _host_of(url, "ntfy.fallback.webhook")
        self._headers = {"Content-Type": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token.get_secret_value()}"
        self._exchange = HttpClient(f"the webhook ({host})", NotifierUnreachable, timeout_s=timeout_s)

    async def send(self, message: Message) -> None:
        """See `Notifier`."""
        said = {
            "id": message.sequence_id,
            "title": message.title,
            "message": message.body,
            "priority": message.priority,
            "tags": list(message.tags),
        }
        url, body = self._url.get_secret_value(), json.dumps(said, ensure_ascii=False).encode()
        reply = await self._exchange.ask("POST", url, headers=self._headers, body=body)
        if reply.status in _REFUSED:
            raise NotifierRefused(
                f"The webhook refuses the message (HTTP {reply.status}): check ntfy.fallback.webhook.", final=False
            )
        if not 200 <= reply.status < 300:
            raise NotifierUnreachable(f"The webhook failed (HTTP {reply.status}); it is asked again later.")

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
        self._exchange = HttpClient(f"the health check ({host})", NotifierUnreachable, timeout_s=timeout_s)
        self.failing = ""

    async def ping(self, trouble: str) -> None:
        """Tell whether all is well."""
        address = self._url.get_secret_value().rstrip("/") + ("/fail" if trouble else "")
        try:
            reply = await self._exchange.ask("POST", address, body=trouble[:200].encode())
        except NotifierUnreachable as error:
            self.failing = str(error)
            return
        refused = f"The health check answered HTTP {reply.status}: check healthcheck_url."
        self.failing = refused if reply.status >= 400 else ""

    async def close(self) -> None:
        """Let go of connections."""
        await self._exchange.close()
