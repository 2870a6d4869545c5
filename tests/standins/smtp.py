"""A mail server that keeps what it is sent: just enough of SMTP (RFC 5321) for a client of the standard library."""

import asyncio
from email import message_from_bytes
from typing import Any


class MailSink:
    """`mails` holds every message taken. `refuse` makes it answer recipients with 550, `broken` makes it hang up at
    once.
    """

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.refuse = self.broken = False
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if not self.broken:
                await self._converse(reader, writer)
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 sink\r\n")
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"QUIT":
                writer.write(b"221 bye\r\n")
                return
            if verb == b"DATA":
                writer.write(b"354 go on\r\n")
                data = await reader.readuntil(b"\r\n.\r\n")
                self.mails.append(message_from_bytes(data[:-5]))
            writer.write(b"550 nobody here\r\n" if self.refuse and verb == b"RCPT" else b"250 fine\r\n")
            await writer.drain()
