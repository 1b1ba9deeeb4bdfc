"""A group against a model in which every message has one state, through any run of events."""

import itertools
import random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from broker.group import Group
from broker.lease import Lease
from broker.rules import Rules
from broker.verdicts import Doomed, Nack
from tests.support.chance import Unlucky

READY, LEASED, ACKED, LOST = "ready", "leased", "acked", "lost"
DELAYED, DOOMED, DEAD = "delayed", "doomed", "dead"
DONE = (ACKED, LOST, DEAD)
TIMEOUT = 30.0
RULES = Rules(
    max_deliveries=3,
    retry_first_seconds=2.0,
    retry_last_seconds=3.0,
    max_lease_seconds=3 * TIMEOUT,
)
HOLDERS = st.integers(0, 2)
PARTS = st.tuples(st.integers(0, 5), st.integers(0, 5)).map(sorted)


class Holder:
    """Counts what it has in hand, as a stream does, and when it answered."""

    def __init__(self) -> None:
        self.in_hand = self.late = 0
        self.answers: list[tuple[int, float, float]] = []

    def released(self, count: int) -> None:
        """See ``broker.lease.Holder``."""
        self.in_hand -= count

    def answered(self, count: int, waited: float, left: float) -> None:
        """See ``broker.lease.Holder``."""
        self.answers.append((count, waited, left))

    def ran_out(self) -> None:
        """See ``broker.lease.Holder``."""
        self.late += 1


def new_group(floor: int = 0, rules: Rules = RULES, rng: random.Random | None = None) -> Group:
    numbers = itertools.count(1)
    return Group("g", floor, lambda: f"{next(numbers):x}", rules, rng or Unlucky())


class GroupMachine(RuleBasedStateMachine):
    """``state`` is the model: one word a message; ``tries`` how often each was handed out.

    ``due`` is when a delayed one is ready again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.group = new_group()
        self.holders = [Holder() for _ in range(3)]
        self.state: list[str] = []
        self.tries: list[int] = []
        self.due: dict[int, float] = {}
        self.start = 0
        self.leases: list[Lease] = []
        self.held: dict[str, set[int]] = {}
        self.returned: set[int] = set()

    @rule(count=st.integers(1, 8))
    def produce(self, count: int) -> None:
        self.state += [READY] * count
        self.tries += [0] * count

    @rule(limit=st.integers(1, 6), holder=HOLDERS)
    def take(self, limit: int, holder: int) -> None:
        ready = [n for n in range(self.start, len(self.state)) if self.state[n] == READY]
        before = ready[0] if ready else None
        lease = self.group.take(limit, len(self.state), self.now, TIMEOUT, self.holders[holder])
        if lease is None:
            assert before is None
            return
        taken = range(lease.start, lease.stop)
        assert 0 < len(taken) <= limit
        assert lease.start == before or lease.start in self.returned
        assert {self.state[n] for n in taken} == {READY}
        for number in taken:
            self.state[number] = LEASED
            self.tries[number] += 1
            assert lease.attempt == self.tries[number] <= RULES.max_deliveries
            self.returned.discard(number)
        self.holders[holder].in_hand += len(taken)
        self.leases.append(lease)
        self.held[lease.delivery] = set(taken)

    @precondition(lambda self: self.leases)
    @rule(pick=st.randoms(), part=PARTS)
    def settle(self, pick: Any, part: list[int]) -> None:
        lease = pick.choice(self.leases)
        first, last = lease.start + part[0], lease.start + part[1]
        wanted = set(range(first, last + 1))
        known = wanted & set(range(self.start, len(self.state)))
        already = sum(self.state[n] in DONE for n in known)
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
        self.untry(unsent)

    @precondition(lambda self: self.leases)
    @rule(pick=st.randoms(), part=PARTS)
    def release(self, pick: Any, part: list[int]) -> None:
        lease, gone = self.nack(pick, part, Nack("release"))
        self.leave(lease, gone, READY)
        self.untry(gone)

    @precondition(lambda self: self.leases)
    @rule(pick=st.randoms(), part=PARTS, delay=st.sampled_from([None, 1.0, 10.0]))
    def retry(self, pick: Any, part: list[int], delay: float | None) -> None:
        lease, gone = self.nack(pick, part, Nack("retry", delay, "not now"))
        last = lease.attempt >= RULES.max_deliveries
        self.leave(lease, gone, DOOMED if last else DELAYED)
        longest = min(RULES.retry_last_seconds, RULES.retry_first_seconds * 2**lease.attempt / 2)
        for number in gone:
            self.due[number] = self.now + (longest if delay is None else delay)

    @precondition(lambda self: self.leases)
    @rule(pick=st.randoms(), part=PARTS)
    def reject(self, pick: Any, part: list[int]) -> None:
        lease, gone = self.nack(pick, part, Nack("reject", None, "bad"))
        self.leave(lease, gone, DOOMED)

    def nack(self, pick: Any, part: list[int], wish: Nack) -> tuple[Lease, set[int]]:
        """Nack a part of some delivery; return it, and what was held of that part."""
        lease: Lease = pick.choice(self.leases)
        first, last = lease.start + part[0], lease.start + part[1]
        gone = self.held[lease.delivery] & set(range(first, last + 1))
        assert self.group.nack(lease.delivery, first, last, wish, self.now) == len(gone)
        return lease, gone

    @precondition(lambda self: self.leases)
    @rule(pick=st.randoms(), seconds=st.sampled_from([1.0, TIMEOUT, 10 * TIMEOUT]))
    def extend(self, pick: Any, seconds: float) -> None:
        lease = pick.choice(self.leases)
        held = self.held[lease.delivery]
        found = self.group.extend(lease.delivery, lease.start, lease.start + 99, self.now, seconds)
        assert found == len(held)
        if held:
            longest = lease.opened + RULES.max_lease_seconds
            assert lease.deadline == min(self.now + seconds, longest)

    @precondition(lambda self: self.group.doomed)
    @rule(pick=st.randoms())
    def bury(self, pick: Any) -> None:
        doomed: Doomed = pick.choice(self.group.doomed)
        self.check_doomed(doomed)
        self.group.buried(doomed)
        self.state[doomed.start : doomed.stop] = [DEAD] * (doomed.stop - doomed.start)

    @precondition(lambda self: self.group.doomed)
    @rule(pick=st.randoms())
    def fail_to_bury(self, pick: Any) -> None:
        doomed: Doomed = pick.choice(self.group.doomed)
        self.check_doomed(doomed)
        self.group.not_buried(doomed, self.now + 5.0)
        for number in range(doomed.start, doomed.stop):
            self.state[number] = DELAYED
            self.tries[number] -= 1
            self.due[number] = self.now + 5.0

    @precondition(lambda self: self.group.doomed)
    @rule(pick=st.randoms(), offset=st.integers(0, 40), kept=st.booleans())
    def seek_while_burying(self, pick: Any, offset: int, kept: bool) -> None:
        doomed: Doomed = pick.choice(self.group.doomed)
        self.seek(offset)
        if kept:
            self.group.buried(doomed)
        else:
            self.group.not_buried(doomed, self.now)

    @rule(offset=st.integers(0, 40))
    def seek(self, offset: int) -> None:
        self.start = min(offset, len(self.state))
        self.group.seek(self.start)
        self.state = [READY] * len(self.state)
        self.begin_anew()
        assert not any(holder.in_hand for holder in self.holders)

    def check_doomed(self, doomed: Doomed) -> None:
        """What is to be buried was rejected, or tried as often as may be."""
        assert doomed.reason == "REJECTED" or doomed.attempts == RULES.max_deliveries
        for number in range(doomed.start, doomed.stop):
            assert self.state[number] == DOOMED
            assert self.tries[number] == doomed.attempts

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
        delayed = [n for n, word in enumerate(self.state) if word == DELAYED]
        woken = [n for n in delayed if self.due[n] <= self.now]
        assert self.group.expire(self.now) == len(late) + len(woken)
        for number in woken:
            self.state[number] = READY
        for lease in due:
            self.give_back(lease)

    @rule(holder=HOLDERS)
    def drop(self, holder: int) -> None:
        gone = self.holders[holder]
        self.group.drop(gone)
        for lease in self.leases:
            if lease.holder is gone:
                self.give_back(lease)
        assert gone.in_hand == 0

    @rule()
    def restart(self) -> None:
        kept = self.group.state()
        self.group = new_group()
        self.group.restore(kept, 0, len(self.state))
        self.state = [word if word in DONE else READY for word in self.state]
        self.begin_anew()
        self.holders = [Holder() for _ in range(3)]

    def begin_anew(self) -> None:
        """Model: nothing is out, and nothing was tried."""
        self.tries = [0] * len(self.state)
        self.leases, self.held, self.due, self.returned = [], {}, {}, set()

    def give_back(self, lease: Lease) -> None:
        """Model: a delivery came to nothing."""
        last = lease.attempt >= RULES.max_deliveries
        self.leave(lease, set(self.held[lease.delivery]), DOOMED if last else READY)

    def untry(self, numbers: set[int]) -> None:
        """Model: these were not tried after all."""
        for number in numbers:
            self.tries[number] -= 1

    def leave(self, lease: Lease, numbers: set[int], word: str) -> None:
        """Model: these messages of a lease are now in another state."""
        for number in numbers:
            self.state[number] = word
            self.returned.add(number)
        self.held[lease.delivery] -= numbers

    @invariant()
    def the_books_balance(self) -> None:
        counts = self.group.counts(len(self.state))
        state = self.state[self.start :]
        assert counts["ready"] == sum(state.count(word) for word in (READY, DELAYED, DOOMED))
        assert counts["in_flight"] == state.count(LEASED)
        assert counts["acked"] == state.count(ACKED)
        assert counts["lost"] == state.count(LOST)
        assert counts["dead"] == state.count(DEAD)
        assert counts["lag"] == counts["ready"] + counts["in_flight"]

    @invariant()
    def holders_know_what_they_hold(self) -> None:
        in_hand = sum(holder.in_hand for holder in self.holders)
        assert in_hand == self.state.count(LEASED)

    @invariant()
    def the_floor_is_the_first_that_is_not_done(self) -> None:
        done = itertools.takewhile(lambda word: word in DONE, self.state[self.start :])
        assert self.group.floor == self.start + len(list(done))


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


def test_what_is_gone_below_the_log_is_lost_and_not_waited_for() -> None:
    group = new_group()
    group.restore({"start": 0, "floor": 3, "acked": [[4, 9]]}, first=6, end=20)
    assert group.floor == 9
    counts = group.counts(end=20)
    assert (counts["lost"], counts["acked"], counts["ready"]) == (1, 8, 11)


def test_acked_messages_beyond_a_hole_do_not_come_again_when_it_closes() -> None:
    group, holder = new_group(), Holder()
    group.restore({"start": 0, "floor": 0, "acked": [[2, 4]]}, first=0, end=6)
    lease = group.take(2, 6, 0.0, TIMEOUT, holder)
    assert lease
    group.settle(lease.delivery, 0, 1, 0.0)
    following = group.take(10, 6, 0.0, TIMEOUT, holder)
    assert following
    assert (following.start, following.stop) == (4, 6)


def take(group: Group, limit: int = 1, end: int = 1, now: float = 0.0) -> Lease:
    lease = group.take(limit, end, now, TIMEOUT, Holder())
    assert lease is not None
    return lease


def test_the_wait_before_a_retry_doubles_up_to_the_longest_and_is_drawn() -> None:
    rules = RULES._replace(max_deliveries=99, retry_first_seconds=1.0, retry_last_seconds=8.0)
    group, now, waits = new_group(rules=rules, rng=random.Random(1)), 0.0, []
    for _ in range(6):
        lease = take(group, now=now)
        group.nack(lease.delivery, 0, 0, Nack("retry"), now)
        due = next(n for n in itertools.count() if group.expire(now + n / 100)) / 100
        waits.append(due)
        now += due
    for wait, longest in zip(waits, [1, 2, 4, 8, 8, 8], strict=True):
        assert longest / 2 <= wait <= longest + 0.01
    assert len(set(waits[3:])) > 1


def test_a_wait_of_thousands_of_attempts_is_the_longest() -> None:
    rules = RULES._replace(max_deliveries=10**6)
    group = new_group(rules=rules)
    lease = take(group)
    lease.attempt = 5000
    group.nack(lease.delivery, 0, 0, Nack("retry"), 0.0)
    assert not group.expire(RULES.retry_last_seconds - 0.1)
    assert group.expire(RULES.retry_last_seconds)


def test_the_last_delivery_that_is_given_back_is_not_retried() -> None:
    group, now = new_group(), 0.0
    for attempt in range(1, RULES.max_deliveries + 1):
        assert not group.doomed
        lease = take(group, now=now)
        assert lease.attempt == attempt
        group.nack(lease.delivery, 0, 0, Nack("retry", 0.0), now)
        now += 1.0
        group.expire(now)
    (doomed,) = group.doomed
    assert (doomed.attempts, doomed.reason) == (RULES.max_deliveries, "DELIVERY_LIMIT")


def test_what_was_skipped_by_a_seek_was_never_settled() -> None:
    group = new_group()
    lease = take(group)
    group.seek(1)
    assert group.settle(lease.delivery, 0, 0, 0.0) == (0, 0)


def test_an_extension_gives_no_more_than_what_is_held() -> None:
    group = new_group()
    lease = take(group, limit=4, end=4)
    group.settle(lease.delivery, 0, 1, 0.0)
    assert group.extend(lease.delivery, 0, 10**17, 1.0, TIMEOUT) == 2
    assert group.extend(lease.delivery, 0, 1, 2.0, TIMEOUT) == 0
    assert lease.deadline == 1.0 + TIMEOUT
