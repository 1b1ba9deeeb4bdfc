"""One group's place in one partition: what it acked, what is out, what comes again.

A message of the log is, for a group, in exactly one of these states::

                      take                    settle
    ready (cursor..) ------> in flight (lease) ------> acked (floor, and ranges above it)
          ^                       |
          |   take                |  deadline passed, stream gone
          +---- returned <--------+
"""

from collections.abc import Callable
from typing import Any

from sortedcontainers import SortedList

from broker.lease import Holder, Lease, LeaseBook
from broker.ranges import Ranges, Span


class Group:
    """Hands out and settles the messages of one partition for one consumer group.

    All offsets are within the partition; all times are seconds of the monotonic clock. No call
    waits for anything.
    """

    def __init__(self, name: str, floor: int, new_delivery: Callable[[], str]) -> None:
        self.name = name
        self.start = floor
        self.floor = floor
        self.acked = Ranges()
        self.cursor = floor
        self.leases = LeaseBook()
        self.dirty = True
        self.delivered = 0
        self.redelivered = 0
        self.expired = 0
        self.lost = 0
        self._returned: SortedList[tuple[int, int, int]] = SortedList()
        self._new_delivery = new_delivery

    def take(
        self, limit: int, end: int, now: float, timeout_seconds: float, holder: Holder
    ) -> Lease | None:
        """Lease up to ``limit`` messages below ``end``, those that came back first."""
        self.expire(now)
        found = self._next_span(limit, end)
        if found is None:
            return None
        start, stop, attempt = found
        lease = Lease(self._new_delivery(), start, stop, attempt, now + timeout_seconds, holder)
        self.leases.open(lease)
        self.delivered += stop - start
        if attempt > 1:
            self.redelivered += stop - start
        return lease

    def shrink(self, lease: Lease, stop: int) -> None:
        """Take back the messages from ``stop`` on that were never sent; they were not tried.

        Does nothing to a lease that ran out meanwhile: its messages are back already.
        """
        if not self.holds(lease):
            return
        untried = lease.attempt - 1
        for low, high in reversed(self.leases.cut(lease, stop)):
            self.delivered -= high - low
            if untried:
                self.redelivered -= high - low
            if high == self.cursor and not untried:
                self.cursor = low
            else:
                self._returned.add((low, high, untried))

    def holds(self, lease: Lease) -> bool:
        """Whether the lease is still open."""
        return self.leases.get(lease.delivery) is lease

    def lose(self, lease: Lease, start: int, stop: int) -> None:
        """Pass over messages of a lease that the disk no longer has."""
        if not self.holds(lease):
            return
        for low, high in self.leases.release(lease, start, stop):
            self.lost += high - low
            self.acked.add(low, high)
        self._raise_floor()

    def settle(self, delivery: str, first: int, last: int, now: float) -> tuple[int, int]:
        """Ack messages ``first`` to ``last`` of a delivery.

        Returns how many were settled now and how many had been settled before; what is missing
        to ``last - first + 1`` is refused: the lease ran out, or was never given.
        """
        self.expire(now)
        stop = last + 1
        lease = self.leases.get(delivery)
        already = self._acked_within(first, stop)
        spans = self.leases.release(lease, first, stop) if lease else []
        for low, high in spans:
            self.acked.add(low, high)
        self._raise_floor()
        return sum(high - low for low, high in spans), already

    def expire(self, now: float) -> int:
        """Return the messages of every lease whose deadline has come; return how many."""
        before = self.expired
        for lease in self.leases.due(now):
            self.expired += self._give_back(lease)
        return self.expired - before

    def drop(self, holder: Holder) -> None:
        """Return everything that a holder which is gone still had."""
        for lease in self.leases.held_by(holder):
            self._give_back(lease)

    def counts(self, end: int) -> dict[str, int]:
        """The group's books up to ``end``: ready + in_flight + acked + lost = end - start."""
        in_flight = self.leases.messages
        acked = self.floor - self.start + len(self.acked)
        return {
            "lag": end - self.start - acked,
            "ready": end - self.start - acked - in_flight,
            "in_flight": in_flight,
            "acked": acked - self.lost,
            "lost": self.lost,
            "delivered": self.delivered,
            "redelivered": self.redelivered,
            "expired": self.expired,
        }

    def state(self) -> dict[str, Any]:
        """What is kept over a restart; leases are not: their messages come again."""
        return {"start": self.start, "floor": self.floor, "acked": list(self.acked)}

    def restore(self, state: dict[str, Any], first: int, end: int) -> None:
        """Take up a place kept before, within what the log holds now.

        A log that lost its unsynced tail ends below the kept place: those offsets will be given
        to other messages, which the group has not seen.
        """
        self.floor = min(max(int(state["floor"]), first), end)
        self.start = min(int(state["start"]), self.floor)
        for start, stop in state["acked"]:
            if max(start, self.floor) < min(stop, end):
                self.acked.add(max(start, self.floor), min(stop, end))
        self._raise_floor()
        self.cursor = self.floor

    def _next_span(self, limit: int, end: int) -> tuple[int, int, int] | None:
        if self._returned:
            start, stop, tried = self._returned.pop(0)
            if stop - start > limit:
                self._returned.add((start + limit, stop, tried))
            return start, min(stop, start + limit), tried + 1
        start, stop = self.acked.gap(self.cursor, end)
        stop = min(stop, start + limit)
        if start >= stop:
            return None
        self.cursor = stop
        return start, stop, 1

    def _give_back(self, lease: Lease) -> int:
        spans = self.leases.release(lease, lease.start, lease.stop)
        self._returned.update((low, high, lease.attempt) for low, high in spans)
        return sum(high - low for low, high in spans)

    def _acked_within(self, start: int, stop: int) -> int:
        below = max(0, min(stop, self.floor) - start)
        above: list[Span] = self.acked.overlap(start, stop)
        return below + sum(high - low for low, high in above)

    def _raise_floor(self) -> None:
        self.floor = self.acked.pop_from(self.floor)
        self.cursor = max(self.cursor, self.floor)
        self.dirty = True
