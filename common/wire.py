"""The words of the wire protocol: names, receipts, and the JSON that brokers write.

``docs/protocol.md`` is the text of which this is the letter.
"""

import re
from typing import Annotated, NamedTuple

import msgspec
import xxhash

from common.clock import from_rfc3339
from common.errors import InvalidRequest, ReceiptInvalid
from common.http.body import integer

JSON_SPACE = b" \t\r\n"
DURABILITIES = ("memory", "disk", "fsync")
MESSAGE_EVENT = "message"
BATCH_EVENT = "batch"
GOODBYE_EVENT = "goodbye"
DEFAULT_GROUP = "default"
DEFAULT_IN_FLIGHT = 1000
MAX_PARTITIONS = 256
LINES = "lines"
ENVELOPES = "json"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_RECEIPT = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9._-]{0,127}):(\d{1,6}):(\d{1,18})(?:-(\d{1,18}))?:([0-9a-f]{1,32})"
)

_MESSAGE_ID = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,127}):(\d{1,6}):(\d{1,18})", re.ASCII)


class Receipt(NamedTuple):
    """What a consumer shows to settle messages ``first`` to ``last`` of one delivery."""

    broker: str
    partition: int
    first: int
    last: int
    delivery: str

    def __str__(self) -> str:
        span = f"{self.first}-{self.last}" if self.last > self.first else f"{self.first}"
        return f"{self.broker}:{self.partition}:{span}:{self.delivery}"


class MessageId(NamedTuple):
    """Where a message lies: its broker, partition and offset within its topic."""

    broker: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.broker}:{self.partition}:{self.offset}"


class MessageEnvelope(msgspec.Struct, omit_defaults=True):
    """One message as JSON: the data of a ``message`` event, and a line of a ``json`` batch."""

    id: str
    topic: str
    partition: int
    offset: int
    created_at: str
    attempt: int = 0
    receipt: str = ""
    key: str | None = None
    headers: dict[str, str] | None = None
    payload: str | None = None
    payload_base64: str | None = None


class BatchHead(msgspec.Struct):
    """The first data line of a ``batch`` event; ``count`` lines follow.

    ``encoding`` is ``lines`` (each line is a payload as it was produced) or ``json`` (each line is
    a MessageEnvelope).
    """

    receipt: str
    topic: str
    partition: int
    offset: int
    count: int
    attempt: int
    encoding: str


class LetterEnvelope(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """One dead letter as a consumer writes it; ``id`` names it, so that a repeat changes nothing.

    ``offset`` and ``attempts`` are those of the message that the payload came with.
    """

    id: str
    offset: Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)] = 0
    attempts: Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)] = 0
    error: str = ""
    payload: str | None = None
    payload_base64: str | None = None


class SettleRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``POST /ack``: one receipt, or many."""

    id: str = ""
    ids: list[str] = []

    def receipts(self) -> list[str]:
        """All receipts of the request; none at all is refused."""
        found = [self.id, *self.ids] if self.id else self.ids
        if not found:
            raise InvalidRequest('the body must be {"id": receipt} or {"ids": [receipt, ...]}')
        return found


def check_name(name: str | None, what: str) -> str:
    """Return a topic's or group's name if it is one: 1 to 128 of ``A-Za-z0-9._-``, no ``..``."""
    if name is None:
        raise InvalidRequest(f"the parameter {what} is required")
    if not _NAME.fullmatch(name) or ".." in name:
        raise InvalidRequest(f"{what} must be 1 to 128 of A-Z a-z 0-9 . _ - and hold no '..'")
    return name


def read_start(text: str, what: str) -> str:
    """A place in a partition: ``earliest``, ``latest``, an offset or an RFC 3339 time."""
    if text in ("earliest", "latest") or (text.isascii() and text.isdigit() and len(text) < 19):
        return text
    if start_time(text) is not None:
        return text
    raise InvalidRequest(
        f"{what} must be earliest, latest, an offset or a time such as 2025-07-18T20:42:34Z"
    )


def start_time(text: str) -> int | None:
    """The time a place is given by, in milliseconds since 1970 UTC; None when it is no time."""
    return None if text.isdigit() else from_rfc3339(text)


def read_count(given: dict[str, str]) -> int | None:
    """The partition count a request takes for granted, if it says one."""
    if "partitions" not in given:
        return None
    return integer(given, "partitions", 0, 1, MAX_PARTITIONS)


def parse_receipt(text: str) -> Receipt:
    """Read a receipt back; raises ReceiptInvalid."""
    found = _RECEIPT.fullmatch(text)
    if found is None:
        raise ReceiptInvalid("that is no receipt; it is the id of an event, not of a message")
    broker, partition, first, last, delivery = found.groups()
    receipt = Receipt(broker, int(partition), int(first), int(last or first), delivery)
    if receipt.last < receipt.first:
        raise ReceiptInvalid("the receipt's range runs backwards")
    return receipt


def parse_message_id(text: str) -> MessageId:
    """Read a message's id back; raises InvalidRequest."""
    found = _MESSAGE_ID.fullmatch(text)
    if found is None:
        raise InvalidRequest("a message's id is broker:partition:offset")
    return MessageId(found[1], int(found[2]), int(found[3]))


def partition_for(key: str, partitions: int) -> int:
    """The partition of a key: the same in every process, as long as the count stands."""
    return xxhash.xxh3_64_intdigest(key.encode()) % partitions


def message_id(broker: str, partition: int, offset: int | str) -> str:
    """A message's id within its topic: unique in the cluster, and says where it lies."""
    return f"{broker}:{partition}:{offset}"


def unwrap_payload(body: bytes) -> bytes:
    """Return the payload of a JSON produce: the body, or what its only key ``payload`` holds."""
    if body.lstrip(JSON_SPACE)[:1] != b"{":
        return body
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    if fields.keys() != {"payload"}:
        return body
    raw = bytes(fields["payload"])
    return msgspec.json.decode(raw, type=str).encode() if raw[:1] == b'"' else raw
