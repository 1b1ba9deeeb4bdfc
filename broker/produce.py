"""``POST /produce``: a body becomes one frame."""

from typing import NamedTuple

import msgspec
from starlette.types import Receive, Scope, Send

from broker.broker import Broker
from broker.commit import Draft
from broker.dedup import KEY as IDEMPOTENCY_KEY
from broker.events import text_flags
from broker.partition import Partition
from broker.topic import Topic
from common import ndjson
from common.errors import InvalidRequest, TooLarge
from common.http.answers import send_json
from common.http.body import header, integer, parameters, read_body
from common.journal.frame import EXTRA
from common.queue.base import Produced
from common.wire import (
    DURABILITIES,
    check_name,
    message_id,
    partition_for,
    read_count,
    unwrap_payload,
)

NDJSON = b"application/x-ndjson"
JSON = b"application/json"
HEADER_PREFIX = b"x-message-"
MAX_KEY = 256
MAX_HEADERS = 32
MAX_META_BYTES = 16 << 10


class Content(NamedTuple):
    """What a request brings: payloads in one body, how many, whether they are lines."""

    body: bytes
    messages: int
    lines: bool


class Produce:
    """ASGI endpoint."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._broker.letting_in("produce"):
            answer = await self._store(scope, receive)
        await send_json(send, answer)

    async def _store(self, scope: Scope, receive: Receive) -> Produced:
        options = self._broker.options
        given = parameters(scope)
        name = check_name(given.get("topic"), "topic")
        asked = read_durability(given)
        extra = read_extra(scope, given)
        key = read_idempotency_key(scope)
        body = await read_body(scope, receive, options.max_body_bytes)
        content = read_content(body, header(scope, b"content-type") or b"")
        if content.messages > options.max_batch:
            raise TooLarge(f"a request holds at most {options.max_batch} messages")
        topic = await self._broker.topics.ensure(name, read_count(given))
        durability = asked or topic.policy.durability
        partition = choose(topic, given, key)
        stored = await partition.produce(draft(content, extra, key), durability)
        return Produced(
            id=message_id(options.broker_name, partition.number, stored.offset),
            topic=name,
            partition=partition.number,
            offset=stored.offset,
            count=stored.messages,
            durability=durability,
            duplicate=stored.duplicate,
        )


def draft(content: Content, extra: dict[str, object], key: str) -> Draft:
    """What is stored: the body, and packed beside it what there is to say of it."""
    meta = extra | {IDEMPOTENCY_KEY: key} if key else extra
    packed = msgspec.msgpack.encode(meta) if meta else b""
    if len(packed) > MAX_META_BYTES:
        raise TooLarge(f"key and headers of a message are over {MAX_META_BYTES} bytes")
    flags = text_flags(content.body, content.lines) | (EXTRA if extra else 0)
    return Draft(content.body, content.messages, flags, packed, key)


def read_durability(given: dict[str, str]) -> str:
    """The durability a request asks for; empty when it does not."""
    durability = given.get("durability", "")
    if "durability" in given and durability not in DURABILITIES:
        raise InvalidRequest("durability must be memory, disk or fsync")
    return durability


def read_extra(scope: Scope, given: dict[str, str]) -> dict[str, object]:
    """Key and headers that consumers get to see."""
    extra: dict[str, object] = {}
    if "key" in given:
        if not 0 < len(given["key"]) <= MAX_KEY:
            raise InvalidRequest(f"a key has 1 to {MAX_KEY} characters")
        extra["key"] = given["key"]
    headers = {
        name.removeprefix(HEADER_PREFIX).decode("latin-1"): header_text(value)
        for name, value in scope["headers"]
        if name.startswith(HEADER_PREFIX)
    }
    if len(headers) > MAX_HEADERS:
        raise InvalidRequest(f"a message has at most {MAX_HEADERS} headers")
    if headers:
        extra["headers"] = headers
    return extra


def read_idempotency_key(scope: Scope) -> str:
    """The request's own name, empty when it has none."""
    key = (header(scope, b"idempotency-key") or b"").decode("latin-1")
    if len(key) > MAX_KEY or not (key.isascii() and key.isprintable()):
        raise InvalidRequest(f"an idempotency key is at most {MAX_KEY} printable ASCII characters")
    return key


def header_text(value: bytes) -> str:
    """A header's value as text: UTF-8 as clients send it now, or Latin-1 as they once did."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def read_content(body: bytes, content_type: bytes) -> Content:
    """Read a body by its content type: lines of messages, one JSON message, or one of any bytes."""
    kind = content_type.partition(b";")[0].strip().lower()
    if kind == NDJSON:
        return read_lines(body)
    if kind == JSON:
        try:
            message = bytes(msgspec.json.decode(body, type=msgspec.Raw))
            return Content(unwrap_payload(message), 1, False)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"the body is no JSON: {error}") from error
        except RecursionError as error:
            raise InvalidRequest("the body is nested too deep") from error
    return Content(body, 1, False)


def read_lines(body: bytes) -> Content:
    """One message a line."""
    lines, messages = ndjson.unpack(body)
    if not messages:
        raise InvalidRequest("the body holds no message")
    return Content(lines, messages, True)


def choose(topic: Topic, given: dict[str, str], idempotency_key: str) -> Partition:
    """The partition asked for, or that of a key, or the next in turn.

    A request with an idempotency key alone goes by that, so that its repeat meets it.
    """
    if "partition" in given:
        last = len(topic.partitions) - 1
        return topic.partition(integer(given, "partition", 0, 0, last))
    if "key" in given:
        return topic.partition(partition_for(given["key"], len(topic.partitions)))
    if idempotency_key:
        return topic.partition(partition_for(idempotency_key, len(topic.partitions)))
    return topic.next_partition()
