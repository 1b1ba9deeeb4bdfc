"""What any queue engine must give the streamer and the collector.

All calls raise a ``TelemetryError``. One whose ``retry_after_seconds`` is set may be repeated as
it is; any other says that the request itself is wrong.
"""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol

import msgspec

from common.wire import parse_receipt


class Produced(msgspec.Struct):
    """Where messages landed: ``count`` messages from ``offset`` on, and how safely."""

    id: str
    topic: str
    partition: int
    offset: int
    count: int
    durability: str
    duplicate: bool = False


class Delivery(msgspec.Struct):
    """Messages that came together, settled together by one receipt."""

    receipt: str
    topic: str
    partition: int
    offset: int
    attempt: int
    payloads: list[bytes]

    def receipts(self) -> list[str]:
        """A receipt for each message, in order, for who settles them one by one."""
        whole = parse_receipt(self.receipt)
        before = f"{whole.broker}:{whole.partition}"
        offsets = range(whole.first, whole.last + 1)
        return [f"{before}:{offset}:{whole.delivery}" for offset in offsets]


class Letter(msgspec.Struct):
    """A dead letter that a consumer writes; its ``id`` makes a repeat harmless.

    ``partition``, ``offset`` and ``attempts`` are those of the message it comes from. ``error``
    has at most 1,024 characters.
    """

    id: str
    partition: int
    offset: int
    attempts: int
    error: str
    payload: bytes


class DeadLetter(msgspec.Struct):
    """A letter as it lies in a group's dead-letter queue.

    ``partition``, ``offset`` and ``attempts`` are those of the message it comes from, ``dead_at``
    is in milliseconds of the epoch, ``reason`` a word in capitals, ``error`` at most 1,024
    characters.
    """

    id: str
    partition: int
    offset: int
    attempts: int
    dead_at: int
    reason: str
    error: str
    payload: bytes


class Settled(msgspec.Struct):
    """What became of receipts: messages settled, and receipts refused with the reason for each.

    ``acked`` counts those rejected or extended instead, when that was asked.
    """

    acked: int = 0
    already: int = 0
    refused: dict[str, str] = {}


class Subscription(NamedTuple):
    """What a consumer reads, and how.

    At most ``max_in_flight`` messages are with it unsettled, at most ``batch`` come in a delivery.
    ``instance_id`` names it to the operators of an engine.
    """

    topic: str
    group: str
    max_in_flight: int
    batch: int
    instance_id: str


class Producer(Protocol):
    """Sends messages and returns once they are as safe as the topic asks."""

    async def partitions(self, topic: str) -> int:
        """Return the topic's partition count; the topic is made when it is not there."""

    async def send(
        self, topic: str, partition: int, payloads: Sequence[bytes], idempotency_key: str = ""
    ) -> Produced:
        """Store ``payloads`` in order and together.

        None may be empty, hold a line feed or end in a carriage return: ValueError.
        """

    async def close(self) -> None:
        """Let go of every connection."""


class Consumer(Protocol):
    """Receives what one group has not acked yet."""

    def deliveries(self) -> AsyncIterator[Delivery]:
        """Yield deliveries for ever, over lost connections too."""

    async def ack(self, receipts: Sequence[str]) -> Settled:
        """Settle deliveries; one refused comes, or came, to another consumer."""

    async def reject(self, receipts: Sequence[str], reason: str) -> Settled:
        """Have messages go to the dead-letter queue, with at most 1,024 characters of reason."""

    async def extend(self, receipts: Sequence[str], seconds: float) -> Settled:
        """Keep deliveries for ``seconds`` from now."""

    async def bury(self, letters: Sequence[Letter]) -> None:
        """Put letters into the group's dead-letter queue; on return they are synced there."""

    async def lag(self) -> int:
        """Return how many messages the group has still to settle."""

    async def close(self) -> None:
        """Give back what is not acked and let go of every connection."""


class DeadLetters(Protocol):
    """One group's dead-letter queue, for who looks after it."""

    async def page(self, limit: int) -> list[DeadLetter]:
        """Return the oldest letters, at most ``limit``."""

    async def redrive(self, rate: float) -> int:
        """Have what lies there now delivered again, ``rate`` a second; return how many.

        A letter is taken out once its message is stored again: a crash in between brings it twice.
        Our own brokers count and answer at once, and go on in the background.
        """

    async def purge(self) -> int:
        """Throw away what lies there now; return how many."""

    async def close(self) -> None:
        """Let go of every connection."""
