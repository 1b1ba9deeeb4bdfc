"""Many brokers' event streams as one."""

import asyncio
from typing import NamedTuple

import aiohttp
from starlette.types import Receive, Scope, Send

from common import logs
from common.errors import BrokerUnreachable, TelemetryError, TopicConflict
from common.http import sse
from common.queue.shares import Shares
from common.retry import Backoff
from common.wire import GOODBYE_EVENT
from proxy.events import is_passing, split_goodbye, whole_events
from proxy.member import Member
from proxy.proxy import Proxy

log = logs.get("proxy.consume")

LAST_RETRY_SECONDS = 2.0
STOPPING = sse.encode(GOODBYE_EVENT, "", b'{"code":"STOPPING","reason":"the proxy is stopping"}')
JOINED = sse.encode(
    GOODBYE_EVENT,
    "",
    b'{"code":"BROKERS_JOINED","reason":"max_in_flight is divided anew among more brokers"}',
)
GREW = sse.encode(
    GOODBYE_EVENT, "", b'{"code":"TOPIC_GREW","reason":"the topic has more partitions now"}'
)


class Wanted(NamedTuple):
    """What a client consumes: ``target`` is each broker's request, its share to be added."""

    topic: str
    partitions: int
    target: str
    max_in_flight: int
    headers: dict[str, str]


class FanIn:
    """One client's stream, fed by one stream from each broker, also from those that join later.

    The queue between them holds one chunk a broker: a client that does not read stops them all.
    """

    def __init__(self, proxy: Proxy, wanted: Wanted) -> None:
        self._proxy = proxy
        self._wanted = wanted
        self._shares = Shares(wanted.max_in_flight, [member.name for member in proxy.members])
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue(max(1, len(proxy.members)))
        self._opened: dict[str, aiohttp.ClientResponse] = {}
        self._pumps: dict[Member, asyncio.Task[None]] = {}
        self._last_word = STOPPING

    async def open(self) -> None:
        """Open the streams that open; a request that a broker refuses is refused."""
        members = self._proxy.members.well()
        results = await asyncio.gather(
            *(self._open(member) for member in members), return_exceptions=True
        )
        errors = [result for result in results if isinstance(result, TelemetryError)]
        refusal = next((error for error in errors if is_refusal(error)), None)
        if any(isinstance(error, TopicConflict) for error in errors):
            await self._proxy.topics.agree(self._wanted.topic)
        if refusal is not None or not self._opened:
            self._close()
            raise refusal or BrokerUnreachable("no broker takes a consumer now")

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve until the client leaves, stops reading, or the proxy stops."""
        tasks = [
            asyncio.create_task(work)
            for work in (self._follow(), self._listen(receive), self._watch_stop())
        ]
        try:
            await send(
                {"type": "http.response.start", "status": 200, "headers": sse.STREAM_HEADERS}
            )
            await self._serve(send)
        except TimeoutError:
            log.warning("stream cut: the client does not read")
            self._proxy.lifecycle.cut(scope["client"])
        finally:
            tasks += self._pumps.values()
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
        await self._send(send, self._last_word, more=False)

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

    async def _follow(self) -> None:
        """One pump a broker; without a share left for one that joined, the client begins anew."""
        members = self._proxy.members
        while True:
            for gone in [member for member in self._pumps if member not in members]:
                self._pumps.pop(gone).cancel()
                self._shares.give_back(gone.name)
            for member in members:
                if member in self._pumps:
                    continue
                if not self._shares.of(member.name):
                    return await self._end(JOINED)
                self._pumps[member] = asyncio.create_task(self._pump(member))
            await members.changed()

    async def _pump(self, member: Member) -> None:
        """Pass one broker's events on, over every loss of it."""
        backoff = Backoff(self._proxy.clock, LAST_RETRY_SECONDS)
        while True:
            try:
                answer = self._opened.pop(member.name, None) or await self._connect(member)
                async with answer:
                    async for events in whole_events(answer, self._proxy.options.max_event_bytes):
                        backoff.reset()
                        await self._pass_on(events)
            except TopicConflict:
                await self._look_at_topic()
            except (aiohttp.ClientError, TimeoutError, ConnectionError, TelemetryError) as error:
                log.debug("broker stream lost", broker=member.name, reason=repr(error))
            except Exception as error:  # a defect: told, and no reason to leave the broker unread
                log.error("broker stream failed", broker=member.name, exc_info=error)
            await backoff.wait()

    async def _pass_on(self, events: bytes) -> None:
        """A broker's goodbye ends the client's stream if it is meant for the client."""
        events, goodbye = split_goodbye(events)
        if events:
            await self._chunks.put(events)
        if not is_passing(goodbye):
            self._proxy.topics.forget(self._wanted.topic)
            await self._end(goodbye)

    async def _end(self, last_word: bytes) -> None:
        self._last_word = last_word
        await self._chunks.put(None)

    async def _look_at_topic(self) -> None:
        """A broker counts otherwise: if the topic grew, the client has to come again."""
        if await self._proxy.topics.agree(self._wanted.topic) != self._wanted.partitions:
            await self._end(GREW)

    async def _open(self, member: Member) -> None:
        self._opened[member.name] = await self._connect(member)

    async def _connect(self, member: Member) -> aiohttp.ClientResponse:
        share = self._shares.of(member.name)
        target = f"{self._wanted.target}&max_in_flight={share}"
        return await self._proxy.upstream.open_stream(member, target, self._wanted.headers)

    def _close(self) -> None:
        for answer in self._opened.values():
            answer.close()
        self._opened.clear()


def is_refusal(error: TelemetryError) -> bool:
    """Whether an error is for the client to hear; a count that grew is not its fault."""
    return error.retry_after_seconds is None and not isinstance(error, TopicConflict)
