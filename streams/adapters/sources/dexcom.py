"""Dexcom Share as a glucose source: three POSTs, a session that outlives the process, no log-in that was not allowed.

What an answer means is decided in `processors.sources.dexcom`, when a log-in may be tried in
`processors.sources.polling`.
"""

import asyncio
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from pydantic import SecretStr

from processors.sources.dexcom import (
    APPLICATION_IDS,
    BASE_URLS,
    Parsed,
    Region,
    Verdict,
    judge,
    parse_readings,
    parse_uuid,
)
from streams.adapters.http_client import TIMEOUT_S, HttpClient, Reply
from streams.adapters.sources.refusals import Refusals
from streams.errors import Misconfigured, SourceRefused, SourceUnreachable
from streams.ports.source import Fetched, SensorCode, SourceReading

_AUTHENTICATE = "General/AuthenticatePublisherAccount"
_LOG_IN = "General/LoginPublisherAccountById"
_READ = "Publisher/ReadPublisherLatestGlucoseValues"
_SERVICES = "/ShareWebServices/Services"
_MINUTES_MAX, _COUNT_MAX = 1440, 288
_REFUSED = frozenset({"rejected", "locked_out", "misconfigured"})
_REFUSALS = "dexcom-refusals.json"
_JSON: Final = {"Content-Type": "application/json"}

_log: Final = logging.getLogger(__name__)


class _Ids(NamedTuple):
    """What a log-in left behind. Either may be missing; both are secrets."""

    account: str | None = None
    session: str | None = None


class DexcomShare:
    """The `GlucoseSource` on Dexcom's Share service. One request is in flight at a time, each at most `timeout_s` long.

    `session_file` (mode 0600, replaced atomically) keeps the session across restarts; it is only ever used for the same
    account at the same server. `base_url` takes the place of the region's server, up to and with
    `/ShareWebServices/Services`. `account` is 16 hexadecimal digits of a hash of region and lower-cased user name.
    """

    name = "dexcom-share"
    title = "Dexcom"
    nothing_hint = "is sharing on, with at least one follower, and is the region right?"

    def __init__(
        self,
        *,
        username: str,
        password: SecretStr,
        region: Region,
        session_file: Path,
        base_url: str | None = None,
        timeout_s: float = TIMEOUT_S,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """Does no I/O. `now_ms` is the time in which refused log-ins are waited out. Raises Misconfigured if `base_url`
        cannot be one.
        """
        self._username = username
        self._password = password
        self._region = region
        self._session_file = session_file
        self._base_url = (base_url or BASE_URLS[region]).rstrip("/")
        if not self._base_url.startswith(("https://", "http://")) or not self._base_url.endswith(_SERVICES):
            raise Misconfigured(
                f"dexcom.url must be http(s)://... and end in {_SERVICES}; leave it out to use Dexcom's own server."
            )
        self.account = hashlib.sha256(f"{region}{username.lower()}".encode()).hexdigest()[:16]
        self._refusals = Refusals(session_file.with_name(_REFUSALS), self.account, password, now_ms)
        self._exchange = HttpClient("Dexcom Share", SourceUnreachable, timeout_s=timeout_s)
        self._one_at_a_time = asyncio.Lock()
        self._ids: _Ids | None = None  # None: the file was not read yet
        self._read_refused = False
        self._file_trouble_told = False

    def __repr__(self) -> str:
        """Name the account by its hash only."""
        return f"DexcomShare({self._region}, account {self.account})"

    async def latest(self, minutes: int, max_count: int, *, may_log_in: bool) -> Fetched:
        """The readings of the last `minutes`, at most `max_count` of them (clamped to what Share gives: 1440 and 288).

        A lost session is renewed once, if `may_log_in`. Raises SourceRefused (rejected, locked_out, misconfigured) and
        SourceUnreachable (everything else; `retry_after_s` where Share named it).
        """
        async with self._one_at_a_time:
            if self._ids is None:
                self._ids = await asyncio.to_thread(self._load)
            ids = self._ids
            fresh = ids.session is None
            if fresh:
                ids = await self._log_in(ids, may_log_in=may_log_in)
            reply, verdict = await self._read(ids, minutes, max_count)
            if verdict.kind == "session_gone" and not fresh:
                await self._remember(_Ids(ids.account))
                ids = await self._log_in(_Ids(ids.account), may_log_in=may_log_in)
                reply, verdict = await self._read(ids, minutes, max_count)
            if verdict.kind == "session_gone":
                await self._remember(_Ids(ids.account))
            if verdict.kind != "ok":
                _raise(verdict)
            return _fetched(reply)

    async def close(self) -> None:
        """Let go of connections; the session file stays."""
        await self._exchange.close()

    async def _read(self, ids: _Ids, minutes: int, max_count: int) -> tuple[Reply, Verdict]:
        params = {
            "sessionId": ids.session or "",
            "minutes": str(min(max(minutes, 1), _MINUTES_MAX)),
            "maxCount": str(min(max(max_count, 1), _COUNT_MAX)),
        }
        reply = await self._post(_READ, {}, params)
        verdict = _judged(reply)
        if verdict.kind == "misconfigured":
            # No credential was sent, only the session id: it is that which Share cannot use.
            return reply, verdict._replace(kind="session_gone")
        if verdict.kind != "rejected":
            self._read_refused = False
            return reply, verdict
        # Share sometimes says "password invalid" to a good session. The first time is no reason to throw the session
        # away and spend a log-in; the second in a row is.
        if self._read_refused:
            await self._remember(_Ids(ids.account))
        self._read_refused = not self._read_refused
        return reply, Verdict("outage", "Dexcom Share refused a session that it had given; it is asked again later.")

    async def _log_in(self, ids: _Ids, *, may_log_in: bool) -> _Ids:
        """Both steps, or only the second where the account id is known."""
        # A password that was refused waits for its time whoever asks; another one than the refused need not wait for
        # that.
        refused = await asyncio.to_thread(self._refusals.verdict)
        if refused == "wait" or not (may_log_in or refused == "changed"):
            raise SourceUnreachable(
                "There is no Dexcom Share session, and the log-in policy allows no log-in yet; iv3 waits until it does."
            )
        credentials = {"password": self._password.get_secret_value(), "applicationId": APPLICATION_IDS[self._region]}
        account = ids.account
        if account is None:
            account = await self._log_in_step(_AUTHENTICATE, {"accountName": self._username, **credentials})
        session = await self._log_in_step(_LOG_IN, {"accountId": account, **credentials})
        ids = _Ids(account, session)
        await self._remember(ids)
        await asyncio.to_thread(self._refusals.accepted)
        return ids

    async def _log_in_step(self, path: str, body: dict[str, str]) -> str:
        reply = await self._post(path, body)
        verdict = _judged(reply)
        if verdict.kind in {"rejected", "misconfigured"}:
            await self._remember(_Ids())  # the account id may be the reason
        if verdict.kind in _REFUSED:
            await asyncio.to_thread(self._refusals.refused, verdict.kind)
        if verdict.kind != "ok":
            _raise(verdict)
        if (uuid := parse_uuid(reply.body)) is None:
            raise SourceUnreachable(
                "Dexcom Share answered a log-in with something that is no id; it is asked again later."
            )
        return uuid

    async def _post(self, path: str, body: dict[str, str], params: dict[str, str] | None = None) -> Reply:
        url, said = f"{self._base_url}/{path}", json.dumps(body).encode()
        return await self._exchange.ask("POST", url, params=params, headers=_JSON, body=said)

    async def _remember(self, ids: _Ids) -> None:
        """Keep the ids, in memory in any case.

        Without the file a restart costs one log-in, which is no reason to stop.
        """
        self._ids = ids
        try:
            await asyncio.to_thread(self._save, ids)
        except OSError as error:
            if not self._file_trouble_told:
                _log.warning(
                    "The Dexcom session cannot be kept in %s (%s): each restart will log in again.",
                    self._session_file,
                    error.strerror,
                )
            self._file_trouble_told = True

    def _load(self) -> _Ids:
        """The ids of the file; none if it is missing, damaged, or of another account or server."""
        try:
            kept = json.loads(self._session_file.read_bytes())
            if kept["account"] != self.account or kept["server"] != self._base_url:
                return _Ids()
            ids = _Ids(*(parse_uuid(json.dumps(kept[key]).encode()) for key in ("account_id", "session_id")))
        except (OSError, ValueError, KeyError, TypeError):
            return _Ids()
        return ids

    def _save(self, ids: _Ids) -> None:
        content = {
            "account": self.account,
            "server": self._base_url,
            "account_id": ids.account,
            "session_id": ids.session,
        }
        part = self._session_file.with_name(f"{self._session_file.name}.{os.getpid()}.part")
        with suppress(FileNotFoundError):
            part.unlink()  # left by a crash; O_EXCL below makes sure that the mode is ours
        self._session_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(content, file)
        part.replace(self._session_file)


def _judged(reply: Reply) -> Verdict:
    return judge(reply.status, reply.body, reply.headers.get("Retry-After"), server_time_ms=reply.server_time_ms)


def _raise(verdict: Verdict) -> NoReturn:
    if verdict.kind in _REFUSED:
        raise SourceRefused(verdict.reason, kind=verdict.kind)
    raise SourceUnreachable(verdict.reason, retry_after_s=verdict.retry_after_s)


def _fetched(reply: Reply) -> Fetched:
    try:
        parsed: Parsed = parse_readings(reply.body)
    except ValueError as error:
        raise SourceUnreachable(
            "Dexcom Share answered something that is no list of readings; it is asked again later."
        ) from error
    return Fetched(
        readings=tuple(SourceReading(*reading) for reading in parsed.readings),
        sensor_codes=tuple(SensorCode(*code) for code in parsed.sensor_codes),
        rejected=parsed.rejected,
        server_time_ms=reply.server_time_ms,
    )
