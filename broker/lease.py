"""Leases: which messages are with whom, until when."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from sortedcontainers import SortedList

from broker.ranges import Ranges, Span


class Holder(Protocol):
    """Who holds leases: one open consume stream."""

    def released(self, count: int) -> None:
        """``count`` messages are no longer with this holder."""

    def answered(self, count: int, waited: float, left: float) -> None:
        """It settled ``count`` messages, or gave them back, after so many seconds of a lease."""

    def ran_out(self) -> None:
        """One of its leases ended without an answer."""


class Lease:
    """One delivery: messages of one partition and group that one holder has until ``deadline``.

    It is one thing until a part of it is settled; only then are its parts counted apart.
    """

    __slots__ = ("_parts", "attempt", "deadline", "delivery", "holder", "opened", "start", "stop")

    def __init__(
        self,
        delivery: str,
        start: int,
        stop: int,
        attempt: int,
        now: float,
        timeout_seconds: float,
        holder: Holder,
    ) -> None:
        self.delivery = delivery
        self.start = start
        self.stop = stop
        self.attempt = attempt
        self.opened = now
        self.deadline = now + timeout_seconds
        self.holder = holder
        self._parts: Ranges | None = None

    def spans(self) -> list[Span]:
        """What is still held."""
        return list(self._parts) if self._parts is not None else [(self.start, self.stop)]

    def held_within(self, start: int, stop: int) -> int:
        """How many messages of ``[start, stop)`` are still held."""
        return sum(max(0, min(high, stop) - max(low, start)) for low, high in self.spans())

    def release(self, start: int, stop: int) -> list[Span]:
        """Give up ``[start, stop)``; return the parts of it that were held."""
        if self._parts is None:
            if start <= self.start and stop >= self.stop:
                self._parts = Ranges()
                return [(self.start, self.stop)]
            self._parts = Ranges([(self.start, self.stop)])
        return self._parts.remove(start, stop)

    def cut(self, stop: int) -> list[Span]:
        """Give up everything from ``stop`` on; return the parts of it that were held."""
        if stop >= self.stop:
            return []
        end, self.stop = self.stop, stop
        return [(stop, end)] if self._parts is None else self._parts.remove(stop, end)

    @property
    def settled(self) -> bool:
        """Nothing is held any more."""
        return not self._parts if self._parts is not None else self.stop <= self.start


class LeaseBook:
    """The leases of one group in one partition, by delivery and by deadline."""

    def __init__(self) -> None:
        self._by_delivery: dict[str, Lease] = {}
        self._by_deadline: SortedList[tuple[float, str]] = SortedList()
        self.messages = 0

    def open(self, lease: Lease) -> None:
        """Enter a new lease."""
        self._by_delivery[lease.delivery] = lease
        self._by_deadline.add((lease.deadline, lease.delivery))
        self.messages += lease.stop - lease.start

    def get(self, delivery: str) -> Lease | None:
        """The open lease of a delivery."""
        return self._by_delivery.get(delivery)

    def of(self, offset: int) -> Lease | None:
        """The open lease that a message is out with."""
        return next((it for it in self.all() if it.held_within(offset, offset + 1)), None)

    def release(self, lease: Lease, start: int, stop: int) -> list[Span]:
        """Take ``[start, stop)`` out of a lease, tell its holder, close it when it is empty."""
        spans = lease.release(start, stop)
        count = sum(high - low for low, high in spans)
        self.messages -= count
        if lease.settled:
            self._close(lease)
        lease.holder.released(count)
        return spans

    def cut(self, lease: Lease, stop: int) -> list[Span]:
        """Shorten a lease; return what it lost. Cut down to nothing it is closed."""
        spans = lease.cut(stop)
        count = sum(high - low for low, high in spans)
        self.messages -= count
        if lease.settled:
            self._close(lease)
        lease.holder.released(count)
        return spans

    def set_deadline(self, lease: Lease, deadline: float) -> None:
        """Let a lease run out at another time."""
        self._by_deadline.discard((lease.deadline, lease.delivery))
        lease.deadline = deadline
        self._by_deadline.add((deadline, lease.delivery))

    def all(self) -> Iterable[Lease]:
        """Every open lease."""
        return self._by_delivery.values()

    def due(self, now: float) -> Iterator[Lease]:
        """The leases whose deadline has come, the oldest first; the caller releases each."""
        while self._by_deadline and self._by_deadline[0][0] <= now:
            yield self._by_delivery[self._by_deadline[0][1]]

    def held_by(self, holder: Holder) -> list[Lease]:
        """Every lease of one holder."""
        return [lease for lease in self._by_delivery.values() if lease.holder is holder]

    def _close(self, lease: Lease) -> None:
        del self._by_delivery[lease.delivery]
        self._by_deadline.discard((lease.deadline, lease.delivery))
