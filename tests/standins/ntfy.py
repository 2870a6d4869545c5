"""A stand-in of an ntfy server, for tests: it answers as the real one did when `golden/ntfy_2.27.0.json` was recorded.

As a process: `python -m tests.standins.ntfy --port 8099 --file out.jsonl [--token tk_...] [--version 2.27.0]`. Every
message that it takes is appended to the file as one JSON line, and found there again after a restart.
"""

import argparse
import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, Self

from aiohttp import web

from tests.standins.ntfy_replies import Refusal, error_reply, reply

Message = dict[str, Any]

_KEEP_S = 12 * 3600
_DELAY_MIN_S, _DELAY_MAX_S = 10, 3 * 86_400
_MESSAGE_MAX, _BODY_MAX, _ACTIONS_MAX = 4095, 8192, 3
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_NAME = "[-_A-Za-z0-9]{1,64}"


class Access(NamedTuple):
    """What a token may do, on topics that match the pattern."""

    topics: str = "*"
    read: bool = True
    write: bool = True


@dataclass(slots=True)
class Received:
    """A message that was taken: as it was stored, and when it came (epoch seconds and loop time)."""

    message: Message
    wall_s: float
    loop_s: float
    delay_s: float


@dataclass(slots=True)
class _Row:
    message: Message
    at_s: float  # when subscribers get it

    @property
    def sequence(self) -> str:
        return str(self.message.get("sequence_id", self.message["id"]))


@dataclass(slots=True)
class _Trouble:
    fail: list[tuple[int, int | None]] = field(default_factory=list)
    hang: list[float] = field(default_factory=list)
    lose: int = 0


class NtfyStandIn:
    """Without `tokens` everybody may do everything, as on a public server.

    `burst` is the request limit (60 on a default server).

    `received` holds every message taken, in order; `shown(topic)` what a phone shows now; `calls` counts requests by
    method.
    """

    def __init__(
        self,
        *,
        version: str = "2.27.0",
        tokens: Mapping[str, Access] | None = None,
        now: Callable[[], float] = time.time,
        burst: int | None = None,
        daily_quota: int | None = None,
        auth_failures: int = 30,
        file: Path | None = None,
    ) -> None:
        self._knows_sequences = tuple(int(part) for part in version.split(".")[:2]) >= (2, 16)
        self.tokens = None if tokens is None else dict(tokens)
        self._now = now
        self._tickets, self._burst, self._refilled_s = float(burst or 0), burst, now()
        self.quota, self._failures_left = daily_quota, auth_failures
        self._file = file
        self.rows: list[_Row] = []
        self._ids = count(1)
        self.trouble = _Trouble()
        self.received: list[Received] = []
        self.calls: Counter[str] = Counter()
        self._runner: web.AppRunner | None = None
        self.url = ""
        if file is not None and file.exists():
            for line in file.read_text(encoding="utf-8").splitlines():
                kept = json.loads(line)
                self._store(kept["message"], kept["deliver_s"], kept["received_s"])

    def fail(self, status: int, times: int = 1, *, code: int | None = None) -> None:
        """Answer the next requests with this status and do nothing; without ntfy's `code` with a proxy's page."""
        self.trouble.fail += [(status, code)] * times

    def lose_replies(self, times: int = 1) -> None:
        """Take the next messages, and cut the connection instead of answering."""
        self.trouble.lose += times

    def hang(self, seconds: float, times: int = 1) -> None:
        """Answer the next requests only after this long (loop time)."""
        self.trouble.hang += [seconds] * times

    def revoke_token(self) -> None:
        """From now on no token is known."""
        self.tokens = {}

    def spend_quota(self) -> None:
        """The daily quota is used up."""
        self.quota = 0

    def shown(self, topic: str) -> list[Message]:
        """The notifications on a phone: due, the newest of each sequence, not cleared and not deleted."""
        now_s, shown = self._now(), dict[str, Message]()
        for row in sorted(self.rows, key=lambda row: row.at_s):
            if row.message["topic"] == topic and row.at_s <= now_s:
                shown.pop(row.sequence, None)
                if row.message["event"] == "message":
                    shown[row.sequence] = row.message
        return list(shown.values())

    def pending(self, topic: str) -> list[Message]:
        """Scheduled messages that were not yet delivered."""
        now_s = self._now()
        return [row.message for row in self.rows if row.message["topic"] == topic and row.at_s > now_s]

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        app = web.Application(client_max_size=1 << 20)
        add = app.router.add_route
        add("GET", "/v1/health", self._handler(self._health))
        add("*", "/", self._handler(self._publish_json))
        add("GET", f"/{{topic:{_NAME}}}/json", self._handler(self._subscribe))
        for method in ("PUT", "POST"):
            add(method, f"/{{topic:{_NAME}}}", self._handler(self._publish_text))
        if self._knows_sequences:
            add("PUT", f"/{{topic:{_NAME}}}/{{sequence}}/clear", self._handler(self._clear))
            add("DELETE", f"/{{topic:{_NAME}}}/{{sequence}}", self._handler(self._delete))
        add("*", "/{tail:.*}", self._handler(self._nothing))
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        self._runner = runner
        self.url = f"http://{host}:{runner.addresses[0][1]}"

    async def stop(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _handler(
        self, call: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handler(request: web.Request) -> web.StreamResponse:
            self.calls[request.method] += 1
            if self.trouble.hang:
                await asyncio.sleep(self.trouble.hang.pop(0))
            if self.trouble.fail:
                status, code = self.trouble.fail.pop(0)
                page = web.Response(status=status, text="<html>Bad Gateway</html>", content_type="text/html")
                return page if code is None else error_reply(code)
            taken = len(self.received)
            try:
                response = await call(request)
            except Refusal as error:
                return error_reply(error.code)
            if self.trouble.lose and len(self.received) > taken and request.transport is not None:
                self.trouble.lose -= 1
                request.transport.abort()
            return response

        return handler

    async def _health(self, _: web.Request) -> web.Response:
        return reply({"healthy": True})

    async def _nothing(self, _: web.Request) -> web.Response:
        raise Refusal(40401)

    def _admit(self, request: web.Request) -> str | None:
        """The token of the request. Raises for an unknown one, for too many of them, and for too many requests."""
        if self._failures_left <= 0:
            raise Refusal(42909)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        token = token if scheme == "Bearer" else ""
        if token and self.tokens is not None and token not in self.tokens:
            self._failures_left -= 1
            raise Refusal(40101)
        if self._burst is not None:
            now_s = self._now()
            self._tickets = min(float(self._burst), self._tickets + (now_s - self._refilled_s) / 5)
            self._refilled_s = now_s
            if self._tickets < 1:
                raise Refusal(42901)
            self._tickets -= 1
        return token or None

    def _allow(self, token: str | None, topic: str, *, write: bool) -> None:
        if self.tokens is None:
            return
        access = self.tokens.get(token or "", Access(topics=""))
        if not fnmatchcase(topic, access.topics) or not (access.write if write else access.read):
            raise Refusal(40301)

    async def _publish_json(self, request: web.Request) -> web.Response:
        if request.method not in ("POST", "PUT"):
            raise Refusal(40401)
        token = self._admit(request)
        raw = await request.read()
        if len(raw) > _BODY_MAX:
            raise Refusal(41303)
        try:
            body = json.loads(raw)
        except ValueError:
            raise Refusal(40024) from None
        if not isinstance(body, dict):
            raise Refusal(40024)
        return self._publish(token, str(body.get("topic", "")), body)

    async def _publish_text(self, request: web.Request) -> web.Response:
        token = self._admit(request)
        headers = {name.lower().removeprefix("x-"): value for name, value in request.headers.items()}
        body: Message = {"message": (await request.read()).decode("utf-8", "replace")}
        for name, aliases in (
            ("title", ("t",)),
            ("click", ()),
            ("delay", ("at", "in")),
            ("sequence_id", ("sequence-id",)),
        ):
            value = next((headers[alias] for alias in (name, *aliases) if alias in headers), None)
            if value is not None:
                body[name] = value
        if "priority" in headers:
            body["priority"] = int(headers["priority"]) if headers["priority"].isdecimal() else 9
        if "tags" in headers:
            body["tags"] = headers["tags"].split(",")
        return self._publish(token, request.match_info["topic"], body)

    def _publish(self, token: str | None, topic: str, body: Message) -> web.Response:
        if not re.fullmatch(_NAME, topic):
            raise Refusal(40009)
        self._allow(token, topic, write=True)
        if self.quota is not None and self.quota <= 0:
            raise Refusal(42908)
        message = self._checked(topic, body)
        received_s = self._now()
        delay_s = self._delay_s(str(body["delay"])) if body.get("delay") else 0.0
        if self.quota is not None:
            self.quota -= 1
        return reply(self._take(message, delay_s, received_s))

    def _checked(self, topic: str, body: Message) -> Message:
        if len(str(body.get("message", "")).encode()) > _MESSAGE_MAX:
            raise Refusal(40014)
        if not 0 <= body.get("priority", 0) <= 5:
            raise Refusal(40007)
        if len(body.get("actions") or ()) > _ACTIONS_MAX:
            raise Refusal(40018)
        message: Message = {"event": "message", "topic": topic}
        if body.get("sequence_id") and self._knows_sequences:
            if not re.fullmatch(_NAME, body["sequence_id"]):
                raise Refusal(40049)
            message["sequence_id"] = body["sequence_id"]
        message["message"] = body.get("message") or "triggered"
        message |= {name: body[name] for name in ("title", "priority", "tags", "click") if body.get(name)}
        if body.get("actions"):
            message["actions"] = [{"id": self._id(), "clear": False} | action for action in body["actions"]]
        return message

    def _delay_s(self, text: str) -> float:
        match = re.fullmatch(r"(\d+)\s*([smhd])\w*", text)
        if match is None and not text.isdecimal():
            raise Refusal(40004)
        delay_s = float(match[1]) * _UNITS_S[match[2]] if match else float(text) - self._now()
        if delay_s < _DELAY_MIN_S:
            raise Refusal(40005)
        if delay_s > _DELAY_MAX_S:
            raise Refusal(40006)
        return delay_s

    async def _clear(self, request: web.Request) -> web.Response:
        return self._mark(request, "message_clear")

    async def _delete(self, request: web.Request) -> web.Response:
        return self._mark(request, "message_delete")

    def _mark(self, request: web.Request, event: str) -> web.Response:
        topic, sequence = request.match_info["topic"], request.match_info["sequence"]
        self._allow(self._admit(request), topic, write=True)
        if not re.fullmatch(_NAME, sequence):
            raise Refusal(40049)
        return reply(self._take({"event": event, "topic": topic, "sequence_id": sequence}, 0.0, self._now()))

    def _take(self, message: Message, delay_s: float, received_s: float) -> Message:
        at_s = received_s + delay_s
        message |= {"id": self._id(), "time": int(at_s), "expires": int(at_s) + _KEEP_S}
        self._store(message, at_s, received_s)
        self.received.append(Received(message, received_s, asyncio.get_running_loop().time(), delay_s))
        if self._file is not None:
            with self._file.open("a", encoding="utf-8") as file:
                line = {"received_s": received_s, "deliver_s": at_s, "message": message}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
        return message

    def _store(self, message: Message, at_s: float, received_s: float) -> None:
        row = _Row(message, at_s)
        if message["event"] in ("message", "message_delete"):
            # Any publish of a sequence, and its deletion, cancel what is still scheduled; a clear does not.
            self.rows = [old for old in self.rows if old.at_s <= received_s or not _same(old, row)]
        self.rows.append(row)

    def _id(self) -> str:
        return f"m{next(self._ids):05d}{int(self._now() * 1000) % 1_000_000:06d}"

    async def _subscribe(self, request: web.Request) -> web.StreamResponse:
        topic = request.match_info["topic"]
        self._allow(self._admit(request), topic, write=False)
        poll = request.query.get("poll") in ("1", "true")
        scheduled = request.query.get("scheduled", request.query.get("sched")) in ("1", "true")
        since = request.query.get("since", "all" if poll else "none")
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson; charset=utf-8"})
        sent = {id(row) for row in self.rows} - {id(row) for row in self._since(topic, since)}
        await response.prepare(request)
        if not poll:
            await response.write(json.dumps({"event": "open", "topic": topic}).encode() + b"\n")
        while True:
            now_s = self._now()
            for row in sorted(self.rows, key=lambda row: row.at_s):
                due = row.message["topic"] == topic and (scheduled or row.at_s <= now_s)
                if due and id(row) not in sent:
                    sent.add(id(row))
                    await response.write(json.dumps(row.message, ensure_ascii=False).encode() + b"\n")
            if poll:
                return response
            await asyncio.sleep(0.02)

    def _since(self, topic: str, since: str) -> list[_Row]:
        """The cached messages that a `since` asks for; an unknown id asks for all of them."""
        rows = [row for row in self.rows if row.message["topic"] == topic]
        if since in ("all", "none"):
            return rows if since == "all" else []
        duration = re.fullmatch(r"(\d+)([smhd])", since)
        if duration or since.isdecimal():
            start_s = self._now() - int(duration[1]) * _UNITS_S[duration[2]] if duration else float(since)
            return [row for row in rows if row.message["time"] >= int(start_s)]
        if not re.fullmatch(r"[-_A-Za-z0-9]{12}", since):
            raise Refusal(40008)
        places = [place for place, row in enumerate(rows) if row.message["id"] == since]
        return rows[places[0] + 1 :] if places else rows


def _same(one: _Row, other: _Row) -> bool:
    return one.message["topic"] == other.message["topic"] and one.sequence == other.sequence


async def _serve(port: int, file: Path | None, version: str, tokens: Mapping[str, Access] | None) -> None:
    server = NtfyStandIn(version=version, file=file, tokens=tokens)
    await server.start(port=port)
    print(server.url, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A stand-in of an ntfy server, for tests.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--file", type=Path, default=None)
    parser.add_argument("--version", default="2.27.0")
    parser.add_argument("--token", default=None)
    chosen = parser.parse_args()
    asyncio.run(_serve(chosen.port, chosen.file, chosen.version, {chosen.token: Access()} if chosen.token else None))
