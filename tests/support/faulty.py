"""Network and brokers that misbehave on purpose, on loopback ports of their own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec

from tests.support.listening import stop_listening

CHUNK_BYTES = 1 << 16


class Listener:
    """A TCP server whose connections can be cut; it keeps its port when it is shut."""

    def __init__(self) -> None:
        self.port = 0
        self._accepting = False
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def open(self) -> None:
        """Accept connections, on the port of the last time if there was one."""
        self._accepting = True
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Refuse connections and cut those that are there, or on their way in."""
        self._accepting = False
        if self._server is not None:
            await stop_listening([self._server])
        await self.cut()

    async def cut(self) -> None:
        """Cut the connections that are there; new ones are taken."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak to one client."""
        raise NotImplementedError

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._accepting:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._guard(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: writer.transport.abort())

    async def _guard(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self.serve(reader, writer)


class Gate(Listener):
    """Forwards to a server, its answers in pieces of ``piece_bytes``."""

    def __init__(self, target_url: str, piece_bytes: int = CHUNK_BYTES) -> None:
        super().__init__()
        self.connections = 0
        self._target_port = int(target_url.rpartition(":")[2])
        self._piece_bytes = piece_bytes

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward both ways until one side ends."""
        self.connections += 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        ways = [
            asyncio.create_task(pour(reader, far_writer, CHUNK_BYTES)),
            asyncio.create_task(pour(far_reader, writer, self._piece_bytes)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            far_writer.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


class FaultyBroker(Listener):
    """Calls itself well, and answers everything else with ``answer``; with None, never.

    ``paths`` gives other answers by path. ``heads`` keeps the head of every request.
    """

    def __init__(self, name: str, answer: bytes | None, **paths: bytes | None) -> None:
        super().__init__()
        self.heads: list[bytes] = []
        self._answers: dict[str, bytes | None] = {
            "ready": http_answer(200, {"ready": True}),
            "stats": http_answer(200, {"broker": name}),
            **paths,
        }
        self._answer = answer
        self._then: bytes | None = None
        self._then_after: int | None = None

    def requests(self, path: str) -> list[bytes]:
        """The heads of the requests for a path."""
        return [head for head in self.heads if path_of(head) == path]

    def then(self, answer: bytes | None, after: int) -> None:
        """Answer something else after so many requests."""
        self._then, self._then_after = answer, len(self.heads) + after

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, then close."""
        head = await reader.readuntil(b"\r\n\r\n")
        if self._then_after is not None and len(self.heads) >= self._then_after:
            self._answer = self._then
        self.heads.append(head)
        answer = self._answers.get(path_of(head), self._answer)
        if answer is None:
            await reader.read(-1)
            return
        writer.write(answer)
        await writer.drain()
        writer.write_eof()
        await reader.read(-1)


def path_of(head: bytes) -> str:
    """The path of a request, without its first slash."""
    return head.split(b" ")[1].partition(b"?")[0].decode().removeprefix("/")


def http_answer(status: int, body: object, **headers: str) -> bytes:
    """A whole HTTP answer; a body that is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(content)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


async def pour(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, piece_bytes: int
) -> None:
    """Copy until the end, in pieces that the other side sees one by one."""
    while chunk := await reader.read(CHUNK_BYTES):
        for at in range(0, len(chunk), piece_bytes):
            writer.write(chunk[at : at + piece_bytes])
            await writer.drain()
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def opened(*listeners: Listener) -> AsyncIterator[None]:
    """Open listeners, and shut them at the end."""
    try:
        for listener in listeners:
            await listener.open()
        yield
    finally:
        for listener in listeners:
            await listener.shut()
