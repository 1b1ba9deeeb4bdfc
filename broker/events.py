"""Handouts as event-stream bytes: one event a message, or one event for them all."""

import base64
from collections.abc import Iterator

import msgspec

from broker.subscription import Handout
from common.clock import to_rfc3339
from common.http import sse
from common.journal.frame import EXTRA, LINES, TEXT, Record
from common.wire import (
    BATCH_EVENT,
    ENVELOPES,
    MESSAGE_EVENT,
    BatchHead,
    MessageEnvelope,
    Receipt,
    message_id,
)
from common.wire import LINES as LINES_ENCODING

_encode = msgspec.json.Encoder().encode
_MESSAGE = b"event: " + MESSAGE_EVENT.encode() + b"\nid: %b\ndata: %b\n\n"
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r"))


def message_events(broker: str, handout: Handout) -> bytes:
    """One ``message`` event for each message, each with its own receipt."""
    lease = handout.lease
    events: list[bytes] = []
    for record, first, last in parts(handout):
        for envelope in envelopes(broker, handout, record, first, last):
            envelope.attempt = lease.attempt
            envelope.receipt = f"{envelope.id}:{lease.delivery}"
            receipt, data = envelope.receipt.encode(), _encode(envelope)
            events.append(_MESSAGE % (receipt, data))
    return b"".join(events)


def batch_event(broker: str, handout: Handout) -> bytes:
    """One ``batch`` event: a head line, then a line a message."""
    lease = handout.lease
    receipt = receipt_for(broker, handout, lease.start, lease.stop - 1)
    bare = all(record.flags & TEXT and not record.flags & EXTRA for record in handout.records)
    head = BatchHead(
        receipt=receipt,
        topic=handout.partition.topic,
        partition=handout.partition.number,
        offset=lease.start,
        count=lease.stop - lease.start,
        attempt=lease.attempt,
        encoding=LINES_ENCODING if bare else ENVELOPES,
    )
    lines = bare_lines(handout) if bare else envelope_lines(broker, handout)
    return sse.encode(BATCH_EVENT, receipt, msgspec.json.encode(head), *lines)


def bare_lines(handout: Handout) -> Iterator[bytes]:
    """The payloads as they were produced; a record that is handed out whole is not split."""
    for record, first, last in parts(handout):
        if last - first == record.count:
            yield record.body
        else:
            yield b"\n".join(record.payloads()[first:last])


def envelope_lines(broker: str, handout: Handout) -> Iterator[bytes]:
    """A MessageEnvelope a message, for payloads that are no plain lines or have more to say."""
    for record, first, last in parts(handout):
        for envelope in envelopes(broker, handout, record, first, last):
            yield _encode(envelope)


def parts(handout: Handout) -> Iterator[tuple[Record, int, int]]:
    """Each record with the first and last (exclusive) index of what is leased of it."""
    lease = handout.lease
    for record in handout.records:
        first = max(lease.start - record.offset, 0)
        yield record, first, min(lease.stop - record.offset, record.count)


def envelopes(
    broker: str, handout: Handout, record: Record, first: int, last: int
) -> Iterator[MessageEnvelope]:
    """The messages ``first`` to ``last`` (exclusive) of a record, without receipts."""
    partition = handout.partition
    return record_envelopes(broker, partition.topic, partition.number, record, first, last)


def record_envelopes(
    broker: str, topic: str, partition: int, record: Record, first: int, last: int
) -> Iterator[MessageEnvelope]:
    """Messages of a record as JSON envelopes: text where it is text, base64 where it is not.

    It is the same envelope each time, filled anew: encode it before the next one is taken.
    """
    meta = msgspec.msgpack.decode(record.meta) if record.meta else {}
    envelope = MessageEnvelope(
        id="",
        topic=topic,
        partition=partition,
        offset=0,
        created_at=to_rfc3339(record.created_at),
        key=meta.get("key"),
        headers=meta.get("headers"),
    )
    before = message_id(broker, partition, "")
    for offset, payload in enumerate(record.payloads()[first:last], record.offset + first):
        envelope.id, envelope.offset = f"{before}{offset}", offset
        envelope.payload, envelope.payload_base64 = as_text(payload)
        yield envelope


def as_text(payload: bytes) -> tuple[str | None, str | None]:
    """The payload as text, or else in base64.

    Control characters go in base64 too: as JSON escapes they would grow six-fold.
    """
    try:
        if len(payload.translate(None, _CONTROLS)) == len(payload):
            return payload.decode(), None
    except UnicodeDecodeError:
        pass
    return None, base64.b64encode(payload).decode("ascii")


def receipt_for(broker: str, handout: Handout, first: int, last: int) -> str:
    """The receipt of messages ``first`` to ``last`` of a handout."""
    return str(Receipt(broker, handout.partition.number, first, last, handout.lease.delivery))


def text_flags(body: bytes, lines: bool) -> int:
    """Frame flags of a body: whether it is lines, and whether it can be sent as event lines."""
    flags = LINES if lines else 0
    if b"\r" in body or (b"\n" in body and not lines):
        return flags
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            return flags
    return flags | TEXT
