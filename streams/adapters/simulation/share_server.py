"""A fake Dexcom Share server: the real protocol over a real socket, with every fault that was seen in the wild.

It is fed with simulated readings: for the demo, for tests, and for anybody who writes a client of Share. Loopback
unless told otherwise.
"""

import asyncio
import json
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from email.utils import formatdate
from functools import partial
from typing import Any, Final, NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

from aiohttp import web
from aiohttp.typedefs import Handler

from processors.simulated_person import SimulatedEvent
from processors.sources.dexcom import APPLICATION_IDS, ZERO_UUID
from schemas.facts import TRENDS
from streams.adapters.simulation.faults import FAULTS, parse_faults

_PAGE = "<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head><body>Blocked</body></html>"
_ODD_VALUES: Final = (39, 401, 10, 5, 1, 0, None, "n/a", 999)
_MINUTES_MAX, _COUNT_MAX, _MINUTE_MS = 1440, 288, 60_000
_WRONG_TRIES, _LOCKED_MS = 5, 10 * _MINUTE_MS
_BODY_MAX = 65_536
_SERVICES: Final = "/ShareWebServices/Services"
_CALLS: Final = {
    "General/AuthenticatePublisherAccount": "authenticate",
    "General/LoginPublisherAccountById": "log_in",
    "General/LoginPublisherAccountByName": "log_in_by_name",
    "Publisher/ReadPublisherLatestGlucoseValues": "read",
}
Hear = Callable[[str, web.Request], Awaitable[web.StreamResponse]]


class _Row(NamedTuple):
    time_ms: int
    value: Any
    trend: str


class _ShareError(Exception):  # carries an answer, is not a failure of ours
    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.body = {
            "Code": code,
            "Message": message,
            "SubCode": f"<OnlineException DateThrownLocal='' DateThrown='' ErrorCode='{code}' Type='1' Category='1' />",
            "TypeName": "FaultException",
        }


_PASSWORD_INVALID = ("AccountPasswordInvalid", "Publisher account password failed")


async def serve_share(hear: Hear, host: str, port: int, control: Handler | None = None) -> tuple[web.AppRunner, str]:
    """Listen for Share's calls, each of which `hear` answers, and for POST /_fault; port 0 is any free one. What ends
    that, and the base URL for clients. Raises OSError if the address cannot be had.
    """
    app = web.Application(client_max_size=_BODY_MAX)
    for path, call in _CALLS.items():
        app.router.add_post(f"{_SERVICES}/{path}", partial(hear, call))
    if control is not None:
        app.router.add_post("/_fault", control)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner, f"http://{host}:{runner.addresses[0][1]}{_SERVICES}"


class ShareServer:
    """Serves the glucose events up to `now_ms()`; later ones are the future and stay hidden until then.

    `calls` counts what was asked: "authenticate", "login", "read". `log_ins` are the attempts that carried a password,
    `accepted` those that were answered with an id.
    """

    def __init__(
        self,
        events: Iterable[SimulatedEvent],
        *,
        now_ms: Callable[[], int],
        username: str = "demo",
        password: str = "demo",  # noqa: S107 - there is nothing behind it
        control: bool = False,
        slow_s: float = 15.0,
    ) -> None:
        """`control` opens POST /_fault `{"faults": [...]}`: never on an address that others can reach."""
        self._now_ms = now_ms
        self._username, self._password = username, password
        self._control = control
        self.slow_s, self.skew_ms = slow_s, 10 * _MINUTE_MS
        self.calls: Counter[str] = Counter()
        self.accepted = 0
        self._wrong: list[int] = []  # when, in a row
        self._sessions: dict[str, int] = {}  # id -> reads
        self._ended: set[str] = set()
        self.faults: frozenset[str] = frozenset()
        self._gap_from_ms = 0
        self._runner: web.AppRunner | None = None
        self.url = ""  # the base URL for a client (`dexcom.url`); empty before `start`
        self._readings: list[tuple[int, float]] = []
        self.extend(events)

    @property
    def log_ins(self) -> int:
        """Requests that carried a password, accepted or not."""
        return self.calls["authenticate"] + self.calls["login"]

    def extend(self, events: Iterable[SimulatedEvent]) -> None:
        """Serve these too; of two readings of one time the later given counts."""
        readings = dict(self._readings)
        readings.update((event.time_ms, event.value) for event in events if event.kind == "glucose")
        self._readings = sorted(readings.items())

    def set_faults(self, names: Iterable[str]) -> None:
        """Switch to exactly these faults, none for a server in good health. Raises ValueError for an unknown name."""
        faults = parse_faults(",".join(names))
        new = faults - self.faults
        self.faults = faults
        if new & {"expired-session", "wrong-password"}:
            self._ended.update(self._sessions)
            self._sessions.clear()
        if "gap-then-backfill" in new:
            self._gap_from_ms = self._now_ms()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 is any free one. Raises OSError if the address cannot be had."""
        self._runner, self.url = await serve_share(self.hear, host, port, self._switch if self._control else None)

    async def stop(self) -> None:
        """Close the socket and every connection."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def hear(self, call: str, request: web.Request) -> web.StreamResponse:
        """Answer one of Share's calls (authenticate, log_in, log_in_by_name, read), whosever port it came in at: errors
        as HTTP 500, the Date of the simulated clock, and the faults that can hit any call.
        """
        calls: dict[str, Callable[[web.Request], Awaitable[object]]] = {
            "authenticate": self._authenticate,
            "log_in": self._log_in,
            "log_in_by_name": self._log_in_by_name,
            "read": self._read,
        }
        if "slow" in self.faults:
            await asyncio.sleep(self.slow_s)
        skew_ms = self.skew_ms if "clock-skew" in self.faults else 0
        headers = {"Date": formatdate((self._now_ms() + skew_ms) / 1000, usegmt=True)}
        if "html-403" in self.faults:
            return web.Response(status=403, text=_PAGE, content_type="text/html", headers=headers)
        if "429" in self.faults:
            return web.Response(status=429, headers=headers | {"Retry-After": "42"})
        try:
            content = await calls[call](request)
        except _ShareError as error:
            return web.json_response(error.body, status=500, headers=headers)
        text = "" if "empty-body" in self.faults else json.dumps(content, separators=(",", ":"))
        response = web.Response(text=text, content_type="application/json", headers=headers)
        return await self._half(request, response) if "half-closed" in self.faults else response

    async def _half(self, request: web.Request, whole: web.Response) -> web.StreamResponse:
        """The first half of an answer, and then nobody there."""
        body = whole.body if isinstance(whole.body, bytes) else b""
        half = web.StreamResponse(headers={**whole.headers, "Content-Length": str(len(body))})
        await half.prepare(request)
        await half.write(body[: len(body) // 2])
        if request.transport is not None:
            request.transport.close()
        return half

    async def _authenticate(self, request: web.Request) -> str:
        self.calls["authenticate"] += 1
        body = await _body(request)
        if not body.get("accountName"):
            raise _ShareError("InvalidArgument", "accountName is null or empty.")
        self._check(body, known=str(body["accountName"]).lower() == self._username.lower())
        return ZERO_UUID if "zero-uuid" in self.faults else self.account_id

    async def _log_in(self, request: web.Request) -> str:
        self.calls["login"] += 1
        body = await _body(request)
        account_id = _uuid(body.get("accountId"))
        self._check(body, known=account_id == self.account_id)
        if "zero-uuid" in self.faults:
            return ZERO_UUID
        session_id = str(uuid5(NAMESPACE_URL, f"session {self.calls['login']} of {self.account_id}"))
        self._sessions[session_id] = 0
        return session_id

    async def _log_in_by_name(self, request: web.Request) -> str:
        await _body(request)
        return ZERO_UUID  # dead since years, and dead it says nothing

    @property
    def account_id(self) -> str:
        """What a log-in by name is answered with."""
        return str(uuid5(NAMESPACE_URL, f"account {self._username.lower()}"))

    def _check(self, body: dict[str, Any], *, known: bool) -> None:
        """Raise what Share answers to a log-in that it does not accept."""
        if not body.get("password"):
            raise _ShareError("InvalidArgument", "password is null or empty.")
        if body.get("applicationId") not in APPLICATION_IDS.values():
            raise _ShareError("InvalidArgument", "applicationId is not a known UUID.")
        now_ms = self._now_ms()
        locked = len(self._wrong) >= _WRONG_TRIES and now_ms - self._wrong[-1] < _LOCKED_MS
        if locked or "lock-out" in self.faults:
            raise _ShareError("SSO_AuthenticateMaxAttemptsExceeded", "Maximum authentication attempts exceeded.")
        if "spurious-password-error" in self.faults:
            self.faults -= {"spurious-password-error"}
            raise _ShareError(*_PASSWORD_INVALID)
        if "wrong-password" in self.faults or not known or body["password"] != self._password:
            self._wrong = [*self._wrong[-_WRONG_TRIES + 1 :], now_ms]
            raise _ShareError(*_PASSWORD_INVALID)
        self._wrong = []
        self.accepted += 1

    async def _read(self, request: web.Request) -> list[dict[str, Any]]:
        self.calls["read"] += 1
        query = {name.lower(): value for name, value in request.query.items()}
        self._check_session(_uuid(query.get("sessionid")))
        try:
            minutes = int(query.get("minutes", _MINUTES_MAX))
            count = int(query.get("maxcount", _COUNT_MAX))
        except ValueError:
            raise _ShareError("InvalidArgument", "minutes and maxCount must be numbers.") from None
        # Clients in the wild ask for 2880 and 576: Share gives them what it has.
        return self._answer(min(minutes, _MINUTES_MAX), min(count, _COUNT_MAX))

    def _check_session(self, session_id: str) -> None:
        if session_id in self._ended:
            raise _ShareError("SessionNotValid", "Session not active or timed out")
        if session_id not in self._sessions or "no-session-holds" in self.faults:
            raise _ShareError("SessionIdNotFound", "Session ID not found")
        self._sessions[session_id] += 1
        if "expired-session" in self.faults and self._sessions[session_id] % 3 == 0:
            self._ended.add(session_id)
            del self._sessions[session_id]
            raise _ShareError("SessionNotValid", "Session not active or timed out")

    def _answer(self, minutes: int, count: int) -> list[dict[str, Any]]:
        if minutes <= 0 or count <= 0 or "empty-list" in self.faults:
            return []
        now_ms = self._now_ms()
        rows = [row for row in self._rows(now_ms - minutes * _MINUTE_MS, now_ms) if self._arrived(row, now_ms)]
        rows = sorted(rows, key=lambda row: -row.time_ms)[:count]
        if "duplicate-wt" in self.faults:
            rows = [row for row in rows for _ in range(2)][:count]
        if "out-of-order-backfill" in self.faults:
            rows.sort(key=lambda row: _scatter(row.time_ms))
        if "low-high-codes" in self.faults:
            rows = [
                row._replace(value=_ODD_VALUES[place // 2 % len(_ODD_VALUES)]) if place % 2 else row
                for place, row in enumerate(rows)
            ]
        return [self._item(row) for row in rows]

    def _arrived(self, row: _Row, now_ms: int) -> bool:
        age_ms = now_ms - row.time_ms
        if "out-of-order-backfill" in self.faults and _scatter(row.time_ms) % 4 == 0 and age_ms < 20 * _MINUTE_MS:
            return False
        in_the_gap = "gap-then-backfill" in self.faults and now_ms - self._gap_from_ms < 60 * _MINUTE_MS
        return not (in_the_gap and row.time_ms > self._gap_from_ms)

    def _rows(self, after_ms: int, now_ms: int) -> list[_Row]:
        """The readings of (after, now], with the trend of the last quarter of an hour."""
        readings = self._readings
        first = bisect_right(readings, (after_ms - _MINUTE_MS, 1e9))
        last = bisect_left(readings, (now_ms + _MINUTE_MS, 0.0))
        rows = []
        for place in range(first, last):
            time_ms, value = readings[place]
            trend = _trend(readings[max(0, place - 3)], readings[place])
            if "jitter" in self.faults:
                time_ms += _scatter(time_ms) % 80_000 - 40_000
            rows.append(_Row(time_ms, round(value), trend))
            if "1-minute" in self.faults and place + 1 < len(readings):
                rows.extend(_between(rows[-1], readings[place + 1]))
        return [row for row in rows if after_ms < row.time_ms <= now_ms]

    def readings(self, after_ms: int, to_ms: int) -> list[tuple[int, float, str | None]]:
        """(time_ms, value, trend) of (after, to] as clients get them, oldest first, without Share's limits."""
        return [
            (r.time_ms, float(r.value), r.trend if r.trend in TRENDS else None) for r in self._rows(after_ms, to_ms)
        ]

    def _item(self, row: _Row) -> dict[str, Any]:
        old = "int-trends" in self.faults
        slash = "/" if old else ""
        trend = TRENDS.index(row.trend) + 1 if row.trend in TRENDS else 0
        return {
            "WT": f"{slash}Date({row.time_ms}){slash}",
            "ST": f"{slash}Date({row.time_ms}){slash}",
            "DT": f"{slash}Date({row.time_ms}-0400){slash}",
            "Value": row.value,
            "Trend": trend if old else row.trend,
        }

    async def _switch(self, request: web.Request) -> web.Response:
        try:
            names = (await _body(request))["faults"]
            self.set_faults(names if isinstance(names, list) else [str(names)])
        except (KeyError, TypeError, ValueError) as error:
            return web.json_response({"error": str(error), "known": FAULTS}, status=400)
        return web.json_response({"faults": sorted(self.faults), "calls": self.calls, "log_ins": self.log_ins})


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise _ShareError("InvalidArgument", "The body is no JSON object.")
    return body


def _uuid(text: object) -> str:
    try:
        return str(UUID(str(text)))
    except ValueError:
        raise _ShareError("InvalidArgument", "The id is no UUID.") from None


def _scatter(time_ms: int) -> int:
    """A number that has nothing to do with the time it is of."""
    return time_ms // 1000 * 2_654_435_761 % 2**32 >> 7


def _between(row: _Row, after: tuple[int, float]) -> list[_Row]:
    """A reading a minute on the way to the next one."""
    span_ms = after[0] - row.time_ms
    if span_ms > 6 * _MINUTE_MS:
        return []
    return [
        row._replace(time_ms=row.time_ms + step_ms, value=round(row.value + (after[1] - row.value) * step_ms / span_ms))
        for step_ms in range(_MINUTE_MS, span_ms - _MINUTE_MS // 2, _MINUTE_MS)
    ]


def _trend(before: tuple[int, float], now: tuple[int, float]) -> str:
    """Dexcom's arrows: by 1, 2 and 3 mg/dL a minute."""
    minutes = (now[0] - before[0]) / _MINUTE_MS
    if not 0 < minutes <= 20:
        return "None"
    rate = (now[1] - before[1]) / minutes
    steps = sum(abs(rate) >= limit for limit in (1, 2, 3))
    return "Flat" if not steps else f"{('FortyFive', 'Single', 'Double')[steps - 1]}{'Up' if rate > 0 else 'Down'}"
