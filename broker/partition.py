"""One partition: its log, the memory in front of it, and every group's place in it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from broker.commit import Committer, Draft, Stored
from broker.group import Group
from broker.member import Farewell, Member
from broker.pace import Pace
from broker.places import Places
from broker.retention import Retention
from broker.settings import TopicSettings, policy_of
from broker.surroundings import Surroundings
from broker.verdicts import Nack
from broker.window import Window
from common import logs
from common.journal.frame import Record
from common.threads import run_in
from common.wire import start_time

log = logs.get("broker.partition")


class Waker(Protocol):
    """Who wants to know that a partition may have something to hand out."""

    group: str
    in_flight: int
    pace: Pace
    member: Member

    def wake(self) -> None:
        """Look again."""

    def dismiss(self, farewell: Farewell) -> None:
        """Give everything back, say so, and go."""


class Partition:
    """Takes records in, gives them out to groups.

    ``end`` is the offset after the newest message that may be delivered. It changes on the event
    loop alone, so that whatever is counted up to it in one go adds up.
    """

    def __init__(self, topic: str, number: int, directory: Path, shared: Surroundings) -> None:
        self.topic = topic
        self.number = number
        self.name = f"{topic}/{number}"
        self.window = Window(shared.options.queue_size, shared.options.queue_bytes)
        self.groups = Places(self.name, directory, shared)
        self._shared = shared
        self._committer = Committer(self.name, directory, shared)
        self._committer.committed = self._committed
        self._journal = self._committer.journal
        self.retention = Retention(
            self.name,
            self._committer,
            self.groups,
            self.let_go,
            policy_of(TopicSettings(), shared.options),
            shared.options.segment_bytes,
        )
        self.wakers: set[Waker] = set()
        self.end = self._journal.next_offset
        self.groups.load(self.first_offset, self.end)

    @property
    def first_offset(self) -> int:
        """The oldest offset on disk."""
        return self._journal.first_offset

    @property
    def depth(self) -> int:
        """Messages some group has not settled yet; all there are while there is no group."""
        return self.end - self.groups.floor(self.first_offset)

    @property
    def spilled(self) -> int:
        """Messages on disk alone that some group has not settled."""
        in_memory = self.window.first_offset
        begun = self.end if in_memory is None else in_memory
        return max(0, begun - self.groups.floor(self.first_offset))

    @property
    def commits(self) -> tuple[int, int]:
        """Times the log was written to since the start, and records written."""
        return self._committer.commits, self._committer.committed_records

    @property
    def disk_bytes(self) -> int:
        """Bytes on disk."""
        return self._journal.size

    @property
    def corrupt_frames(self) -> int:
        """Damaged places met since the start."""
        return self._journal.corrupt_frames

    @property
    def newest_ms(self) -> int:
        """When the newest record was made, milliseconds since 1970 UTC; 0 while there is none."""
        return self._committer.newest_ms

    @property
    def problem(self) -> str:
        """Why nothing can be produced here; empty when it can."""
        return self._journal.read_only

    async def produce(self, draft: Draft, durability: str) -> Stored:
        """Store one frame; return when ``durability`` is reached."""
        if self.retention.policy.max_partition_bytes:
            await self.retention.find_room(len(draft.body))
        return await self._committer.store(draft, durability)

    async def read(self, offset: int, max_bytes: int) -> list[Record]:
        """Records from the one that holds ``offset`` on: from memory, or else from disk."""
        found = self.window.find(offset, max_bytes)
        if found or offset >= self.end:
            return found
        return await run_in(self._shared.disk, self._journal.read, offset, max_bytes)

    async def open_group(self, name: str, start: str) -> Group:
        """Return a group's place, made at ``start`` if it is new; see ``place_of``."""
        group = self.groups.get(name)
        if group is not None:
            return group
        offset = await self.place_of(start)
        found = self.groups.get(name)
        return found or await self.groups.open(name, offset, self.first_offset)

    async def seek(self, name: str, start: str) -> int:
        """Move a group, or make it there; return the offset it goes on from."""
        offset = await self.place_of(start)
        group = self.groups.get(name)
        group = group or await self.groups.open(name, offset, self.first_offset)
        group.seek(offset)
        await self.groups.save(surely=True)
        self.notify()
        return offset

    async def place_of(self, start: str) -> int:
        """Where ``earliest``, ``latest``, an offset or a time is, within what there is."""
        if start == "latest":
            return self.end
        wanted = int(start) if start.isdigit() else 0
        moment = start_time(start)
        if moment is not None:
            wanted = await self._committer.first_since(moment)
        return min(max(wanted, self.first_offset), self.end)

    def let_go(self, group: Group, stop: int, reason: str) -> int:
        """Have a group be done with everything below an offset; return how many messages."""
        count = group.let_go(stop, reason)
        self.window.release(self.groups.floor(self.first_offset))
        self.notify()
        return count

    def settle(self, group: Group, delivery: str, first: int, last: int) -> tuple[int, int]:
        """Ack messages of a delivery; see ``Group.settle``."""
        self.expire_group(group)
        result = group.settle(delivery, first, last, self._shared.clock.monotonic())
        self.window.release(self.groups.floor(self.first_offset))
        return result

    def nack(self, group: Group, delivery: str, first: int, last: int, nack: Nack) -> int:
        """Give messages of a delivery back; see ``Group.nack``."""
        self.expire_group(group)
        count = group.nack(delivery, first, last, nack, self._shared.clock.monotonic())
        self.notify()
        return count

    def extend(self, group: Group, delivery: str, first: int, last: int, seconds: float) -> int:
        """Give a delivery more time; see ``Group.extend``."""
        self.expire_group(group)
        return group.extend(delivery, first, last, self._shared.clock.monotonic(), seconds)

    def look_at_disk(self) -> None:
        """Answer produces that wait for a disk that hangs."""
        self._committer.look_at_disk()

    def expire(self) -> None:
        """Take back what was held too long or delayed until now."""
        for group in self.groups:
            self.expire_group(group)

    def expire_group(self, group: Group) -> None:
        """Take back what one group had for too long; whoever waits for it hears of it."""
        if group.expire(self._shared.clock.monotonic()):
            self.notify()

    async def retire(self) -> int:
        """Unlink files that are old or too many; return how many. See ``Retention``."""
        return await self.retention.retire()

    async def look_at_oldest(self) -> None:
        """Note the time of each group's first message that is not settled."""
        for group in list(self.groups):
            floor = group.floor
            if floor < self.end and (group.oldest is None or group.oldest[0] != floor):
                records = await self.read(floor, 1)
                group.oldest = (floor, records[0].created_at) if records else None

    def watch(self, waker: Waker) -> None:
        """Wake ``waker`` whenever something may have become ready."""
        self.wakers.add(waker)
        place = self.groups.get(waker.group)
        if place is not None:
            place.idle_seconds = 0.0

    def unwatch(self, waker: Waker) -> None:
        """Wake it no more."""
        self.wakers.discard(waker)

    def notify(self) -> None:
        """Wake everyone who waits for messages here."""
        for waker in self.wakers:
            waker.wake()

    async def close(self) -> None:
        """Finish what waits for the disk, write the groups down, close the files."""
        await self._committer.close()
        await self.groups.close()

    def _committed(self, records: Sequence[Record]) -> None:
        self.end = records[-1].end
        for record in records:
            self.window.add(record)
        self.notify()
