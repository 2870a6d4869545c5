"""A line that fails as it is told to, between a client and an HTTP server: refusals of its own, requests cut, answers
lost, silence.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


@dataclass
class Fault:
    """What happens to the next `times` requests that `hits` picks. The request reaches the server only where
    `reaches`.
    """

    times: int
    answer: bytes | None = None  # None: the connection is reset instead
    reaches: bool = False
    hits: Callable[[str], bool] = lambda _: True
    silence_s: float = 0.0


@dataclass
class Seen:
    """A request that came: when (loop time), what, and whether it was passed on."""

    at: float
    line: str
    passed: bool


@dataclass
class FaultProxy:
    """One request for each connection to the server: slow, and easy to reason about."""

    target: str
    faults: list[Fault] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self._open: set[asyncio.StreamWriter] = set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._server.close()
        for writer in list(self._open):
            _reset(writer)

    @property
    def url(self) -> str:
        """Where clients ask."""
        return f"http://127.0.0.1:{self.port}"

    # -- what can go wrong -------------------------------------------------------------------------

    def refuse(
        self,
        status: int,
        times: int,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        **more: Callable[[str], bool],
    ) -> None:
        """Answer requests here, as a proxy or a tired server does."""
        fields = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        head = f"HTTP/1.1 {status} Said\r\n{fields}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        self.faults.append(Fault(times, head.encode() + body, **more))

    def cut(self, times: int) -> None:
        """Reset the connection before the server has heard anything."""
        self.faults.append(Fault(times))

    def lose_answers(self, times: int) -> None:
        """The server does as it is told, and nobody learns of it."""
        self.faults.append(Fault(times, reaches=True))

    def say_nothing(self, times: int, silence_s: float) -> None:
        """Keep the connection open for so long, and then reset it."""
        self.faults.append(Fault(times, silence_s=silence_s))

    # -- the line ----------------------------------------------------------------------------------

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._one(reader, writer)
        finally:
            self._open.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        said = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in fields)}
        body = await reader.readexactly(int(said.get("content-length", 0)))
        fault = self._fault(line)
        passed = fault is None or fault.reaches
        self.seen.append(Seen(asyncio.get_running_loop().time(), line, passed))
        if fault is not None and fault.silence_s:
            await asyncio.sleep(fault.silence_s)
        reply = await self._pass_on(line, fields, body) if passed else b""
        if fault is None:
            writer.write(reply)
        elif fault.answer is not None:
            writer.write(fault.answer)
        else:
            _reset(writer)
            return
        await writer.drain()

    def _fault(self, line: str) -> Fault | None:
        for fault in self.faults:
            if fault.times and fault.hits(line):
                fault.times -= 1
                return fault
        return None

    async def _pass_on(self, line: str, fields: list[str], body: bytes) -> bytes:
        parts = urlsplit(self.target)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        kept = [one for one in fields if not one.lower().startswith("connection:")]
        writer.write("\r\n".join([line, *kept, "Connection: close", "", ""]).encode("latin-1") + body)
        try:
            return await reader.read()
        finally:
            writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset instead of a goodbye."""
    link = writer.get_extra_info("socket")
    if link is not None:
        with suppress(OSError):
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
