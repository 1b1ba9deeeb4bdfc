"""What one consume stream has a right to: some partitions, for one group, within a limit."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import msgspec

from broker.group import Group
from broker.lease import Lease
from broker.member import Farewell, Member
from broker.pace import Pace
from broker.partition import Partition
from common import logs
from common.clock import Clock
from common.journal.frame import FOR_ONE, Record

log = logs.get("broker.subscription")

FOR_GROUP = "group"


@dataclass(frozen=True)
class Limits:
    """How much a stream takes: messages unacked, messages an event, about bytes an event."""

    in_flight: int
    batch: int
    event_bytes: int
    timeout_seconds: float


@dataclass(frozen=True)
class Handout:
    """Messages leased to a stream, and the records they lie in, in order."""

    partition: Partition
    lease: Lease
    records: list[Record]


class Subscription:
    """Takes leases from its partitions in turn; the holder of them all."""

    def __init__(
        self,
        group: str,
        places: list[tuple[Partition, Group]],
        limits: Limits,
        clock: Clock,
        member: Member | None = None,
    ) -> None:
        self.group = group
        self.member = member or Member()
        self.farewell: Farewell | None = None
        self.in_flight = 0
        self.pace = Pace(limits.in_flight)
        self._places = places
        self._limits = limits
        self._clock = clock
        self._turn = 0
        self._news = asyncio.Event()

    def open(self) -> None:
        """Begin to hear of new messages."""
        for partition, _ in self._places:
            partition.watch(self)

    def close(self) -> None:
        """Give everything back at once."""
        for partition, group in self._places:
            partition.unwatch(self)
            group.drop(self)
            partition.notify()

    def dismiss(self, farewell: Farewell) -> None:
        """See ``Waker``; the stream ends as soon as it looks."""
        self.farewell = farewell
        self.close()
        self.wake()

    def wake(self) -> None:
        """Something may have become ready."""
        self._news.set()

    def released(self, count: int) -> None:
        """There is room again."""
        self.in_flight -= count
        self._news.set()

    def answered(self, count: int, waited: float, left: float) -> None:
        """See ``Holder``."""
        self.pace.answered(count, waited, left)

    def ran_out(self) -> None:
        """See ``Holder``."""
        self.pace.ran_out()

    async def wait(self, seconds: float) -> None:
        """Return when something may be ready, or when ``seconds`` passed in silence."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    async def next(self) -> Handout | None:
        """Lease what comes next, or return None: nothing is ready, or there is no room."""
        self._news.clear()
        for _ in self._places:
            partition, group = self._places[self._turn]
            self._turn = (self._turn + 1) % len(self._places)
            handout = await self._take(partition, group)
            if handout is not None:
                self._news.set()
                return handout
        return None

    async def _take(self, partition: Partition, group: Group) -> Handout | None:
        room = self.pace.room(self.in_flight, self._limits.batch)
        if room <= 0:
            return None
        partition.expire_group(group)
        now = self._clock.monotonic()
        lease = group.take(room, partition.end, now, self._limits.timeout_seconds, self)
        if lease is None:
            return None
        self.in_flight += lease.stop - lease.start
        return await self._fetch(partition, group, lease)

    async def _fetch(self, partition: Partition, group: Group, lease: Lease) -> Handout | None:
        try:
            records = await partition.read(lease.start, self._limits.event_bytes)
        except BaseException:
            group.shrink(lease, lease.start)
            raise
        if not group.holds(lease):
            return None  # the disk took longer than the visibility timeout
        first = min(records[0].offset if records else partition.end, lease.stop)
        if first > lease.start:
            self._lost(partition, group, lease, first)
            return None
        records, ours = alike(contiguous(records, lease.stop), group.name)
        if records[-1].end < lease.stop:
            group.shrink(lease, records[-1].end)
            partition.notify()
        if not ours:
            group.pass_over(lease, lease.start, lease.stop)
            return None
        return Handout(partition, lease, records)

    def _lost(self, partition: Partition, group: Group, lease: Lease, first: int) -> None:
        """The disk lacks messages that were leased: say so, and go on behind them."""
        if group.floor < first:  # or else they were dropped meanwhile, on purpose
            log.error(
                "messages lost",
                partition=partition.name,
                group=group.name,
                first=lease.start,
                last=first - 1,
            )
        start = lease.start
        group.shrink(lease, first)
        group.lose(lease, start, first)


def contiguous(records: list[Record], stop: int) -> list[Record]:
    """The records from the first one on that follow one on another, below ``stop``."""
    found = records[:1]
    for record in records[1:]:
        if record.offset != found[-1].end or record.offset >= stop:
            break
        found.append(record)
    return found


def only_for(record: Record) -> str | None:
    """The one group that a record is for, or None: it is for all."""
    if not record.flags & FOR_ONE:
        return None
    return str(msgspec.msgpack.decode(record.meta)[FOR_GROUP])


def alike(records: Sequence[Record], group: str) -> tuple[list[Record], bool]:
    """The first records that are all for a group, or all for others, and which of the two."""
    ours = only_for(records[0]) in (None, group)
    found = takewhile(lambda record: (only_for(record) in (None, group)) == ours, records)
    return list(found), ours
