"""A network between a proxy and a broker that can be spoiled while it runs."""

import asyncio
import socket
import struct
from dataclasses import dataclass

from tests.support.faulty import CHUNK_BYTES, Listener

RST_AT_ONCE = struct.pack("ii", 1, 0)


@dataclass
class Poison:
    """What befalls the answers to requests that begin with ``head``, ``times`` of them.

    ``reset``: the connection is reset in place of the answer. ``swallow``: the answer never comes.
    ``trickle``: a byte at a time, ``tick_seconds`` between them. ``truncate``: ``keep`` bytes, then
    the end. ``garbage``: other bytes. ``stall``: the request does not even arrive.
    """

    kind: str
    head: bytes = b""
    times: int = 1_000_000
    keep: int = 0
    tick_seconds: float = 0.01


class ToxicLink(Listener):
    """Forwards to a server; ``poison`` says what goes wrong, None that nothing does."""

    def __init__(self, target_url: str) -> None:
        super().__init__()
        self.poison: Poison | None = None
        self.struck = 0
        self._target_port = int(target_url.rpartition(":")[2])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward both ways until one side ends."""
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        link = _Link(self, reader, writer, far_reader, far_writer)
        ways = [asyncio.create_task(link.ask()), asyncio.create_task(link.answer())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            far_writer.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    def strike(self, request: bytes) -> Poison | None:
        """The poison for a request, if it is one that is to suffer."""
        poison = self.poison
        if poison is None or poison.times <= 0 or not request.startswith(poison.head):
            return None
        poison.times -= 1
        self.struck += 1
        return poison


@dataclass
class _Link:
    """One connection of a link."""

    owner: ToxicLink
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    far_reader: asyncio.StreamReader
    far_writer: asyncio.StreamWriter
    poison: Poison | None = None

    async def ask(self) -> None:
        """Requests on their way to the server."""
        while chunk := await self.reader.read(CHUNK_BYTES):
            self.poison = self.owner.strike(chunk) or self.poison
            if self.poison is not None and self.poison.kind == "stall":
                await asyncio.Event().wait()
            self.far_writer.write(chunk)
            await self.far_writer.drain()

    async def answer(self) -> None:
        """Answers on their way back."""
        while chunk := await self.far_reader.read(CHUNK_BYTES):
            if self.poison is None:
                self.writer.write(chunk)
                await self.writer.drain()
            elif not await self._spoil(self.poison, chunk):
                return

    async def _spoil(self, poison: Poison, chunk: bytes) -> bool:
        """Treat a part of an answer; False ends the connection."""
        if poison.kind == "reset":
            sock: socket.socket = self.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_AT_ONCE)
            self.writer.transport.abort()
            return False
        if poison.kind == "trickle":
            for at in range(len(chunk)):
                self.writer.write(chunk[at : at + 1])
                await self.writer.drain()
                await asyncio.sleep(poison.tick_seconds)
        if poison.kind == "truncate":
            self.writer.write(chunk[: poison.keep])
            await self.writer.drain()
            self.writer.write_eof()
            await self.reader.read(CHUNK_BYTES)
            return False
        if poison.kind == "garbage":
            self.writer.write(bytes(255 - byte for byte in chunk))
            await self.writer.drain()
        return True
