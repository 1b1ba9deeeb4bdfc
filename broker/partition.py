"""One partition: its log, the memory in front of it, and every group's place in it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from broker.commit import Committer, Draft, Stored
from broker.group import Group, Nack
from broker.places import Places
from broker.surroundings import Surroundings
from broker.window import Window
from common import logs
from common.journal.frame import Record
from common.threads import run_in

log = logs.get("broker.partition")


class Waker(Protocol):
    """Who wants to know that a partition may have something to hand out."""

    group: str

    def wake(self) -> None:
        """Look again."""


class Partition:
    """Takes records in, gives them out to groups."""

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
        self._wakers: set[Waker] = set()
        self.groups.load(self.first_offset, self.end)

    @property
    def first_offset(self) -> int:
        """The oldest offset on disk."""
        return self._journal.first_offset

    @property
    def end(self) -> int:
        """The offset after the newest message that may be delivered."""
        return self._journal.next_offset

    @property
    def depth(self) -> int:
        """Messages some group has not settled yet; all there are while there is no group."""
        return self.end - self.groups.floor(self.first_offset)

    @property
    def disk_bytes(self) -> int:
        """Bytes on disk."""
        return self._journal.size

    @property
    def corrupt_frames(self) -> int:
        """Damaged places met since the start."""
        return self._journal.corrupt_frames

    @property
    def problem(self) -> str:
        """Why nothing can be produced here; empty when it can."""
        return self._journal.read_only

    async def produce(self, draft: Draft, durability: str) -> Stored:
        """Store one frame; return when ``durability`` is reached."""
        return await self._committer.store(draft, durability)

    async def read(self, offset: int, max_bytes: int) -> list[Record]:
        """Records from the one that holds ``offset`` on: from memory, or else from disk."""
        found = self.window.find(offset, max_bytes)
        if found or offset >= self.end:
            return found
        return await run_in(self._shared.disk, self._journal.read, offset, max_bytes)

    async def open_group(self, name: str, start: str) -> Group:
        """Return a group's place, made at ``earliest``, ``latest`` or an offset if it is new."""
        group = self.groups.get(name)
        return group or await self.groups.open(name, self.offset_of(start))

    async def seek(self, name: str, start: str) -> int:
        """Move a group, or make it there; return the offset it goes on from."""
        offset = self.offset_of(start)
        group = self.groups.get(name) or await self.groups.open(name, offset)
        group.seek(offset)
        await self.groups.save(surely=True)
        self.notify()
        return offset

    def offset_of(self, start: str) -> int:
        """Where ``earliest``, ``latest`` or an offset is, within what there is."""
        if start == "latest":
            return self.end
        wanted = int(start) if start.isdigit() else 0
        return min(max(wanted, self.first_offset), self.end)

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

    def expire(self) -> None:
        """Take back what was held too long or delayed until now."""
        for group in self.groups:
            self.expire_group(group)

    def expire_group(self, group: Group) -> None:
        """Take back what one group had for too long; whoever waits for it hears of it."""
        if group.expire(self._shared.clock.monotonic()):
            self.notify()

    async def retire(self) -> int:
        """Unlink files of settled messages that are old or too many; return how many."""
        return await self._committer.retire(self.groups.floor(0))

    def in_use(self, group: str) -> bool:
        """Whether a stream of a group is open here."""
        return any(waker.group == group for waker in self._wakers)

    def watch(self, waker: Waker) -> None:
        """Wake ``waker`` whenever something may have become ready."""
        self._wakers.add(waker)

    def unwatch(self, waker: Waker) -> None:
        """Wake it no more."""
        self._wakers.discard(waker)

    def notify(self) -> None:
        """Wake everyone who waits for messages here."""
        for waker in self._wakers:
            waker.wake()

    async def close(self) -> None:
        """Finish what waits for the disk, write the groups down, close the files."""
        await self._committer.close()
        await self.groups.save()

    def _committed(self, records: Sequence[Record]) -> None:
        for record in records:
            self.window.add(record)
        self.notify()
