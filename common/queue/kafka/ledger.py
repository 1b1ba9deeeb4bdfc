"""What a consumer of Kafka has in flight: acks in any order, commits in Kafka's."""

import secrets
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from common.queue.base import Delivery, Settled
from common.wire import Receipt, parse_receipt

PLACE = "kafka"
Message = tuple[int, int, bytes | None]  # partition, offset, payload; None is for another group
STALE = "STALE"
MAX_DELIVERY_BYTES = 1 << 20


@dataclass(slots=True)
class _Held:
    """A partition that is ours: since which assignment, how far we read, what is not acked.

    ``in_flight`` maps offsets to payloads, in the order of offsets.
    """

    delivery: str
    next: int = -1
    committed: int = -1
    in_flight: dict[int, bytes] = field(default_factory=dict)

    @property
    def floor(self) -> int:
        """The first offset that is not settled; what a commit may say."""
        return next(iter(self.in_flight), self.next)


class KafkaLedger:
    """Safe to use from the event loop and from the thread that owns the client.

    A receipt is good while its partition stays assigned; after that the messages are another's.
    """

    def __init__(self, topic: str, max_in_flight: int, batch: int) -> None:
        self._topic = topic
        self._most = max_in_flight
        self._batch = batch
        self._held: dict[int, _Held] = {}
        self._taken = 0
        self._name = secrets.token_hex(4)
        self._assignments = 0
        self._lock = threading.Lock()

    @property
    def room(self) -> int:
        """How many more messages may be taken."""
        with self._lock:
            return self._most - self._taken

    def assign(self, partitions: Iterable[int]) -> None:
        """Partitions are ours from now on."""
        with self._lock:
            for partition in partitions:
                self._assignments += 1
                self._held[partition] = _Held(f"{self._name}{self._assignments:x}")

    def revoke(self, partitions: Iterable[int]) -> dict[int, int]:
        """Partitions are another's; what of them is in flight goes there.

        Returns how far we had settled them, commits that are not answered included: one sent before
        the group changed is refused after.
        """
        settled = {}
        with self._lock:
            for partition in partitions:
                held = self._held.pop(partition, None)
                if held is not None:
                    self._taken -= len(held.in_flight)
                    if held.next >= 0:
                        settled[partition] = held.floor
        return settled

    def take(self, messages: Sequence[Message]) -> list[Delivery]:
        """Deliveries of messages, in the order they came; what is another group's is passed over.

        A delivery has messages with consecutive offsets: there are gaps where Kafka keeps marks of
        transactions, or has let go of records.
        """
        found: list[Delivery] = []
        with self._lock:
            for run in _runs(messages, self._batch):
                held = self._held.get(run[0][0])
                if held is not None:
                    held.next = run[-1][1] + 1
                    found += self._lease(held, run)
        return found

    def holds(self, receipt: str) -> bool:
        """Whether a delivery's partition is still ours."""
        whole = parse_receipt(receipt)
        with self._lock:
            return self._place(whole) is not None

    def settle(self, receipts: Sequence[str]) -> Settled:
        """Take messages out of flight."""
        done = Settled(refused={})
        with self._lock:
            for receipt in receipts:
                whole = parse_receipt(receipt)
                held = self._place(whole)
                if held is None or whole.last >= held.next:
                    done.refused[receipt] = STALE
                    continue
                for offset in range(whole.first, whole.last + 1):
                    if held.in_flight.pop(offset, None) is None:
                        done.already += 1
                    else:
                        done.acked += 1
            self._taken -= done.acked
        return done

    def look(self, receipts: Sequence[str]) -> tuple[Settled, list[tuple[int, int, bytes]]]:
        """What `settle` would answer, and the messages that are in flight, left there."""
        done, found = Settled(refused={}), []
        with self._lock:
            for receipt in receipts:
                whole = parse_receipt(receipt)
                held = self._place(whole)
                offsets = range(whole.first, whole.last + 1)
                there = [at for at in offsets if held is not None and at in held.in_flight]
                done.acked += len(there)
                if held is None:
                    done.refused[receipt] = STALE
                else:
                    done.already += len(offsets) - len(there)
                    found += [(whole.partition, at, held.in_flight[at]) for at in there]
        return done, found

    def floors(self) -> dict[int, int]:
        """How far our partitions are settled, where we have read."""
        with self._lock:
            return {at: held.floor for at, held in self._held.items() if held.next >= 0}

    def to_commit(self) -> dict[int, int]:
        """How far partitions are settled, of those that came further; they count as committed."""
        found = {}
        with self._lock:
            for partition, held in self._held.items():
                if held.floor > held.committed:
                    found[partition] = held.committed = held.floor
        return found

    def forget_commit(self, partitions: Iterable[int]) -> None:
        """A commit failed: say it again."""
        with self._lock:
            for partition in partitions:
                if partition in self._held:
                    self._held[partition].committed = -1

    def _lease(self, held: _Held, run: Sequence[Message]) -> Iterator[Delivery]:
        """The delivery of a run, if it is for this group."""
        payloads = [payload for _, _, payload in run if payload is not None]
        if payloads:
            partition, first, _ = run[0]
            offsets = range(first, first + len(run))
            held.in_flight.update(zip(offsets, payloads, strict=True))
            self._taken += len(run)
            receipt = Receipt(PLACE, partition, first, offsets[-1], held.delivery)
            yield Delivery(str(receipt), self._topic, partition, first, 1, payloads)

    def _place(self, whole: Receipt) -> _Held | None:
        held = self._held.get(whole.partition)
        return held if held is not None and held.delivery == whole.delivery else None


def _runs(messages: Sequence[Message], most: int) -> Iterator[list[Message]]:
    """Neighbours of one partition with consecutive offsets, at most ``most``, bounded in bytes.

    One that is another group's is a run of its own.
    """
    run: list[Message] = []
    size = 0
    for message in messages:
        partition, offset, payload = message
        length = len(payload or b"")
        size += length
        if run and (
            (partition, offset) != (run[-1][0], run[-1][1] + 1)
            or payload is None
            or run[-1][2] is None
            or len(run) == most
            or size > MAX_DELIVERY_BYTES
        ):
            yield run
            run, size = [], length
        run.append(message)
    if run:
        yield run
