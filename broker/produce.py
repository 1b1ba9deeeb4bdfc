"""``POST /produce``: a body becomes one frame."""

from typing import NamedTuple

import msgspec
from starlette.types import Receive, Scope, Send

from broker.broker import Broker
from broker.events import text_flags
from broker.partition import Partition
from broker.topics import Topic
from common.errors import InvalidRequest, TooLarge, Unavailable
from common.http.answers import send_json
from common.http.body import header, integer, parameters, read_body
from common.queue.base import Produced
from common.wire import DURABILITIES, check_name, message_id, partition_for, unwrap_payload

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
        options = self._broker.options
        if self._broker.lifecycle.stopping.is_set():
            raise Unavailable("the broker is stopping")
        given = parameters(scope)
        name = check_name(given.get("topic"), "topic")
        durability = read_durability(given, options.durability)
        meta = read_meta(scope, given)
        body = await read_body(scope, receive, options.max_body_bytes)
        content = read_content(body, header(scope, b"content-type") or b"")
        if content.messages > options.max_batch:
            raise TooLarge(f"a request holds at most {options.max_batch} messages")
        partition = choose(await self._broker.topics.ensure(name), given)
        flags = text_flags(content.body, content.lines)
        record = await partition.produce(content.body, content.messages, flags, meta, durability)
        answer = Produced(
            id=message_id(options.broker_name, partition.number, record.offset),
            topic=name,
            partition=partition.number,
            offset=record.offset,
            count=record.count,
            durability=durability,
        )
        await send_json(send, answer)


def read_durability(given: dict[str, str], default: str) -> str:
    """The durability a request asks for."""
    durability = given.get("durability", default)
    if durability not in DURABILITIES:
        raise InvalidRequest("durability must be memory, disk or fsync")
    return durability


def read_meta(scope: Scope, given: dict[str, str]) -> bytes:
    """Key and headers of the messages, packed; empty when there are none."""
    meta: dict[str, object] = {}
    if "key" in given:
        if not 0 < len(given["key"]) <= MAX_KEY:
            raise InvalidRequest(f"a key has 1 to {MAX_KEY} characters")
        meta["key"] = given["key"]
    headers = {
        name.removeprefix(HEADER_PREFIX).decode("latin-1"): header_text(value)
        for name, value in scope["headers"]
        if name.startswith(HEADER_PREFIX)
    }
    if len(headers) > MAX_HEADERS:
        raise InvalidRequest(f"a message has at most {MAX_HEADERS} headers")
    if headers:
        meta["headers"] = headers
    packed = msgspec.msgpack.encode(meta) if meta else b""
    if len(packed) > MAX_META_BYTES:
        raise TooLarge(f"key and headers of a message are over {MAX_META_BYTES} bytes")
    return packed


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
    """One message a line; CR before LF belongs to the line end, empty lines are none."""
    if b"\r\n" in body:
        body = body.replace(b"\r\n", b"\n")
    body = body.strip(b"\n")
    if not body:
        raise InvalidRequest("the body holds no message")
    if b"\n\n" in body:
        body = b"\n".join(line for line in body.split(b"\n") if line)
    return Content(body, body.count(b"\n") + 1, True)


def choose(topic: Topic, given: dict[str, str]) -> Partition:
    """The partition that was asked for, or that of the key, or the next in turn."""
    if "partition" in given:
        last = len(topic.partitions) - 1
        return topic.partition(integer(given, "partition", 0, 0, last))
    if "key" in given:
        return topic.partition(partition_for(given["key"], len(topic.partitions)))
    return topic.next_partition()
