"""One partition: its log, the memory in front of it, and every group's place in it.

A produce waits in ``_pending`` until the disk is free; then everything that waits is written and
synced in one go, by one task at a time. That is the group commit, and the one owner of the file.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from broker.group import Group
from broker.options import BrokerOptions
from broker.window import Window
from common import logs
from common.clock import Clock
from common.errors import Overloaded, PartitionReadOnly, TelemetryError
from common.journal import position
from common.journal.files import Files
from common.journal.frame import Record
from common.journal.journal import Journal
from common.threads import run_in

log = logs.get("broker.partition")

GROUPS_FILE = "groups"


class Waker(Protocol):
    """Who wants to know that a partition may have something to hand out."""

    def wake(self) -> None:
        """Look again."""


@dataclass(frozen=True)
class Surroundings:
    """What all partitions of a broker share."""

    options: BrokerOptions
    files: Files
    disk: Executor
    clock: Clock
    new_delivery: Callable[[], str]


@dataclass
class Waiting:
    """A produce on its way to the disk."""

    record: Record
    durability: str
    done: asyncio.Future[Record]


class Partition:
    """Takes records in, gives them out to groups."""

    def __init__(self, topic: str, number: int, directory: Path, shared: Surroundings) -> None:
        self.topic = topic
        self.number = number
        self.groups: dict[str, Group] = {}
        self.window = Window(shared.options.queue_size, shared.options.queue_bytes)
        self._shared = shared
        self._groups_path = directory / GROUPS_FILE
        self._journal = Journal(
            directory, f"{topic}/{number}", shared.options.segment_bytes, shared.files
        )
        self._next_offset = self._journal.next_offset
        self._pending: list[Waiting] = []
        self._pending_bytes = 0
        self._committing: asyncio.Task[None] | None = None
        self._wakers: set[Waker] = set()
        self._checkpoint = asyncio.Lock()
        self._refusing = False
        self._load_groups()

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
        """Messages some group has not acked yet; all there are while there is no group."""
        floors = [group.floor for group in self.groups.values()]
        return self.end - min(floors, default=self.first_offset)

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

    async def produce(
        self, body: bytes, count: int, flags: int, meta: bytes, durability: str
    ) -> Record:
        """Store one frame of ``count`` messages; return when ``durability`` is reached."""
        if self.problem:
            raise PartitionReadOnly(self.problem)
        created_at = int(self._shared.clock.wall() * 1000)
        record = Record(self._next_offset, count, created_at, flags, meta, body)
        if self._pending and self._pending_bytes + record.size > self._shared.options.pending_bytes:
            raise Overloaded("the disk is behind; too much waits for it")
        done: asyncio.Future[Record] = asyncio.get_running_loop().create_future()
        self._pending.append(Waiting(record, durability, done))
        self._next_offset += count
        self._pending_bytes += record.size
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit())
        if durability == "memory":
            done.add_done_callback(_forget)
            return record
        return await done

    async def read(self, offset: int, max_bytes: int) -> list[Record]:
        """Records from the one that holds ``offset`` on: from memory, or else from disk."""
        found = self.window.find(offset, max_bytes)
        if found or offset >= self.end:
            return found
        return await run_in(self._shared.disk, self._journal.read, offset, max_bytes)

    async def open_group(self, name: str, start: str) -> Group:
        """Return a group's place, made at ``earliest``, ``latest`` or an offset if it is new.

        A new place is on disk before this returns: a crash must not move it.
        """
        group = self.groups.get(name)
        if group is None:
            group = Group(name, self._start_offset(start), self._shared.new_delivery)
            self.groups[name] = group
            await self.checkpoint(new_place=True)
        return group

    async def checkpoint(self, new_place: bool = False) -> None:
        """Write down the places of all groups, if any moved; a new one survives a power cut."""
        async with self._checkpoint:
            moved = [group for group in self.groups.values() if group.dirty]
            if not moved:
                return
            state = {name: group.state() for name, group in self.groups.items()}
            for group in moved:
                group.dirty = False
            try:
                await run_in(self._shared.disk, self._save_groups, state, new_place)
            except OSError as error:
                for group in moved:
                    group.dirty = True
                log.warning("groups not written down", partition=self.name, reason=str(error))

    def settle(self, group: Group, delivery: str, first: int, last: int) -> tuple[int, int]:
        """Ack messages of a delivery; see ``Group.settle``."""
        result = group.settle(delivery, first, last, self._shared.clock.monotonic())
        self.window.release(min(other.floor for other in self.groups.values()))
        return result

    def expire(self, now: float) -> float | None:
        """Take back what was held too long; return when to look again."""
        if sum(group.expire(now) for group in self.groups.values()):
            self.notify()
        deadlines = [group.leases.next_deadline() for group in self.groups.values()]
        return min((due for due in deadlines if due is not None), default=None)

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
        if self._committing is not None:
            await self._committing
        await self.checkpoint()
        try:
            await run_in(self._shared.disk, self._journal.close)
        except PartitionReadOnly as error:
            log.error("log not synced at its end", partition=self.name, reason=error.message)

    @property
    def name(self) -> str:
        """``topic/number``."""
        return f"{self.topic}/{self.number}"

    async def _commit(self) -> None:
        try:
            while self._pending:
                batch, self._pending, self._pending_bytes = self._pending, [], 0
                await self._commit_batch(batch)
        finally:
            self._committing = None

    async def _commit_batch(self, batch: Sequence[Waiting]) -> None:
        records = [waiting.record for waiting in batch]
        sync = any(waiting.durability == "fsync" for waiting in batch)
        try:
            await run_in(self._shared.disk, self._journal.append, records, sync)
        except Exception as error:
            self._refuse(batch, error)
            return
        if self._refusing:
            log.info("produces taken again", partition=self.name)
            self._refusing = False
        for waiting in batch:
            self.window.add(waiting.record)
            if not waiting.done.done():
                waiting.done.set_result(waiting.record)
        self.notify()

    def _refuse(self, batch: Sequence[Waiting], error: Exception) -> None:
        if not self._refusing:
            unexpected = None if isinstance(error, TelemetryError) else error
            log.error(
                "produces refused", partition=self.name, reason=str(error), exc_info=unexpected
            )
        self._refusing = True
        for waiting in batch:
            if not waiting.done.done():
                waiting.done.set_exception(error)
        self._next_offset = self._journal.next_offset
        for waiting in self._pending:
            waiting.record.offset = self._next_offset
            self._next_offset += waiting.record.count

    def _start_offset(self, start: str) -> int:
        if start == "latest":
            return self.end
        wanted = int(start) if start.isdigit() else 0
        return min(max(wanted, self.first_offset), self.end)

    def _save_groups(self, state: dict[str, Any], new_place: bool) -> None:
        position.save(self._shared.files, self._groups_path, state)
        if new_place:
            self._shared.files.sync_directory(self._groups_path.parent)

    def _load_groups(self) -> None:
        state = position.load(self._shared.files, self._groups_path) or {}
        for name, kept in state.items():
            group = Group(name, 0, self._shared.new_delivery)
            group.restore(kept, self.first_offset, self.end)
            self.groups[name] = group


def _forget(done: asyncio.Future[Record]) -> None:
    """Nobody waits for a produce to memory; what the disk said is in the log."""
    if not done.cancelled():
        done.exception()
