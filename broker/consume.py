"""``GET /consume``: messages as an event stream."""

import asyncio
from collections.abc import Callable

import msgspec
from starlette.types import Receive, Scope, Send

from broker.broker import Broker
from broker.events import batch_event, message_events
from broker.group import Group
from broker.member import STOPPING, Farewell, Member
from broker.partition import Partition
from broker.subscription import Handout, Limits, Subscription
from common import logs
from common.errors import GroupInUse, MethodNotAllowed, Overloaded, Unavailable
from common.http import sse
from common.http.body import integer, parameters
from common.wire import (
    DEFAULT_GROUP,
    DEFAULT_IN_FLIGHT,
    GOODBYE_EVENT,
    check_name,
    read_count,
    read_start,
)

log = logs.get("broker.consume")

SINGLES_AT_ONCE = 256


class Consume:
    """ASGI endpoint."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._broker.lifecycle.stopping.is_set():
            raise Unavailable("the broker is stopping")
        if scope["method"] == "HEAD":
            raise MethodNotAllowed("a stream without a body would lease messages for nobody")
        given = parameters(scope)
        limits = self._limits(given)
        group = check_name(given.get("group", DEFAULT_GROUP), "group")
        self._check_room()
        places = await self._places(given, group)
        self._check_room()  # others came meanwhile
        member = self._member(scope, whole="partition" not in given)
        subscription = Subscription(group, places, limits, self._broker.clock, member)
        encode = batch_event if "batch" in given else message_events
        await Stream(self._broker, subscription, encode).run(scope, receive, send)

    def _check_room(self) -> None:
        most = self._broker.options.max_streams
        if len(self._broker.streams) >= most:
            raise Overloaded(f"this broker has {most} open streams and takes no more")

    def _member(self, scope: Scope, whole: bool) -> Member:
        host, port = scope.get("client") or ("", 0)
        now_ms = int(self._broker.clock.wall() * 1000)
        return Member(self._broker.new_member(), f"{host}:{port}", now_ms, whole)

    def _limits(self, given: dict[str, str]) -> Limits:
        options = self._broker.options
        return Limits(
            in_flight=integer(given, "max_in_flight", DEFAULT_IN_FLIGHT, 1, options.max_in_flight),
            batch=integer(given, "batch", SINGLES_AT_ONCE, 1, options.max_batch),
            event_bytes=options.event_bytes,
            timeout_seconds=options.visibility_timeout_seconds,
        )

    async def _places(self, given: dict[str, str], group: str) -> list[tuple[Partition, Group]]:
        topic_name = check_name(given.get("topic"), "topic")
        start = read_start(given.get("from", "earliest"), "from")
        topic = await self._broker.topics.ensure(topic_name, read_count(given))
        topic.admit(group)
        partitions = list(topic.partitions)
        if "partition" in given:
            number = integer(given, "partition", 0, 0, len(partitions) - 1)
            partitions = [topic.partition(number)]
        places = [(part, await part.open_group(group, start)) for part in partitions]
        if any(part.groups.get(group) is not place for part, place in places):
            raise GroupInUse(f"group {group} is being forgotten; try again")
        grew = "partition" not in given and len(places) != len(topic.partitions)
        if grew or not self._broker.topics.has(topic):
            raise Unavailable(f"topic {topic_name} has just been changed; try again")
        return places


class Stream:
    """One open event stream, from its first byte to its last."""

    def __init__(
        self,
        broker: Broker,
        subscription: Subscription,
        encode: Callable[[str, Handout], bytes],
    ) -> None:
        self._broker = broker
        self._subscription = subscription
        self._encode = encode
        self._gone = False

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve until the client leaves, stops reading, or the broker stops."""
        listener = asyncio.create_task(self._listen(receive), name="consume-listener")
        self._subscription.open()
        self._broker.streams.add(self._subscription)
        try:
            await send(
                {"type": "http.response.start", "status": 200, "headers": sse.STREAM_HEADERS}
            )
            await self._serve(send)
        except TimeoutError:
            log.warning("stream cut: the client does not read")
            self._broker.lifecycle.cut(scope["client"])
        finally:
            self._broker.streams.discard(self._subscription)
            self._subscription.close()
            listener.cancel()

    async def _serve(self, send: Send) -> None:
        stopping = self._broker.lifecycle.stopping
        loop, heartbeat = asyncio.get_running_loop(), self._broker.options.heartbeat_seconds
        due = loop.time() + heartbeat
        subscription = self._subscription
        while not self._gone and not stopping.is_set() and not subscription.farewell:
            handout = await self._subscription.next()
            if handout is not None:
                await self._send(send, self._encode(self._broker.options.broker_name, handout))
            elif loop.time() < due:
                await self._subscription.wait(due - loop.time())
                continue
            else:
                await self._send(send, sse.HEARTBEAT)
            due = loop.time() + heartbeat
        if not self._gone:
            await self._send(send, goodbye(subscription.farewell or STOPPING), more=False)

    async def _send(self, send: Send, chunk: bytes, more: bool = True) -> None:
        async with asyncio.timeout(self._broker.options.send_timeout_seconds):
            await send({"type": "http.response.body", "body": chunk, "more_body": more})

    async def _listen(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._subscription.close()  # at once, though a slow disk holds up what reads for it
        self._subscription.wake()


def goodbye(farewell: Farewell) -> bytes:
    """The last event of a stream."""
    return sse.encode(GOODBYE_EVENT, "", msgspec.json.encode(farewell._asdict()))
