"""The older Go program's own HTTP API, asked for what it has. Nothing is written to it."""

import base64
import json
import ssl
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import SecretStr

from processors.legacy.comparing import LegacyRow
from streams.adapters.http_client import HttpClient
from streams.errors import FailedPrecondition, Misconfigured, SourceUnreachable

_ANSWER_BYTES = 64 << 20  # a year of readings
_ANSWER_S = 60.0  # it asks an InfluxDB that may be slow


class LegacyApi:
    """Asks with HTTP Basic."""

    def __init__(self, url: str, username: str, password: SecretStr, cafile: Path | None = None) -> None:
        """`cafile` is the certificate that is trusted, whatever name it has. Does no I/O beyond reading it. Raises
        Misconfigured.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.username:
            raise Misconfigured("--url is the address of the old program, like https://127.0.0.1:8443.")
        if parts.scheme == "http" and not _is_here(parts.hostname):
            raise Misconfigured(
                "--url begins with http:// and is not this machine: the password would travel in clear. Write https://."
            )
        self._url = url.rstrip("/")
        said = f"{username}:{password.get_secret_value()}".encode()
        self._headers = {"Authorization": f"Basic {base64.b64encode(said).decode()}"}
        tls = _trusting(cafile) if cafile else None
        self._exchange = HttpClient("The old program", SourceUnreachable, timeout_s=_ANSWER_S, tls=tls)

    def __repr__(self) -> str:
        """Name the address and nothing else."""
        return f"SeedApi({self._url})"

    async def close(self) -> None:
        """Let go of the connections."""
        await self._exchange.close()

    async def rows(self, what: Literal["glucose", "insulin", "carbs"], start_s: int, end_s: int) -> list[LegacyRow]:
        """Readings, doses (with the insulin's name as the old program has it) or meals of [start_s, end_s). Raises
        SourceUnreachable, Misconfigured.
        """
        address = f"{self._url}/{what}?start={start_s}&end={end_s}"
        reply = await self._exchange.ask("GET", address, headers=self._headers, limit=_ANSWER_BYTES)
        if reply.status in (401, 403):
            raise FailedPrecondition(
                "The old program refuses --user and the password: they are api.username "
                "and api.password of its config.yaml."
            )
        try:
            if reply.status != 200:
                raise ValueError(reply.status)
            return [_thing(item) for item in json.loads(reply.body) or ()]
        except (ValueError, KeyError, TypeError, AttributeError):
            # It says in English, with status 200, what went wrong.
            said = reply.body[:100].decode(errors="replace").strip()
            raise SourceUnreachable(
                f"The old program did not answer /{what} with a list (status {reply.status}): {said!r}."
            ) from None


def _thing(item: dict[str, Any]) -> LegacyRow:
    moment = datetime.fromisoformat(item["Time"])
    if moment.tzinfo is None:
        raise ValueError(item["Time"])
    return LegacyRow(int(moment.timestamp() // 1), float(item["Value"]), str(item.get("Type", "")))


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _trusting(cafile: Path) -> ssl.SSLContext:
    """Trust this certificate and nothing else. The old program's was made by its owner, for no name in particular."""
    try:
        context = ssl.create_default_context(cafile=str(cafile))
    except (OSError, ssl.SSLError) as error:
        raise Misconfigured(f"--cafile {cafile} cannot be used: {error}.") from None
    context.check_hostname = False
    return context
