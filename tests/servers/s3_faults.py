"""Between iv3 and a real S3 server: answers that are slow, refused, cut or lost. What is not spoiled is passed on as it
is.
"""

import asyncio
from dataclasses import dataclass
from typing import Self

_BUSY = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)


@dataclass
class Fault:
    """What is wrong just now. Nothing by default."""

    busy: bool = False  # every request is answered 503 SlowDown and not passed on
    delay_s: float = 0.0  # before each answer
    bytes_per_s: int = 0  # how fast an answer's body comes; 0: at once
    silent: bool = False  # requests are taken and never answered
    lost_answers: int = 0  # the next so many requests with a body arrive; their answer does not
    cut_answers: int = 0  # of the next so many answers with a body, half comes
    answer: tuple[int, bytes] | None = None  # (status, XML) for every request, not passed on


class S3Faults:
    """A proxy on loopback. `async with S3Faults(port) as proxy`, then set `proxy.fault`; `proxy.endpoint` is what
    `s3.endpoint` names.
    """

    def __init__(self, upstream_port: int) -> None:
        self._upstream = upstream_port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.fault = Fault()
        self.requests: list[str] = []  # method and path, in the order they came

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=1 << 20)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        if self._server is None:
            raise RuntimeError("the proxy was not started")
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            await self._one(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # whoever asked has gone, or the test is over
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request per connection: the next one comes on another."""
        head, body = await _message(reader, writer)
        self.requests.append(" ".join(head.split(b"\r\n", 1)[0].decode().split()[:2]))
        fault = self.fault
        if fault.silent:
            await asyncio.Event().wait()
        await asyncio.sleep(fault.delay_s)
        if fault.busy or fault.answer is not None:
            status, said = fault.answer or (503, _BUSY)
            writer.write(_answer(status, said))
            await writer.drain()
            return
        reply, content = await self._ask(head, body)
        if body and fault.lost_answers:
            fault.lost_answers -= 1
            return
        writer.write(reply)
        if content and fault.cut_answers:
            fault.cut_answers -= 1
            content = content[: len(content) // 2]
        step = max(1, fault.bytes_per_s // 10) if fault.bytes_per_s else len(content) or 1
        for start in range(0, len(content), step):
            writer.write(content[start : start + step])
            await writer.drain()
            if fault.bytes_per_s:
                await asyncio.sleep(0.1)
        await writer.drain()

    async def _ask(self, head: bytes, body: bytes) -> tuple[bytes, bytes]:
        """What the server answers."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._upstream, limit=1 << 20)
        try:
            writer.write(_without(head, b"expect") + body)
            await writer.drain()
            answer, content = await _message(reader, None, head=head.startswith(b"HEAD "))
        finally:
            writer.close()
        return _without(answer, b"connection").removesuffix(b"\r\n") + b"Connection: close\r\n\r\n", content


def _answer(status: int, said: bytes) -> bytes:
    return (
        b"HTTP/1.1 %d X\r\nContent-Type: application/xml\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        % (
            status,
            len(said),
        )
        + said
    )


def _fields(head: bytes) -> dict[bytes, bytes]:
    lines = head.split(b"\r\n")[1:]
    return {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines) if name}


def _without(head: bytes, name: bytes) -> bytes:
    lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.lower().startswith(name + b":")) + b"\r\n\r\n"


async def _message(
    reader: asyncio.StreamReader, answer_to: asyncio.StreamWriter | None, *, head: bool = False
) -> tuple[bytes, bytes]:
    """(head, body) of a request or an answer. Who waits for leave to send its body gets it."""
    first = await reader.readuntil(b"\r\n\r\n")
    fields = _fields(first)
    if answer_to is not None and fields.get(b"expect", b"").lower() == b"100-continue":
        answer_to.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await answer_to.drain()
    if head or first.startswith(b"HTTP/1.1 204"):
        return first, b""
    if fields.get(b"transfer-encoding", b"").lower() == b"chunked":
        return first, await _chunks(reader)
    return first, await reader.readexactly(int(fields.get(b"content-length", b"0")))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    raw = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        raw += line + await reader.readexactly(size + 2)
        if size == 0:
            return raw
