"""Dead letters as messages of a stream for each group."""

from collections.abc import Sequence

import msgspec

from common.clock import Clock
from common.queue.base import DeadLetter, Letter
from common.queue.jetstream.producer import MESSAGE_ID, NatsWriter
from common.queue.jetstream.settings import stream_name
from common.queue.jetstream.streams import Streams

REJECTED = "REJECTED"
DELIVERY_LIMIT = "DELIVERY_LIMIT"
HEADER = "Telemetry-Letter"
MAX_ERROR = 1024


class LetterHead(msgspec.Struct):
    """All of a letter but its payload: a header's one line of JSON."""

    id: str = ""
    partition: int = 0
    offset: int = 0
    attempts: int = 0
    dead_at: int = 0
    reason: str = REJECTED
    error: str = ""


def dead_topic(topic: str, group: str) -> str:
    """Where a group's dead letters lie."""
    return f"{topic}.dead.{group}"


class LetterBox:
    """Writes a group's dead letters; makes their stream at the first."""

    def __init__(
        self, writer: NatsWriter, streams: Streams, topic: str, group: str, clock: Clock
    ) -> None:
        self._writer = writer
        self._streams = streams
        self._dead = dead_topic(topic, group)
        self._clock = clock
        self._made = False

    async def put(self, letters: Sequence[Letter], reason: str = REJECTED) -> None:
        """Return when all are stored; raises a TelemetryError."""
        if not letters:
            return
        if not self._made:
            await self._streams.ensure(self._dead, 1)
            self._made = True
        now = int(self._clock.wall() * 1000)
        messages = [(each.payload, headers_of(each, reason, now)) for each in letters]
        await self._writer.put(f"{stream_name(self._dead)}.0", messages)


def headers_of(letter: Letter, reason: str, dead_at: int) -> dict[str, str]:
    """A letter's headers; the stream drops a second one of the same id."""
    head = LetterHead(
        id=letter.id,
        partition=letter.partition,
        offset=letter.offset,
        attempts=letter.attempts,
        dead_at=dead_at,
        reason=reason,
        error=letter.error[:MAX_ERROR],
    )
    return {MESSAGE_ID: letter.id, HEADER: msgspec.json.encode(head).decode()}


def letter_of(sequence: int, headers: dict[str, str], payload: bytes) -> DeadLetter:
    """A message as a letter; one that somebody else wrote is named by its sequence."""
    try:
        head = msgspec.json.decode(headers.get(HEADER, "{}"), type=LetterHead)
    except (msgspec.MsgspecError, ValueError):
        head = LetterHead(error="its header cannot be read")
    return DeadLetter(
        id=head.id or str(sequence),
        partition=head.partition,
        offset=head.offset,
        attempts=head.attempts,
        dead_at=head.dead_at,
        reason=head.reason,
        error=head.error,
        payload=payload,
    )
