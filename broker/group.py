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
from typing import Any

from broker.durations import Durations
from broker.lease import Holder, Lease, LeaseBook
from broker.progress import Progress
from broker.ranges import Span
from broker.returns import Returns
from broker.rules import Rules
from broker.verdicts import DELIVERY_LIMIT, REJECTED, Doomed, Nack


class Group(Progress):
    """Hands out and settles the messages of one partition for one consumer group.

    All offsets are within the partition; all times are seconds of the monotonic clock. No call
    waits for anything. While it is ``paused`` nothing is handed out. ``idle_seconds`` is how long
    nobody has consumed, kept by ``idleness``; ``oldest`` the offset and time (milliseconds since
    1970 UTC) of the first message not settled, as the partition last looked.
    """

    def __init__(
        self,
        name: str,
        floor: int,
        new_delivery: Callable[[], str],
        rules: Rules,
        rng: Random,
    ) -> None:
        super().__init__(floor)
        self.name = name
        self.rules = rules
        self.paused = False
        self.idle_seconds = 0.0
        self.oldest: tuple[int, int] | None = None
        self.processing = Durations()
        self.leases = LeaseBook()
        self.doomed: list[Doomed] = []
        self.delivered = self.redelivered = self.expired = 0
        self._new_delivery = new_delivery
        self._rng = rng
        self._returns = Returns()
        self.cursor = floor

    def take(
        self, limit: int, end: int, now: float, timeout_seconds: float, holder: Holder
    ) -> Lease | None:
        """Lease up to ``limit`` messages below ``end``, those that came back first."""
        self.expire(now)
        found = None if self.paused else self._next_span(limit, end)
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

    def tried(self, offset: int) -> int:
        """How often a message that is ready was delivered before."""
        return self._returns.tried(offset)

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
        already = self.finished_within(first, last + 1)
        lease, spans = self._release(delivery, first, last, now)
        count = self._finish(spans)
        if lease is not None and count:
            self.processing.observe(now - lease.opened, count)
        return count, already

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
            lease.holder.ran_out()
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
        self.begin(offset)
        self.cursor = offset

    def let_go(self, stop: int, reason: str) -> int:
        """Be done with everything below ``stop``, wherever it is; return how many messages.

        What of it is out is stale; it is counted as dropped for ``reason``.
        """
        for lease in list(self.leases.all()):
            if lease.start < stop:
                self.leases.release(lease, lease.start, stop)
        self._returns.let_go(stop)
        self.doomed = [
            doomed._replace(start=max(doomed.start, stop)) if doomed.start < stop else doomed
            for doomed in self.doomed
            if doomed.stop > stop
        ]
        count = self.skip(stop, reason)
        self.cursor = max(self.cursor, self.floor)
        return count

    def counts(self, end: int) -> dict[str, int]:
        """The books up to ``end``.

        ready + in_flight + acked + dead + lost + dropped = end - start, where ``ready`` holds the
        returned, the delayed and the doomed ones too.
        """
        in_flight = self.leases.messages
        finished, dropped = self.finished, sum(self.dropped.values())
        return {
            "lag": end - self.start - finished,
            "ready": end - self.start - finished - in_flight,
            "in_flight": in_flight,
            "acked": finished - self.lost - self.dead - dropped,
            "dead": self.dead,
            "lost": self.lost,
            "dropped": dropped,
            "delivered": self.delivered,
            "redelivered": self.redelivered,
            "expired": self.expired,
        }

    def oldest_age(self, end: int, wall: float) -> float:
        """Seconds that the first message not settled has been there; 0 when there is none."""
        if self.floor >= end or self.oldest is None:
            return 0.0
        return max(0.0, round(wall - self.oldest[1] / 1000, 3))

    def watermark(self, end: int, newest_ms: int) -> float:
        """Everything made before this time (seconds since 1970 UTC) is settled."""
        if self.floor >= end:
            return newest_ms / 1000
        return self.oldest[1] / 1000 if self.oldest is not None else 0.0

    def state(self) -> dict[str, Any]:
        """See ``Progress``; leases are not kept: their messages come again."""
        return super().state() | {"idle": int(self.idle_seconds)}

    def restore(self, state: dict[str, Any], first: int, end: int) -> bool:
        """See ``Progress``."""
        cut = super().restore(state, first, end)
        self.cursor = self.floor
        self.idle_seconds = float(state.get("idle", 0))
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
        spans = self.leases.release(lease, first, last + 1) if lease else []
        if lease:
            count = sum(high - low for low, high in spans)
            lease.holder.answered(count, now - lease.opened, lease.deadline - now)
        return lease, spans

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
        count = self.finish(spans)
        self.cursor = max(self.cursor, self.floor)
        return count
