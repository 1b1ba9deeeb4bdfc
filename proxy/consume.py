"""``GET /consume`` from every broker at once, as one event stream."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import aiohttp
from starlette.types import Receive, Scope, Send

from common import logs
from common.errors import (
    BrokerUnreachable,
    InvalidRequest,
    MethodNotAllowed,
    TelemetryError,
    TopicConflict,
    Unavailable,
)
from common.http import sse
from common.http.body import integer, parameters
from common.retry import Backoff
from common.wire import DEFAULT_IN_FLIGHT, GOODBYE_EVENT, check_name
from proxy.members import Member
from proxy.proxy import Proxy
from proxy.upstream import passed_on

log = logs.get("proxy.consume")

MAX_IN_FLIGHT = 1_000_000
LAST_RETRY_SECONDS = 2.0
EVENT_END = b"\n\n"
GOODBYE = sse.encode(GOODBYE_EVENT, "", b'{"code":"STOPPING","reason":"the proxy is stopping"}')
GREW = sse.encode(
    GOODBYE_EVENT, "", b'{"code":"TOPIC_GREW","reason":"the topic has more partitions now"}'
)
FOR_THE_CLIENT = (b'"code":"KICKED"', b'"code":"TOPIC_GREW"')
BROKERS_GOODBYE = f"event: {GOODBYE_EVENT}\n".encode()


class Consume:
    """ASGI endpoint."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._proxy.lifecycle.stopping.is_set():
            raise Unavailable("the proxy is stopping")
        if scope["method"] == "HEAD":
            raise MethodNotAllowed("a stream without a body would lease messages for nobody")
        given = parameters(scope)
        topic = check_name(given.get("topic"), "topic")
        partitions = await self._proxy.partitions(topic)
        target = self._target(given | {"partitions": str(partitions)})
        fan_in = FanIn(self._proxy, topic, partitions, target, passed_on(scope))
        await fan_in.open()
        await fan_in.run(scope, receive, send)

    def _target(self, given: dict[str, str]) -> str:
        """The request each broker gets: its share of ``max_in_flight``, so the sum is kept."""
        total = integer(given, "max_in_flight", DEFAULT_IN_FLIGHT, 1, MAX_IN_FLIGHT)
        share = total // len(self._proxy.members)
        if not share:
            raise InvalidRequest(
                f"max_in_flight must be {len(self._proxy.members)} or more: one a broker"
            )
        return "/consume?" + urlencode(given | {"max_in_flight": str(share)})


class FanIn:
    """One client's stream, fed by one stream from each broker.

    The queue between them holds one chunk a broker: a client that does not read stops them all.
    """

    def __init__(
        self, proxy: Proxy, topic: str, partitions: int, target: str, headers: dict[str, str]
    ) -> None:
        self._proxy = proxy
        self._topic = topic
        self._partitions = partitions
        self._goodbye = GOODBYE
        self._target = target
        self._headers = headers
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue(len(proxy.members))
        self._opened: dict[str, aiohttp.ClientResponse] = {}

    async def open(self) -> None:
        """Open the streams that open; a request that a broker refuses is refused."""
        members = self._proxy.members.well()
        results = await asyncio.gather(
            *(self._open(member) for member in members), return_exceptions=True
        )
        errors = [result for result in results if isinstance(result, TelemetryError)]
        refusal = next((error for error in errors if is_refusal(error)), None)
        if any(isinstance(error, TopicConflict) for error in errors):
            self._proxy.unlearn(self._topic)
        if refusal is not None or not self._opened:
            self._close()
            raise refusal or BrokerUnreachable("no broker takes a consumer now")

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve until the client leaves, stops reading, or the proxy stops."""
        tasks = [asyncio.create_task(self._pump(member)) for member in self._proxy.members]
        tasks.append(asyncio.create_task(self._listen(receive)))
        tasks.append(asyncio.create_task(self._watch_stop()))
        try:
            await send(
                {"type": "http.response.start", "status": 200, "headers": sse.STREAM_HEADERS}
            )
            await self._serve(send)
        except TimeoutError:
            log.warning("stream cut: the client does not read")
            self._proxy.lifecycle.cut(scope["client"])
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._close()

    async def _serve(self, send: Send) -> None:
        while True:
            try:
                async with asyncio.timeout(self._proxy.options.heartbeat_seconds):
                    chunk = await self._chunks.get()
            except TimeoutError:
                chunk = sse.HEARTBEAT
            if chunk is None:
                break
            await self._send(send, chunk, more=True)
        await self._send(send, self._goodbye, more=False)

    async def _send(self, send: Send, chunk: bytes, more: bool) -> None:
        async with asyncio.timeout(self._proxy.options.send_timeout_seconds):
            await send({"type": "http.response.body", "body": chunk, "more_body": more})

    async def _listen(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        await self._chunks.put(None)

    async def _watch_stop(self) -> None:
        await self._proxy.lifecycle.stopping.wait()
        await self._chunks.put(None)

    async def _pump(self, member: Member) -> None:
        """Pass one broker's events on, over every loss of it."""
        backoff = Backoff(self._proxy.clock, LAST_RETRY_SECONDS)
        while True:
            try:
                answer = self._opened.pop(member.name, None) or await self._connect(member)
                async with answer:
                    async for events in whole_events(answer, self._proxy.options.max_event_bytes):
                        backoff.reset()
                        events, goodbye = split_goodbye(events)
                        if events:
                            await self._chunks.put(events)
                        if not is_passing(goodbye):
                            await self._end(goodbye)
            except TopicConflict:
                await self._look_at_topic()
            except (aiohttp.ClientError, TimeoutError, ConnectionError, TelemetryError) as error:
                log.debug("broker stream lost", broker=member.name, reason=repr(error))
            await backoff.wait()

    async def _end(self, goodbye: bytes) -> None:
        """End the client's stream with a broker's last word."""
        self._proxy.unlearn(self._topic)
        self._goodbye = goodbye
        await self._chunks.put(None)

    async def _look_at_topic(self) -> None:
        """A broker says that the partition count is another: if so the client has to come again."""
        self._proxy.unlearn(self._topic)
        if await self._proxy.partitions(self._topic) != self._partitions:
            await self._end(GREW)

    async def _open(self, member: Member) -> None:
        self._opened[member.name] = await self._connect(member)

    async def _connect(self, member: Member) -> aiohttp.ClientResponse:
        return await self._proxy.upstream.open_stream(member, self._target, self._headers)

    def _close(self) -> None:
        for answer in self._opened.values():
            answer.close()
        self._opened.clear()


async def whole_events(answer: aiohttp.ClientResponse, limit_bytes: int) -> AsyncIterator[bytes]:
    """A broker's events, as many as came together, never a part of one; not its goodbye."""
    held = b""
    async for chunk in answer.content.iter_any():
        held += chunk
        end = held.rfind(EVENT_END)
        if end < 0:
            if len(held) > limit_bytes:
                raise aiohttp.ClientPayloadError(f"an event is over {limit_bytes} bytes")
            continue
        events, held = held[: end + len(EVENT_END)], held[end + len(EVENT_END) :]
        yield events


def split_goodbye(events: bytes) -> tuple[bytes, bytes]:
    """Events, and the broker's last word if it is among them."""
    if events.startswith(BROKERS_GOODBYE):
        return b"", events
    at = events.rfind(b"\n" + BROKERS_GOODBYE)
    return (events, b"") if at < 0 else (events[: at + 1], events[at + 1 :])


def is_passing(goodbye: bytes) -> bool:
    """Whether a broker's goodbye is none, or only says that this broker stops."""
    return not any(code in goodbye for code in FOR_THE_CLIENT)


def is_refusal(error: TelemetryError) -> bool:
    """Whether an error is for the client to hear; a count that grew is not its fault."""
    return error.retry_after_seconds is None and not isinstance(error, TopicConflict)
