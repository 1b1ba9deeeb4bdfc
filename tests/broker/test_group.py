"""A group against a model in which every message has one state, through any run of events."""

import itertools
import random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from broker.group import Group, Rules
from broker.lease import Lease

READY, LEASED, ACKED, LOST = "ready", "leased", "acked", "lost"
TIMEOUT = 30.0
RULES = Rules(
    max_deliveries=10**9,
    retry_first_seconds=1.0,
    retry_last_seconds=60.0,
    max_lease_seconds=12 * TIMEOUT,
)
HOLDERS = st.integers(0, 2)
PARTS = st.tuples(st.integers(0, 5), st.integers(0, 5)).map(sorted)


class Holder:
    """Counts what it has in hand, as a stream does."""

    def __init__(self) -> None:
        self.in_hand = 0

    def released(self, count: int) -> None:
        """See ``broker.lease.Holder``."""
        self.in_hand -= count


def new_group(floor: int = 0) -> Group:
    numbers = itertools.count(1)
    return Group("g", floor, lambda: f"{next(numbers):x}", RULES, random.Random(1))


class GroupMachine(RuleBasedStateMachine):
    """``state`` is the model: one word a message; ``tries`` how often each was handed out."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.group = new_group()
        self.holders = [Holder() for _ in range(3)]
        self.state: list[str] = []
        self.tries: list[int] = []
        self.leases: list[Lease] = []
        self.held: dict[str, set[int]] = {}

    @rule(count=st.integers(1, 8))
    def produce(self, count: int) -> None:
        self.state += [READY] * count
        self.tries += [0] * count

    @rule(limit=st.integers(1, 6), holder=HOLDERS)
    def take(self, limit: int, holder: int) -> None:
        before = self.state.index(READY) if READY in self.state else None
        lease = self.group.take(limit, len(self.state), self.now, TIMEOUT, self.holders[holder])
        if lease is None:
            assert before is None
            return
        taken = range(lease.start, lease.stop)
        assert 0 < len(taken) <= limit
        assert lease.start == before or lease.attempt > 1
        assert {self.state[n] for n in taken} == {READY}
        for number in taken:
            self.state[number] = LEASED
            self.tries[number] += 1
            assert lease.attempt == self.tries[number]
        self.holders[holder].in_hand += len(taken)
        self.leases.append(lease)
        self.held[lease.delivery] = set(taken)

    @precondition(lambda self: self.leases)
    @rule(pick=st.randoms(), part=PARTS)
    def settle(self, pick: Any, part: list[int]) -> None:
        lease = pick.choice(self.leases)
        first, last = lease.start + part[0], lease.start + part[1]
        wanted = set(range(first, last + 1))
        already = sum(n >= len(self.state) or self.state[n] in (ACKED, LOST) for n in wanted)
        already -= len([n for n in wanted if n >= len(self.state)])
        settled = self.held[lease.delivery] & wanted
        result = self.group.settle(lease.delivery, first, last, self.now)
        assert result == (len(settled), already)
        self.leave(lease, settled, ACKED)

    @precondition(lambda self: self.leases)
    @rule(pick=st.randoms(), keep=st.integers(0, 5))
    def shrink(self, pick: Any, keep: int) -> None:
        lease = pick.choice(self.leases)
        stop = min(lease.start + keep, lease.stop)
        unsent = {n for n in self.held[lease.delivery] if n >= stop}
        self.group.shrink(lease, stop)
        self.leave(lease, unsent, READY)
        for number in unsent:
            self.tries[number] -= 1

    @precondition(lambda self: self.leases)
    @rule(pick=st.randoms(), count=st.integers(1, 5))
    def lose(self, pick: Any, count: int) -> None:
        lease = pick.choice(self.leases)
        gone = {n for n in self.held[lease.delivery] if n < lease.start + count}
        self.group.lose(lease, lease.start, lease.start + count)
        self.leave(lease, gone, LOST)

    @rule(seconds=st.sampled_from([1.0, 10.0, TIMEOUT]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        due = [lease for lease in self.leases if lease.deadline <= self.now]
        late = {n for lease in due for n in self.held[lease.delivery]}
        assert self.group.expire(self.now) == len(late)
        for lease in due:
            self.leave(lease, set(self.held[lease.delivery]), READY)

    @rule(holder=HOLDERS)
    def drop(self, holder: int) -> None:
        gone = self.holders[holder]
        self.group.drop(gone)
        for lease in self.leases:
            if lease.holder is gone:
                self.leave(lease, set(self.held[lease.delivery]), READY)
        assert gone.in_hand == 0

    @rule()
    def restart(self) -> None:
        kept = self.group.state()
        self.group = new_group()
        self.group.restore(kept, 0, len(self.state))
        self.state = [word if word in (ACKED, LOST) else READY for word in self.state]
        self.tries = [0] * len(self.state)
        self.leases, self.held = [], {}
        self.holders = [Holder() for _ in range(3)]

    def leave(self, lease: Lease, numbers: set[int], word: str) -> None:
        """Model: these messages of a lease are now in another state."""
        for number in numbers:
            self.state[number] = word
        self.held[lease.delivery] -= numbers

    @invariant()
    def the_books_balance(self) -> None:
        counts = self.group.counts(len(self.state))
        assert counts["ready"] == self.state.count(READY)
        assert counts["in_flight"] == self.state.count(LEASED)
        assert counts["acked"] == self.state.count(ACKED)
        assert counts["lost"] == self.state.count(LOST)
        assert counts["lag"] == counts["ready"] + counts["in_flight"]

    @invariant()
    def holders_know_what_they_hold(self) -> None:
        in_hand = sum(holder.in_hand for holder in self.holders)
        assert in_hand == self.state.count(LEASED)

    @invariant()
    def the_floor_is_the_first_that_is_not_done(self) -> None:
        done = itertools.takewhile(lambda word: word in (ACKED, LOST), self.state)
        assert self.group.floor == len(list(done))


TestGroup = GroupMachine.TestCase
TestGroup.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)


def test_first_deliveries_come_in_order_and_returned_ones_first() -> None:
    group, holder = new_group(), Holder()
    leases = [group.take(2, 10, 0.0, TIMEOUT, holder) for _ in range(3)]
    assert [(lease.start, lease.stop) for lease in leases if lease] == [(0, 2), (2, 4), (4, 6)]
    group.expire(TIMEOUT)
    again = group.take(2, 10, TIMEOUT, TIMEOUT, holder)
    assert again
    assert (again.start, again.stop, again.attempt) == (0, 2, 2)


def test_a_log_that_lost_its_tail_does_not_hide_what_comes_instead() -> None:
    group = new_group()
    group.restore({"start": 0, "floor": 8, "acked": [[10, 12]]}, first=0, end=5)
    assert group.floor == 5
    lease = group.take(10, 12, 0.0, TIMEOUT, Holder())
    assert lease
    assert (lease.start, lease.stop) == (5, 12)


def test_what_was_trimmed_away_is_not_waited_for() -> None:
    group = new_group()
    group.restore({"start": 0, "floor": 3, "acked": [[4, 9]]}, first=6, end=20)
    assert group.floor == 9


def test_acked_messages_beyond_a_hole_do_not_come_again_when_it_closes() -> None:
    group, holder = new_group(), Holder()
    group.restore({"start": 0, "floor": 0, "acked": [[2, 4]]}, first=0, end=6)
    lease = group.take(2, 6, 0.0, TIMEOUT, holder)
    assert lease
    group.settle(lease.delivery, 0, 1, 0.0)
    following = group.take(10, 6, 0.0, TIMEOUT, holder)
    assert following
    assert (following.start, following.stop) == (4, 6)
