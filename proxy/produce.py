"""``POST /produce`` through the ring."""

from collections.abc import AsyncIterator
from urllib.parse import urlencode

from starlette.types import Message, Receive, Scope, Send

from common.errors import BrokerUnreachable, TooLarge, Unavailable
from common.http.body import ClientGone, header, integer, parameters
from common.wire import check_name, partition_for
from proxy.proxy import Proxy
from proxy.upstream import Body, NotSentError, Reply, passed_on

CONFLICT = 409  # the topic grew, or one broker has not heard of it yet


class Produce:
    """ASGI endpoint: to the owner of the partition, or to who stands in for it."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._turn = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._proxy.lifecycle.stopping.is_set():
            raise Unavailable("the proxy is stopping")
        given = parameters(scope)
        topic = check_name(given.get("topic"), "topic")
        key = (header(scope, b"idempotency-key") or b"").decode("latin-1")
        partitions = await self._proxy.partitions(topic)
        partition = self._choose(given, partitions, key)
        body = await take_body(scope, receive, self._proxy.options.max_body_bytes)
        reply = await self._send(scope, given, partition, partitions, body)
        if reply.status == CONFLICT:
            self._proxy.unlearn(topic)
            if isinstance(body, bytes):
                partitions = await self._proxy.partitions(topic)
                partition = self._choose(given, partitions, key)
                reply = await self._send(scope, given, partition, partitions, body)
        if reply.status == CONFLICT:
            raise Unavailable(f"the brokers do not agree on the partitions of {topic} now")
        await reply.send(send)

    def _choose(self, given: dict[str, str], partitions: int, idempotency_key: str) -> int:
        if "partition" in given:
            return integer(given, "partition", 0, 0, partitions - 1)
        if "key" in given:
            return partition_for(given["key"], partitions)
        if idempotency_key:
            return partition_for(idempotency_key, partitions)
        self._turn = (self._turn + 1) % partitions
        return self._turn

    async def _send(
        self, scope: Scope, given: dict[str, str], partition: int, partitions: int, body: Body
    ) -> Reply:
        """Try the owner, then its stand-ins; only what surely was not done is tried again."""
        target = "/produce?" + urlencode(
            given | {"partition": str(partition), "partitions": str(partitions)}
        )
        headers, topic = passed_on(scope), given["topic"]
        order = self._proxy.members.in_order(topic, partition, partitions)
        ready = [member for member in order if member.ready]
        reason = "no broker is ready"
        for member in ready or order:
            try:
                reply = await self._proxy.upstream.call(member, "POST", target, headers, body)
            except NotSentError as error:
                reason = str(error)
                continue
            self._proxy.failovers += member is not order[0]
            return reply
        raise BrokerUnreachable(reason)


async def take_body(scope: Scope, receive: Receive, limit_bytes: int) -> Body:
    """A body that came whole as bytes, a longer one as a stream; both bounded."""
    declared = header(scope, b"content-length")
    if declared is not None and int(declared) > limit_bytes:
        raise TooLarge(f"the body is over {limit_bytes} bytes")
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    if message.get("more_body"):
        return stream_body(message, receive, limit_bytes)
    return bytes(message.get("body", b""))


async def stream_body(message: Message, receive: Receive, limit_bytes: int) -> AsyncIterator[bytes]:
    """The rest of a body as it arrives."""
    size = 0
    while True:
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit_bytes:
            raise TooLarge(f"the body is over {limit_bytes} bytes")
        if chunk:
            yield chunk
        if not message.get("more_body"):
            return
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
