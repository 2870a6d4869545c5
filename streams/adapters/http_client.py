"""One HTTP request and its answer, under the limits every call of ours has.

A total timeout, no redirects, no proxies from the environment, no cookies, a limit on the body. What goes wrong becomes
the outage that the caller names, a sentence without address, headers or body: session ids and topics travel in
addresses, so aiohttp's own errors are never passed on, not even as a cause.
"""

import json
import ssl
from collections.abc import Mapping
from typing import NamedTuple

import aiohttp

from processors.sources.dexcom import http_time_ms, retry_after_s
from streams.errors import Transient

TIMEOUT_S = 10.0  # Share answers within 2 s on a bad day; ntfy within milliseconds


class Reply(NamedTuple):
    """A whole answer. Header names are case-insensitive."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def server_time_ms(self) -> int | None:
        """The server's own clock (HTTP Date), epoch milliseconds to the second; None where it gave none."""
        return http_time_ms(self.headers.get("Date"))

    @property
    def retry_after_s(self) -> float | None:
        """How long the server asks to be left alone, seconds; None where it does not."""
        return retry_after_s(self.headers.get("Retry-After"), self.server_time_ms)


def json_object(text: bytes) -> dict[str, object] | None:
    """The JSON object that an answer, or a line of one, is; None where it is anything else."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


class HttpClient:
    """Asks one server. Opens its connections with the first request, closes them with `close`."""

    def __init__(
        self, whom: str, outage: type[Transient], *, timeout_s: float = TIMEOUT_S, tls: ssl.SSLContext | None = None
    ) -> None:
        """`whom` is the server's name in sentences, `outage` what is raised where no answer comes that can be used;
        `timeout_s` is for a whole request, seconds; `tls` None: as the machine trusts.
        """
        self._whom, self._outage = whom, outage
        self._timeout_s, self._tls = timeout_s, tls
        self._session: aiohttp.ClientSession | None = None

    async def ask(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        limit: int = 1 << 20,
        timeout_s: float | None = None,
    ) -> Reply:
        """The answer, whatever its status. `timeout_s` is for this request, where it may take longer than others.

        Raises the outage: none came, not in time, or more than `limit` bytes of it. The request may have been carried
        out.
        """
        timeout_s = timeout_s or self._timeout_s
        # The sentence is raised outside the handlers: an aiohttp error kept as cause or context could name the address.
        try:
            async with self._open().request(
                method,
                url,
                params=params,
                headers=headers,
                data=body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout_s),
            ) as response:
                content = bytearray()
                async for chunk in response.content.iter_any():
                    content += chunk
                    if len(content) > limit:
                        break
                else:
                    return Reply(response.status, response.headers.copy(), bytes(content))
                problem = f"answered more than {limit} bytes"
        except TimeoutError:
            problem = f"did not answer within {timeout_s:g} s"
        except aiohttp.ClientError as error:
            problem = _problem(error)
        raise self._outage(f"{self._whom} {problem}; it is asked again later.")

    async def close(self) -> None:
        """Let go of the connections; a later request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls) if self._tls is not None else None,
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "iv3", "Accept": "application/json"},
            )
        return self._session


def _problem(error: aiohttp.ClientError) -> str:
    """What went wrong, in words and with the kind of the error, but never with its text, which may hold the address."""
    kind = type(error).__name__
    if isinstance(error, aiohttp.ClientSSLError):
        return f"has no valid TLS certificate, or the clock of this machine is wrong ({kind})"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"was not found: no such name, or no internet ({kind})"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"could not be reached ({error.os_error.strerror or kind})"
    if isinstance(error, aiohttp.InvalidURL):
        return "has an address that cannot be used"
    return f"broke off ({kind})"
