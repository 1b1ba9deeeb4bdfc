"""A small client that shows the wire as it is: statuses, headers, events."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Self

import aiohttp
import msgspec
from yarl import URL

from common.http import sse
from common.wire import ENVELOPES, GOODBYE_EVENT

TOKEN = "a-token-that-only-tests-know"
EVENT_SECONDS = 10.0
MAX_EVENT_BYTES = 64 << 20


class Answer:
    """One whole answer."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str:
        """The code of an error answer."""
        return str(self.json["error"]["code"])


class Events:
    """An open event stream."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self._answer = answer
        self._parser = sse.Parser(MAX_EVENT_BYTES)
        self._ready: list[sse.Event] = []

    async def next(self, seconds: float = EVENT_SECONDS) -> sse.Event:
        """The next event; raises TimeoutError, or EOFError at the end of the stream."""
        async with asyncio.timeout(seconds):
            while not self._ready:
                self._ready += self._parser.feed(await self.chunk())
        return self._ready.pop(0)

    async def chunk(self) -> bytes:
        """Bytes as they come; raises EOFError at the end of the stream."""
        chunk = await self._answer.content.readany()
        if not chunk:
            raise EOFError
        return chunk

    async def message(self) -> dict[str, Any]:
        """The envelope of the next event."""
        envelope: dict[str, Any] = msgspec.json.decode((await self.next()).data[0])
        return envelope

    async def messages(self, count: int) -> list[dict[str, Any]]:
        """The envelopes of the next ``count`` events."""
        return [await self.message() for _ in range(count)]

    async def batch(self) -> tuple[dict[str, Any], list[bytes]]:
        """The head and the payloads of the next ``batch`` event; EOFError for a goodbye."""
        event = await self.next()
        if event.type == GOODBYE_EVENT:
            raise EOFError
        head, *lines = event.data
        decoded: dict[str, Any] = msgspec.json.decode(head)
        if decoded["encoding"] == ENVELOPES:
            lines = [payload(msgspec.json.decode(line)) for line in lines]
        return decoded, lines

    def close(self) -> None:
        """Drop the connection."""
        self._answer.close()


class BrokerClient:
    """Speaks to one broker or proxy; ``token=None`` shows none."""

    def __init__(self, url: str, token: str | None = TOKEN) -> None:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._url = url
        self._session = aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=30),
            auto_decompress=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def request(self, method: str, path: str, **given: Any) -> Answer:
        """One request, its path sent as it is given, followed nowhere."""
        url = URL(self._url + path, encoded=True)
        async with self._session.request(method, url, allow_redirects=False, **given) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def produce(self, topic: str, body: bytes, **given: Any) -> Answer:
        """``POST /produce``; parameters by name, ``headers`` apart, raw bytes by default."""
        headers = {"Content-Type": "application/octet-stream"} | given.pop("headers", {})
        parameters = {"topic": topic} | {name: str(value) for name, value in given.items()}
        return await self.request("POST", "/produce", params=parameters, data=body, headers=headers)

    async def produce_lines(self, topic: str, *payloads: bytes, **given: Any) -> Answer:
        """``POST /produce`` with a message a line."""
        headers = {"Content-Type": "application/x-ndjson"}
        return await self.produce(topic, b"\n".join(payloads), headers=headers, **given)

    async def settle(self, topic: str, *receipts: str, group: str = "default") -> Answer:
        """``POST /ack``."""
        return await self.request(
            "POST", "/ack", params={"topic": topic, "group": group}, json={"ids": receipts}
        )

    @contextlib.asynccontextmanager
    async def consume(self, topic: str, **given: Any) -> AsyncIterator[Events]:
        """``GET /consume``; ``start`` is the parameter ``from``, ``headers`` are apart."""
        headers = given.pop("headers", {})
        parameters = {"topic": topic} | {name: str(value) for name, value in given.items()}
        if "start" in parameters:
            parameters["from"] = parameters.pop("start")
        async with self._session.get(
            f"{self._url}/consume", params=parameters, headers=headers
        ) as answer:
            events = Events(answer)
            try:
                yield events
            finally:
                events.close()

    async def groups(self, topic: str, group: str = "default") -> list[dict[str, Any]]:
        """The rows of ``GET /groups`` for one group."""
        rows = (await self.request("GET", "/groups", params={"topic": topic})).json["groups"]
        return [row for row in rows if row["group"] == group]

    async def books(self, topic: str, partition: int = 0, group: str = "default") -> dict[str, Any]:
        """The row of one group in one partition."""
        rows = await self.groups(topic, group)
        return next(row for row in rows if row["partition"] == partition)

    async def is_ready(self) -> bool:
        """``GET /ready``; False also while nobody listens."""
        try:
            return (await self.request("GET", "/ready")).status == 200
        except aiohttp.ClientError:
            return False


def payload(envelope: dict[str, Any]) -> bytes:
    """The payload of an envelope, byte for byte."""
    if "payload" in envelope:
        return str(envelope["payload"]).encode()
    return base64.b64decode(envelope["payload_base64"])
