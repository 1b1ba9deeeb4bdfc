"""One group's place in one partition: what it settled, what is out, what comes again.

A message of the log is, for a group, in exactly one of these states::

                      take                     ack
    ready (cursor..) ------> in flight (lease) ------> acked (floor, and ranges above it)
          ^                       |  |
          |   take                |  | nack "reject", or delivered too often
          +---- returned <--------+  +-----> doomed ------> dead (in the dead-letter queue)
               (now, or after a delay)              buried
"""

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from broker.lease import Holder, Lease, LeaseBook
from broker.ranges import Ranges, Span
from broker.returns import Returns
from broker.rules import Rules

DELIVERY_LIMIT = "DELIVERY_LIMIT"
REJECTED = "REJECTED"


class Nack(NamedTuple):
    """What a consumer wants instead of an ack.

    ``release``: again at once, not counted. ``retry``: again after a delay. ``reject``: never.
    """

    mode: str
    delay_seconds: float | None = None
    reason: str = ""


class Doomed(NamedTuple):
    """Messages on their way to the dead-letter queue."""

    start: int
    stop: int
    attempts: int
    reason: str
    error: str


class Group:
    """Hands out and settles the messages of one partition for one consumer group.

    All offsets are within the partition; all times are seconds of the monotonic clock. No call
    waits for anything.
    """

    def __init__(
        self,
        name: str,
        floor: int,
        new_delivery: Callable[[], str],
        rules: Rules,
        rng: Random,
    ) -> None:
        self.name = name
        self.rules = rules
        self.leases = LeaseBook()
        self.dirty = True
        self.doomed: list[Doomed] = []
        self.delivered = self.redelivered = self.expired = 0
        self._new_delivery = new_delivery
        self._rng = rng
        self._returns = Returns()
        self.start = self.floor = self.cursor = floor
        self.acked = Ranges()
        self.lost = self.dead = 0

    def take(
        self, limit: int, end: int, now: float, timeout_seconds: float, holder: Holder
    ) -> Lease | None:
        """Lease up to ``limit`` messages below ``end``, those that came back first."""
        self.expire(now)
        found = self._next_span(limit, end)
        if found is None:
            return None
        start, stop, attempt = found
        lease = Lease(self._new_delivery(), start, stop, attempt, now, timeout_seconds, holder)
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
            self._not_sent(lease, high - low)
            if high == self.cursor and not untried:
                self.cursor = low
            else:
                self._returns.add([(low, high)], untried)

    def holds(self, lease: Lease) -> bool:
        """Whether the lease is still open."""
        return self.leases.get(lease.delivery) is lease

    def holds_all(self, delivery: str, first: int, last: int) -> bool:
        """Whether a delivery still holds every one of the messages ``first`` to ``last``."""
        lease = self.leases.get(delivery)
        return lease is not None and lease.held_within(first, last + 1) == last + 1 - first

    def lose(self, lease: Lease, start: int, stop: int) -> None:
        """Pass over messages of a lease that the disk no longer has."""
        self.lost += self.pass_over(lease, start, stop)

    def pass_over(self, lease: Lease, start: int, stop: int) -> int:
        """Pass over messages of a lease that were never sent; return how many."""
        if not self.holds(lease):
            return 0
        count = self._finish(self.leases.release(lease, start, stop))
        self._not_sent(lease, count)
        return count

    def settle(self, delivery: str, first: int, last: int, now: float) -> tuple[int, int]:
        """Ack messages ``first`` to ``last`` of a delivery.

        Returns how many were settled now and how many had been settled before; what is missing
        to ``last - first + 1`` is refused: the lease ran out, or was never given.
        """
        already = self._finished_within(first, last + 1)
        _, spans = self._release(delivery, first, last, now)
        return self._finish(spans), already

    def nack(self, delivery: str, first: int, last: int, nack: Nack, now: float) -> int:
        """Give messages of a delivery back as ``nack`` says; return how many."""
        lease, spans = self._release(delivery, first, last, now)
        if lease is None:
            return 0
        if nack.mode == "release":
            self._returns.add(spans, lease.attempt - 1)
        elif nack.mode == "reject":
            self._doom(spans, lease.attempt, REJECTED, nack.reason)
        elif lease.attempt >= self.rules.max_deliveries:
            self._doom(spans, lease.attempt, DELIVERY_LIMIT, nack.reason)
        else:
            delay = nack.delay_seconds
            wait = self.rules.retry_seconds(lease.attempt, self._rng) if delay is None else delay
            self._returns.delay(spans, lease.attempt, now + wait)
        return sum(high - low for low, high in spans)

    def extend(self, delivery: str, first: int, last: int, now: float, seconds: float) -> int:
        """Give a whole delivery ``seconds`` from now, within the longest lease allowed.

        Returns how many of the messages ``first`` to ``last`` it still holds; with none of them
        nothing is changed.
        """
        self.expire(now)
        lease = self.leases.get(delivery)
        held = lease.held_within(first, last + 1) if lease else 0
        if lease and held:
            longest = lease.opened + self.rules.max_lease_seconds
            self.leases.set_deadline(lease, min(now + seconds, longest))
        return held

    def expire(self, now: float) -> int:
        """Return what was held or delayed until now; return how many messages became ready."""
        before = self.expired
        for lease in self.leases.due(now):
            self.expired += self._give_back(lease)
        return self.expired - before + self._returns.wake(now)

    def drop(self, holder: Holder) -> None:
        """Return everything that a holder which is gone still had."""
        for lease in self.leases.held_by(holder):
            self._give_back(lease)

    def buried(self, doomed: Doomed) -> None:
        """The dead-letter queue has them; a group that was moved meanwhile begins anew."""
        if self._undoom(doomed):
            self.dead += self._finish([(doomed.start, doomed.stop)])

    def not_buried(self, doomed: Doomed, due: float) -> None:
        """The dead-letter queue could not take them: they are tried once more after ``due``."""
        if self._undoom(doomed):
            self._returns.delay([(doomed.start, doomed.stop)], doomed.attempts - 1, due)

    def seek(self, offset: int) -> None:
        """Begin again at ``offset``; whatever is out is stale."""
        for lease in list(self.leases.all()):
            self.leases.release(lease, lease.start, lease.stop)
        self._returns.clear()
        self.doomed.clear()
        self.start = self.floor = self.cursor = offset
        self.acked = Ranges()
        self.lost = self.dead = 0
        self.dirty = True

    def counts(self, end: int) -> dict[str, int]:
        """The books up to ``end``: ready + in_flight + acked + dead + lost = end - start.

        ``ready`` holds the returned, the delayed and the doomed ones too.
        """
        in_flight = self.leases.messages
        finished = self.floor - self.start + len(self.acked)
        return {
            "lag": end - self.start - finished,
            "ready": end - self.start - finished - in_flight,
            "in_flight": in_flight,
            "acked": finished - self.lost - self.dead,
            "dead": self.dead,
            "lost": self.lost,
            "delivered": self.delivered,
            "redelivered": self.redelivered,
            "expired": self.expired,
        }

    def state(self) -> dict[str, Any]:
        """What is kept over a restart; leases are not: their messages come again."""
        return {
            "start": self.start,
            "floor": self.floor,
            "acked": list(self.acked),
            "dead": self.dead,
            "lost": self.lost,
        }

    def restore(self, state: dict[str, Any], first: int, end: int) -> bool:
        """Take up a place kept before, within what the log holds now; return if it was cut.

        A log that lost its unsynced tail ends below the kept place: those offsets will be given
        to other messages, which the group has not seen.
        """
        cut = any(
            int(stop) > end for stop in [state["floor"], *(high for _, high in state["acked"])]
        )
        self.floor = min(max(int(state["floor"]), first), end)
        self.start = min(int(state["start"]), self.floor)
        for start, stop in state["acked"]:
            if max(start, self.floor) < min(stop, end):
                self.acked.add(max(start, self.floor), min(stop, end))
        self._raise_floor()
        self.cursor = self.floor
        finished = self.floor - self.start + len(self.acked)
        self.dead = min(int(state.get("dead", 0)), finished)
        self.lost = min(int(state.get("lost", 0)), finished - self.dead)
        return cut

    def _next_span(self, limit: int, end: int) -> tuple[int, int, int] | None:
        again = self._returns.take(limit)
        if again is not None:
            return again.start, again.stop, again.tried + 1
        start, stop = self.acked.gap(self.cursor, end)
        stop = min(stop, start + limit)
        if start >= stop:
            return None
        self.cursor = stop
        return start, stop, 1

    def _release(
        self, delivery: str, first: int, last: int, now: float
    ) -> tuple[Lease | None, list[Span]]:
        self.expire(now)
        lease = self.leases.get(delivery)
        return lease, self.leases.release(lease, first, last + 1) if lease else []

    def _give_back(self, lease: Lease) -> int:
        spans = self.leases.release(lease, lease.start, lease.stop)
        if lease.attempt >= self.rules.max_deliveries:
            self._doom(spans, lease.attempt, DELIVERY_LIMIT, "never settled in time")
        else:
            self._returns.add(spans, lease.attempt)
        return sum(high - low for low, high in spans)

    def _doom(self, spans: list[Span], attempts: int, reason: str, error: str) -> None:
        self.doomed += [Doomed(low, high, attempts, reason, error) for low, high in spans]

    def _undoom(self, doomed: Doomed) -> bool:
        """Take messages off the way to the dead-letter queue, if they are still on it."""
        found = next((i for i, waiting in enumerate(self.doomed) if waiting is doomed), None)
        if found is not None:
            del self.doomed[found]
        return found is not None

    def _not_sent(self, lease: Lease, count: int) -> None:
        self.delivered -= count
        if lease.attempt > 1:
            self.redelivered -= count

    def _finish(self, spans: list[Span]) -> int:
        for low, high in spans:
            self.acked.add(low, high)
        self._raise_floor()
        return sum(high - low for low, high in spans)

    def _finished_within(self, start: int, stop: int) -> int:
        below = max(0, min(stop, self.floor) - max(start, self.start))
        return below + sum(high - low for low, high in self.acked.overlap(start, stop))

    def _raise_floor(self) -> None:
        self.floor = self.acked.pop_from(self.floor)
        self.cursor = max(self.cursor, self.floor)
        self.dirty = True
