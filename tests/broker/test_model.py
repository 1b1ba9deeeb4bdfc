"""A whole topic on a disk that forgets, against a queue of a few dictionaries.

``EXAMPLES`` runs of up to ``STEPS`` random events each, ``LEAST_STEPS`` in all at the least. A
failure prints its events and a ``@reproduce_failure`` line; put above ``QueueMachine``
it runs them again.
"""

import asyncio
import errno
import itertools
import random
from bisect import bisect_left
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from broker.burial import AGAIN_SECONDS, bury, redrive
from broker.commit import Draft, Stored
from broker.group import Group
from broker.group_verbs import PURGED
from broker.partition import Partition
from broker.settings import DROP_OLDEST
from broker.subscription import Handout, Limits, Subscription
from broker.surroundings import Surroundings
from broker.topic import Topic
from broker.topics import Topics
from broker.verdicts import Nack
from common.clock import from_rfc3339, to_rfc3339
from common.journal.frame import LINES, TEXT
from tests.broker.model import (
    ACKED,
    DEAD,
    DELAYED,
    DONE,
    DOOMED,
    DROPPED,
    FOREIGN,
    LEASED,
    READY,
    Delivery,
    GroupModel,
    Letter,
)
from tests.support.broker import broker_options
from tests.support.chance import Unlucky
from tests.support.clock import EPOCH, ManualClock
from tests.support.files import MemoryFiles

EXAMPLES = 560
STEPS = 50
LEAST_STEPS = 20_000

T = TypeVar("T")
GROUPS = ("a", "b")
TIMEOUT = 30.0
WINDOW_SECONDS = 100.0
RETENTION_SECONDS = 60.0
MOST_KEYS = 4
MAX_DELIVERIES = 3
OPTIONS = broker_options(
    Path("/data"),
    partitions_per_topic=1,
    segment_bytes=4096,
    queue_size=3,
    idempotency_keys=MOST_KEYS,
    idempotency_seconds=WINDOW_SECONDS,
    max_deliveries=MAX_DELIVERIES,
    max_lease_seconds=2 * TIMEOUT,
    retry_first_seconds=2.0,
    retry_last_seconds=3.0,
    retention_seconds=RETENTION_SECONDS,
    retention_bytes=12_000,
)
ALL = "all"
PICK = st.randoms(use_true_random=False)
GROUP = st.sampled_from(GROUPS)
PART = st.tuples(st.integers(0, 4), st.integers(0, 4)).map(sorted)
ITEM = st.tuples(
    st.integers(1, 4),
    st.sampled_from([1, 300, 900]),
    st.sampled_from(["", "", "k1", "k2", "k3", "k4", "k5", "k6"]),
    st.sampled_from(["fsync", "disk", "memory"]),
)


def minute(seconds: int) -> str:
    """A time in the life of the machine, more or less."""
    return to_rfc3339(int((EPOCH + seconds * 7) * 1000))


class Keyed(NamedTuple):
    """A stored request with an idempotency key."""

    key: str
    offset: int
    messages: int
    stored_at: int


class AtOnce(ManualClock):
    """Does not wait at all."""

    async def sleep(self, seconds: float) -> None:
        """See ``Clock``."""
        await asyncio.sleep(0)


class QueueMachine(RuleBasedStateMachine):
    """``log`` is every payload by offset; below ``safe`` nothing may be lost.

    ``made`` is when each was created, in milliseconds; ``foreign`` names the one group that a
    redriven message is for; ``paused`` the groups that get nothing, or ``ALL`` of them. ``steps``
    counts the events of all runs.
    """

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.disk = ThreadPoolExecutor(1)
        self.files = MemoryFiles()
        self.clock = ManualClock()
        self.deliveries = itertools.count(1)
        self.bodies = itertools.count(1)
        self.log: dict[int, bytes] = {}
        self.foreign: dict[int, str] = {}
        self.safe = 0
        self.made: list[int] = []
        self.keyed: list[Keyed] = []
        self.paused: set[str] = set()
        self.model: dict[str, GroupModel] = {}
        self.streams: list[Subscription] = []
        self.topics: Topics
        self.topic: Topic
        self.open()

    # -- opening and closing

    def open(self) -> None:
        """Start a broker's topics on what the files hold."""
        shared = Surroundings(
            OPTIONS, self.files, self.disk, self.clock, Unlucky(), self.new_delivery
        )
        self.topics = Topics(Path("/data/topics"), shared)
        self.run(self.topics.open())
        self.topic = self.run(self.topics.ensure("t"))
        self.streams = []

    def new_delivery(self) -> str:
        return f"{next(self.deliveries):x}"

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    @property
    def partition(self) -> Partition:
        return self.topic.partition(0)

    @property
    def now(self) -> float:
        return self.clock.monotonic()

    def place(self, group: str) -> Group:
        found = self.partition.groups.get(group)
        assert found is not None
        return found

    def teardown(self) -> None:
        try:
            self.drain()
        finally:
            self.run(self.topics.close())
            self.disk.shutdown()
            self.loop.close()

    # -- events

    @rule(items=st.lists(ITEM, min_size=1, max_size=4))
    def produce(self, items: list[tuple[int, int, str, str]]) -> None:
        drafts = [self.draft(count, size, key) for count, size, key, _ in items]
        known = self.remembered()
        stored = self.run(self.store(drafts, [item[3] for item in items]))
        first = {place.offset for place in stored if not place.duplicate}
        assert sorted(first) == sorted(o for o in first if o not in self.log)
        for draft, place in sorted(zip(drafts, stored, strict=True), key=by_offset):
            if place.duplicate:
                self.check_duplicate(draft.idempotency_key, place)
                continue
            assert draft.idempotency_key not in known
            assert (place.offset, place.messages) == (len(self.log), draft.messages)
            self.enter(draft, place)
        synced = [p for p, item in zip(stored, items, strict=True) if item[3] == "fsync"]
        self.safe = max([self.safe, *(place.offset + place.messages for place in synced)])

    async def store(self, drafts: list[Draft], durabilities: list[str]) -> list[Stored]:
        """Produce all at once; return when the disk has them all."""
        waiting = [
            self.partition.produce(draft, durability)
            for draft, durability in zip(drafts, durabilities, strict=True)
        ]
        stored = await asyncio.gather(*waiting)
        end = max(place.offset + place.messages for place in stored)
        while self.partition.end < end:  # noqa: ASYNC110  what went to memory tells nobody
            await asyncio.sleep(0)
        return stored

    @initialize(items=st.lists(ITEM, min_size=1, max_size=4), limit=st.integers(1, 6))
    def begin(self, items: list[tuple[int, int, str, str]], limit: int) -> None:
        self.produce(items)
        self.connect("a", "earliest", limit)

    @precondition(lambda self: len(self.streams) < 4)
    @rule(
        group=GROUP,
        start=st.sampled_from(["earliest", "latest"]) | st.integers(0, 40).map(minute),
        limit=st.integers(1, 6),
    )
    def connect(self, group: str, start: str, limit: int) -> None:
        place = self.run(self.partition.open_group(group, start))
        if group not in self.model:
            self.model[group] = GroupModel(MAX_DELIVERIES)
            for offset in self.log:
                self.model[group].add(offset, self.foreign.get(offset, group) != group)
            self.model[group].seek(self.end_of(start))
        limits = Limits(limit, min(limit, 4), 1500, TIMEOUT)
        self.streams.append(Subscription(group, [(self.partition, place)], limits, self.clock))
        self.streams[-1].open()

    @precondition(lambda self: self.streams)
    @rule(pick=PICK)
    def disconnect(self, pick: random.Random) -> None:
        stream = self.streams.pop(pick.randrange(len(self.streams)))
        stream.close()
        model = self.model[stream.group]
        for name, delivery in model.out.items():
            if delivery.holder is stream:
                model.give_back(name)
        assert stream.in_flight == 0

    @precondition(lambda self: self.streams)
    @rule(pick=PICK)
    def consume(self, pick: random.Random) -> None:
        self.receive(pick.choice(self.streams))

    @precondition(lambda self: self.streams)
    @rule(pick=PICK, part=PART)
    def ack(self, pick: random.Random, part: list[int]) -> None:
        for model, place, name, first, last in self.some_part(pick, part):
            done, _ = self.partition.settle(place, name, first, last)
            assert done == model.settle(name, range(first, last + 1))

    @precondition(lambda self: self.streams)
    @rule(pick=PICK, part=PART, delay=st.sampled_from([None, 1.0, 40.0]))
    def nack_retry(self, pick: random.Random, part: list[int], delay: float | None) -> None:
        for model, place, name, first, last in self.some_part(pick, part):
            wait = min(3.0, 2.0 ** model.out[name].attempt) if delay is None else delay
            done = self.partition.nack(place, name, first, last, Nack("retry", delay, "later"))
            due = self.now + wait
            assert done == model.retry(name, range(first, last + 1), due, "later")

    @precondition(lambda self: self.streams)
    @rule(pick=PICK, part=PART)
    def nack_release(self, pick: random.Random, part: list[int]) -> None:
        for model, place, name, first, last in self.some_part(pick, part):
            done = self.partition.nack(place, name, first, last, Nack("release"))
            assert done == model.release(name, range(first, last + 1))

    @precondition(lambda self: self.streams)
    @rule(pick=PICK, part=PART)
    def nack_reject(self, pick: random.Random, part: list[int]) -> None:
        for model, place, name, first, last in self.some_part(pick, part):
            done = self.partition.nack(place, name, first, last, Nack("reject", None, "bad"))
            assert done == model.reject(name, range(first, last + 1), "bad")

    @precondition(lambda self: self.streams)
    @rule(pick=PICK, seconds=st.sampled_from([5.0, 40.0, 59.0]))
    def extend(self, pick: random.Random, seconds: float) -> None:
        for model, place, name, first, last in self.some_part(pick, [0, 9]):
            delivery = model.out[name]
            count = self.partition.extend(place, name, first, last, seconds)
            assert count == len(delivery.offsets)
            if count:
                delivery.deadline = min(self.now + seconds, delivery.opened + 2 * TIMEOUT)

    @rule(seconds=st.sampled_from([1.0, 10.0, TIMEOUT, RETENTION_SECONDS, WINDOW_SECONDS]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.partition.expire()
        for model in self.model.values():
            model.pass_time(self.now)

    @precondition(lambda self: self.any_doomed())
    @rule(full=st.booleans())
    def bury(self, full: bool) -> None:
        if full:
            self.files.fail("write", errno.ENOSPC)
        failing = full
        for name in [group.name for group in self.partition.groups]:
            for doomed in self.place(name).doomed:
                for offset in range(doomed.start, doomed.stop):
                    if failing:
                        self.model[name].not_bury(offset, self.now + AGAIN_SECONDS)
                    else:
                        self.model[name].bury(offset, self.log[offset])
                failing = False
        self.run(bury(self.topic, self.clock))
        self.files.faults.clear()

    @precondition(lambda self: self.model)
    @rule(pick=PICK)
    def redrive(self, pick: random.Random) -> None:
        name, model = pick.choice(sorted(self.model.items()))
        self.run(redrive(self.topic, name, "", 100.0, AtOnce()))
        for letter in model.letters:
            offset = len(self.log)
            self.log[offset], self.foreign[offset] = letter.payload, name
            self.note_time(1)
            for other, place in self.model.items():
                place.add(offset, foreign=other != name)
            self.safe = len(self.log)
        self.take_out(model)

    @precondition(lambda self: self.topic.dead)
    @rule(pick=PICK)
    def purge(self, pick: random.Random) -> None:
        name = pick.choice(sorted(self.topic.dead))
        self.run(self.topic.dead[name].purge())
        self.take_out(self.model[name])

    @precondition(lambda self: self.model)
    @rule(
        pick=PICK,
        to=st.sampled_from(["earliest", "latest"])
        | st.integers(0, 40)
        | st.integers(0, 40).map(minute),
    )
    def seek(self, pick: random.Random, to: str | int) -> None:
        name = pick.choice(sorted(self.model))
        offset = self.run(self.partition.seek(name, str(to)))
        assert offset == self.end_of(to)
        self.model[name].seek(offset)

    @precondition(lambda self: self.model)
    @rule(pick=PICK)
    def purge_group(self, pick: random.Random) -> None:
        name = pick.choice(sorted(self.model))
        lag = self.place(name).counts(self.partition.end)["lag"]
        assert self.partition.let_go(self.place(name), self.partition.end, PURGED) == lag
        self.model[name].let_go(len(self.log))
        if pick.random() < 0.5:
            self.run(self.partition.groups.save(surely=True))

    @rule(what=st.sampled_from([ALL, *GROUPS]), on=st.booleans())
    def pause(self, what: str, on: bool) -> None:
        group = None if what == ALL else what
        if on:
            self.run(self.topic.pause(group))
            self.paused.add(what)
        else:
            self.run(self.topic.resume(group))
            self.paused = self.paused - {what} if group else set()

    @rule(seconds=st.sampled_from([1.0, 20.0, 3600.0]))
    def set_back(self, seconds: float) -> None:
        self.clock.jump_wall(-seconds)

    @rule(what=st.sampled_from(["checkpoint", "retire", "restart", "drop_oldest"]))
    def operate(self, what: str) -> None:
        getattr(self, what)()

    def checkpoint(self) -> None:
        self.run(self.partition.groups.save())

    def retire(self) -> None:
        first, size = self.partition.first_offset, self.partition.disk_bytes
        segments = self.run(self.partition.retire())
        assert bool(segments) == (self.partition.first_offset > first)
        assert (self.partition.disk_bytes < size) == bool(segments)
        for model in self.model.values():
            for offset in range(model.start, self.partition.first_offset):
                assert model.messages[offset].state in (*DONE, FOREIGN)
        assert self.model or not segments

    def drop_oldest(self) -> None:
        first, retention = self.partition.first_offset, self.partition.retention
        keeping = retention.policy
        retention.follow(keeping._replace(overflow=DROP_OLDEST, retention_bytes=6000))
        segments = self.run(self.partition.retire())
        retention.follow(keeping)
        assert bool(segments) == (self.partition.first_offset > first)
        assert segments or self.partition.disk_bytes <= 6000 or self.partition.first_offset == first
        for model in self.model.values():
            model.let_go(self.partition.first_offset)

    def restart(self) -> None:
        while self.streams:
            self.streams.pop().close()
        self.run(self.topics.close())
        self.open()
        assert self.partition.end == len(self.log)
        self.safe = len(self.log)
        for name, model in self.model.items():
            place = self.place(name)
            assert done_by(place) >= {
                n for n, m in model.messages.items() if m.state in DONE and n >= model.start
            }
            self.begin_again(name, model)
            assert place.start == model.start

    @rule(torn=st.none() | PICK)
    def crash(self, torn: random.Random | None) -> None:
        self.files.crash(torn)
        self.open()
        end = self.partition.end
        assert self.safe <= end <= len(self.log)
        self.log = {offset: self.log[offset] for offset in range(end)}
        del self.made[end:]
        self.foreign = {offset: name for offset, name in self.foreign.items() if offset < end}
        self.safe = end
        self.keyed = [keyed for keyed in self.keyed if keyed.offset < end]
        for name, model in self.model.items():
            for offset in [offset for offset in model.messages if offset >= end]:
                model.was_cut |= model.messages.pop(offset).state in DONE
            model.start = min(model.start, end)
            self.begin_again(name, model)

    # -- what is known of the truth

    def draft(self, count: int, size: int, key: str) -> Draft:
        payloads = [b"%d." % next(self.bodies) + b"x" * size for _ in range(count)]
        meta = msgspec.msgpack.encode({"idempotency_key": key}) if key else b""
        flags = TEXT | (LINES if count > 1 else 0)
        return Draft(b"\n".join(payloads), count, flags, meta, key)

    def enter(self, draft: Draft, place: Stored) -> None:
        for offset, payload in enumerate(draft.body.split(b"\n"), place.offset):
            self.log[offset] = payload
            self.note_time(1)
            for model in self.model.values():
                model.add(offset, foreign=False)
        if draft.idempotency_key:
            made = self.made[place.offset]
            self.keyed.append(Keyed(draft.idempotency_key, place.offset, place.messages, made))

    def note_time(self, messages: int) -> None:
        """They were created now, or with the one before if the clock was set back."""
        self.made += [max([self.wall_ms, *self.made[-1:]])] * messages

    def remembered(self) -> set[str]:
        """The keys that must be known: the newest few, within the window."""
        newest = list(dict.fromkeys(keyed.key for keyed in reversed(self.keyed)))[:MOST_KEYS]
        latest = max([self.wall_ms, *self.made[-1:]])  # a clock set back brings no key back
        return {k.key for k in self.keyed if self.is_fresh(k, latest)} & set(newest)

    @property
    def wall_ms(self) -> int:
        return int(self.clock.wall() * 1000)

    def is_fresh(self, keyed: Keyed, now_ms: int) -> bool:
        return keyed.stored_at >= now_ms - WINDOW_SECONDS * 1000

    def check_duplicate(self, key: str, place: Stored) -> None:
        """A duplicate is of the latest request with that key, which is young enough."""
        first = [keyed for keyed in self.keyed if keyed.key == key][-1]
        assert self.is_fresh(first, self.wall_ms)
        assert (place.offset, place.messages) == (first.offset, first.messages)

    def end_of(self, start: str | int) -> int:
        if start == "latest":
            return len(self.log)
        moment = from_rfc3339(str(start))
        if moment is not None:
            wanted = bisect_left(self.made, moment)
        else:
            wanted = 0 if start == "earliest" else int(start)
        return min(max(wanted, self.partition.first_offset), len(self.log))

    def receive(self, stream: Subscription) -> bool:
        """One handout, if there is one; and there is one whenever there should be."""
        model = self.model[stream.group]
        if self.paused & {ALL, stream.group}:
            assert self.run(stream.next()) is None
            return False
        handout = None
        for _ in range(len(self.log) + 1):  # it passes over what is for others
            handout = self.run(stream.next())
            if handout is not None or not model.having(READY):
                break
        limits = stream._limits
        held = sum(
            len(delivery.offsets) for delivery in model.out.values() if delivery.holder is stream
        )
        if handout is None:
            is_full = held > 0 and stream.pace.room(held, limits.batch) == 0
            assert is_full or not model.having(READY)
            return False
        self.check_handout(stream, model, handout, limits.in_flight - held)
        return True

    def check_handout(
        self, stream: Subscription, model: GroupModel, handout: Handout, room: int
    ) -> None:
        lease = handout.lease
        offsets = range(lease.start, lease.stop)
        assert 0 < len(offsets) <= min(room, 4)
        found = {
            record.offset + index: payload
            for record in handout.records
            for index, payload in enumerate(record.payloads())
        }
        assert {n: found[n] for n in offsets} == {n: self.log[n] for n in offsets}
        delivery = Delivery(set(offsets), lease.attempt, self.now, self.now + TIMEOUT, stream)
        model.deliver(lease.delivery, offsets, delivery)

    def some_part(
        self, pick: random.Random, part: list[int]
    ) -> Iterator[tuple[GroupModel, Group, str, int, int]]:
        """A part of some delivery, maybe of one that is settled; a fresh one if there is none."""
        stream = pick.choice(self.streams)
        model = self.model[stream.group]
        if not any(delivery.offsets for delivery in model.out.values()):
            self.receive(stream)
        held = [name for name, delivery in model.out.items() if delivery.offsets]
        names = held if held and pick.random() < 0.9 else list(model.out)
        if names:
            name = pick.choice(names)
            base = min(model.out[name].offsets, default=0)
            yield model, self.place(stream.group), name, base + part[0], base + part[1]

    def any_doomed(self) -> bool:
        return any(model.having(DOOMED) for model in self.model.values())

    def take_out(self, model: GroupModel) -> None:
        model.taken_out += model.letters
        model.letters = []

    def begin_again(self, name: str, model: GroupModel) -> None:
        """Take over what a restart kept: never more than was done, and every dead letter."""
        done = done_by(self.place(name))
        for offset in done & model.messages.keys():
            if offset >= model.start:
                assert model.messages[offset].state in (*DONE, FOREIGN)
        model.restart(done)
        found = self.letters_of(name)
        back = [letter for letter in found if letter not in model.letters]
        assert [letter for letter in found if letter in model.letters] == model.letters
        assert all(letter in model.taken_out for letter in back)
        model.letters = found

    def letters_of(self, group: str) -> list[Letter]:
        dead = self.topic.dead.get(group)
        page = self.run(dead.page(0, 1000)) if dead else []
        return [
            Letter(k.letter.offset, k.letter.attempts, k.letter.reason, k.letter.error, k.payload)
            for k in page
        ]

    def drain(self) -> None:
        """In the end everything was delivered, lies in the dead-letter queue, or was dropped."""
        self.pause(ALL, on=False)
        for stream in self.streams:
            stream.close()
        for name, model in self.model.items():
            model.restart(done_by(self.place(name)))
        self.run(self.topics.close())
        self.open()
        for name, model in self.model.items():
            place = self.place(name)
            limits = Limits(1000, 4, 1500, TIMEOUT)
            stream = Subscription(name, [(self.partition, place)], limits, self.clock)
            while self.receive(stream):
                pass
            assert not model.having(READY)

    # -- what always holds

    @invariant()
    def the_books_balance(self) -> None:
        for name, model in self.model.items():
            counts = self.place(name).counts(self.partition.end)
            states = [m.state for n, m in model.messages.items() if n >= model.start]
            waiting = sum(states.count(state) for state in (READY, DELAYED, DOOMED))
            foreign = states.count(FOREIGN)
            assert counts["in_flight"] == states.count(LEASED)
            assert counts["dead"] == states.count(DEAD)
            assert waiting <= counts["ready"] <= waiting + foreign
            assert counts["lost"] == 0
            parts = ("ready", "in_flight", "acked", "dead", "dropped")
            assert sum(counts[part] for part in parts) == self.partition.end - model.start
            if not model.was_cut:
                assert counts["acked"] >= states.count(ACKED)
                dropped = states.count(DROPPED)
                assert dropped <= counts["dropped"] <= dropped + foreign

    @invariant()
    def pauses_hold(self) -> None:
        for group in self.partition.groups:
            assert group.paused == bool(self.paused & {ALL, group.name})

    @invariant()
    def a_step_was_made(self) -> None:
        QueueMachine.steps += 1

    @invariant()
    def dead_letters_are_exactly_those_that_died(self) -> None:
        for name, model in self.model.items():
            assert self.letters_of(name) == model.letters
            if name in self.topic.dead:
                assert self.topic.dead[name].depth == len(model.letters)

    @invariant()
    def the_log_holds_what_was_stored(self) -> None:
        assert self.partition.end == len(self.log)
        assert self.partition.window.messages <= 3


def by_offset(pair: tuple[Draft, Stored]) -> tuple[int, bool]:
    return pair[1].offset, pair[1].duplicate


def done_by(group: Group) -> set[int]:
    """Every offset that a group will not see again."""
    acked = {n for low, high in group.acked for n in range(low, high)}
    return acked | set(range(group.floor))


class TestQueue(QueueMachine.TestCase):  # type: ignore[misc, valid-type]  # made by hypothesis
    """The machine, and the count of what it did."""

    settings = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )

    def runTest(self) -> None:  # noqa: N802  unittest calls it so
        QueueMachine.steps = 0
        super().runTest()
        assert QueueMachine.steps >= LEAST_STEPS
