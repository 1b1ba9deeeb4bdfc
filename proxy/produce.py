"""``POST /produce`` through the ring."""

from collections.abc import AsyncIterator
from typing import NamedTuple
from urllib.parse import urlencode

from starlette.types import Message, Receive, Scope, Send

from common.errors import BrokerUnreachable, Draining, TooLarge, TopicConflict, Unavailable
from common.http.body import ClientGone, header, integer, parameters, read_body
from common.queue.http import as_error
from common.wire import check_name, partition_for
from proxy.member import Member
from proxy.proxy import NO_BROKER, Proxy
from proxy.upstream import Body, NotSentError, Reply, passed_on, unless_gone

CONFLICT = TopicConflict.status
WHOLE_BYTES = 1 << 20


class Request(NamedTuple):
    """One produce on its way to a broker."""

    topic: str
    partition: int
    given: dict[str, str]
    headers: dict[str, str]
    body: Body
    key: str
    path: str
    repeatable: bool

    def target(self, partitions: int) -> str:
        """What the broker is asked, the count that the partition was chosen by included."""
        placed = {"partition": str(self.partition), "partitions": str(partitions)}
        return f"{self.path}?" + urlencode(self.given | placed)

    @property
    def whole(self) -> bool:
        """Whether the body is at hand and can be sent once more."""
        return isinstance(self.body, bytes)


class Produce:
    """ASGI endpoint: to the owner of the partition, or to who stands in for it.

    ``repeatable`` requests change nothing the second time even without an idempotency key.
    """

    path = "/produce"
    repeatable = False

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._turn = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._proxy.lifecycle.stopping.is_set():
            raise Unavailable("the proxy is stopping")
        given = parameters(scope)
        topic = check_name(given.get("topic"), "topic")
        key = (header(scope, b"idempotency-key") or b"").decode("latin-1")
        partitions = await self._proxy.topics.count(topic)
        partition = self._choose(given, partitions, key)
        body = await take_body(scope, receive, self._proxy.options.max_body_bytes)
        repeatable = bool(key) or self.repeatable
        request = Request(
            topic, partition, given, passed_on(scope), body, key, self.path, repeatable
        )
        async with unless_gone(receive if request.whole else None):
            reply = await self._send(request, partitions)
            if reply.status == CONFLICT:
                reply = await self._send_agreed(request)
        await reply.send(send)

    async def _send_agreed(self, request: Request) -> Reply:
        """The topic grew, or one broker has not heard of it yet: agree on the count, then again."""
        partitions = await self._proxy.topics.agree(request.topic)
        reply = None
        if request.whole:
            partition = self._choose(request.given, partitions, request.key)
            reply = await self._send(request._replace(partition=partition), partitions)
        if reply is None or reply.status == CONFLICT:
            raise Unavailable(f"the brokers did not agree on the partitions of {request.topic}")
        return reply

    def _choose(self, given: dict[str, str], partitions: int, idempotency_key: str) -> int:
        if "partition" in given:
            return integer(given, "partition", 0, 0, partitions - 1)
        if "key" in given:
            return partition_for(given["key"], partitions)
        if idempotency_key:
            return partition_for(idempotency_key, partitions)
        self._turn = (self._turn + 1) % partitions
        return self._turn

    async def _send(self, request: Request, partitions: int) -> Reply:
        """Try the owner, then its stand-ins; only what surely was not done is tried again."""
        order = self._proxy.members.in_order(request.topic, request.partition, partitions)
        if not order and len(self._proxy.members):
            raise Draining("every broker drains")
        ready = [member for member in order if member.ready]
        reason, drained = NO_BROKER, None
        for member in ready or order:
            try:
                reply = await self._ask(member, request, partitions)
            except NotSentError as error:
                reason = str(error)
                continue
            if is_draining(reply):
                self._proxy.members.set_draining(member, True)
                if request.whole:
                    drained = reply
                    continue
            self._proxy.failovers += member is not order[0]
            return reply
        if drained is not None:
            return drained
        raise BrokerUnreachable(reason)

    async def _ask(self, member: Member, request: Request, partitions: int) -> Reply:
        """Ask one broker; what may be repeated is asked again when the broker broke off.

        Raises NotSentError also for such a request to a broker that is down by now: whatever it
        stored of it, a repeat would be stored by its stand-in.
        """
        target = request.target(partitions)
        for last in (False, True):
            try:
                return await self._proxy.upstream.call(
                    member, "POST", target, request.headers, request.body
                )
            except BrokerUnreachable as error:
                if not (request.repeatable and request.whole):
                    raise
                if not member.ready:
                    raise NotSentError(str(error)) from error
                if last:
                    raise
        raise AssertionError("the last try answers or raises")


class WriteLetters(Produce):
    """``POST /dlq``: as a produce; letters have ids of their own."""

    path = "/dlq"
    repeatable = True


def is_draining(reply: Reply) -> bool:
    """Whether a broker takes no produce since it is to be removed."""
    if reply.status != Draining.status:
        return False
    return as_error(reply.status, reply.body).code == Draining.code


async def take_body(scope: Scope, receive: Receive, limit_bytes: int) -> Body:
    """A body as bytes when it says that it is short, and as a stream when not; both bounded.

    What is at hand can be sent once more, and goes out in one piece.
    """
    declared = header(scope, b"content-length")
    if declared is not None and int(declared) <= min(WHOLE_BYTES, limit_bytes):
        return await read_body(scope, receive, limit_bytes, inflated=False)
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
