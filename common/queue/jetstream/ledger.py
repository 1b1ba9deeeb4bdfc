"""What a consumer of JetStream has in flight: leased to it until a deadline."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from common.clock import Clock
from common.queue.base import Delivery, Settled
from common.wire import Receipt, parse_receipt

PLACE = "nats"
STALE = "STALE"
MAX_DELIVERY_BYTES = 1 << 20


class Arrived(NamedTuple):
    """A message as the server sent it, and when; ``reply`` is where it is settled.

    ``group`` is whose it is, if it was driven again for one.
    """

    partition: int
    sequence: int
    attempt: int
    reply: str
    payload: bytes
    at: float
    group: str = ""


@dataclass(slots=True)
class _Lease:
    message: Arrived
    deadline: float


class NatsLedger:
    """Leases by sequence, in the order of their deadlines."""

    def __init__(self, topic: str, max_in_flight: int, batch: int, clock: Clock) -> None:
        self.lease_seconds = 30.0
        self._topic = topic
        self._most = max_in_flight
        self._batch = batch
        self._clock = clock
        self._leases: dict[int, _Lease] = {}
        self._name = secrets.token_hex(4)

    @property
    def room(self) -> int:
        """How many more messages may be in flight; those whose time has come are not any more."""
        now = self._clock.monotonic()
        for sequence, lease in list(self._leases.items()):
            if lease.deadline > now:
                break
            del self._leases[sequence]
        return self._most - len(self._leases)

    def take(self, messages: Sequence[Arrived]) -> list[Delivery]:
        """Deliveries of messages, in the order they came: neighbours in one partition together.

        What has waited for longer than its lease comes again, and is left out.
        """
        found = []
        latest = self._clock.monotonic() - self.lease_seconds
        for run in _runs([each for each in messages if each.at > latest], self._batch):
            first, last = run[0], run[-1]
            for message in run:
                self._leases.pop(message.sequence, None)
                self._leases[message.sequence] = _Lease(message, message.at + self.lease_seconds)
            receipt = Receipt(
                PLACE, first.partition, first.sequence, last.sequence, self._mark(first.attempt)
            )
            found.append(
                Delivery(
                    receipt=str(receipt),
                    topic=self._topic,
                    partition=first.partition,
                    offset=first.sequence,
                    attempt=first.attempt,
                    payloads=[message.payload for message in run],
                )
            )
        return found

    def claim(self, receipts: Sequence[str]) -> tuple[Settled, list[Arrived]]:
        """Take messages out of flight: those that are ours, and what is to be said of all."""
        done, found = self.look(receipts)
        for message in found:
            del self._leases[message.sequence]
        return done, found

    def look(self, receipts: Sequence[str]) -> tuple[Settled, list[Arrived]]:
        """The messages that receipts are good for; the rest of a receipt is stale."""
        now = self._clock.monotonic()
        done, found = Settled(refused={}), []
        for receipt in receipts:
            whole = parse_receipt(receipt)
            ours = [
                lease.message
                for sequence in range(whole.first, whole.last + 1)
                if (lease := self._leases.get(sequence)) is not None
                and lease.deadline > now
                and self._mark(lease.message.attempt) == whole.delivery
            ]
            done.acked += len(ours)
            found += ours
            if len(ours) <= whole.last - whole.first:
                done.refused[receipt] = STALE
        return done, found

    def extend(self, messages: Sequence[Arrived]) -> None:
        """Their lease begins anew."""
        deadline = self._clock.monotonic() + self.lease_seconds
        for message in messages:
            self._leases.pop(message.sequence, None)
            self._leases[message.sequence] = _Lease(message, deadline)

    def drain(self) -> list[Arrived]:
        """Everything in flight, given up."""
        found = [lease.message for lease in self._leases.values()]
        self._leases.clear()
        return found

    def _mark(self, attempt: int) -> str:
        return f"{self._name}{attempt:x}"


def _runs(messages: Sequence[Arrived], most: int) -> Iterator[list[Arrived]]:
    """Neighbours in sequence, partition and attempt, at most ``most``, bounded in bytes."""
    run: list[Arrived] = []
    size = 0
    for message in messages:
        size += len(message.payload)
        if run and not (
            message.sequence == run[-1].sequence + 1
            and message.partition == run[-1].partition
            and message.attempt == run[-1].attempt
            and len(run) < most
            and size <= MAX_DELIVERY_BYTES
        ):
            yield run
            run, size = [], len(message.payload)
        run.append(message)
    if run:
        yield run
