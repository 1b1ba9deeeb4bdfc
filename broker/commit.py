"""The one owner of a partition's log: what waits is written in one go.

A produce waits in ``_pending`` until the disk is free; then everything that waits is written and
synced together, by one task at a time. That is the group commit.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

from broker.ages import Ages
from broker.keys_file import KeysFile
from broker.settings import Policy
from broker.surroundings import Surroundings
from broker.waiting import Waiting, give_up
from common import logs
from common.errors import (
    DiskFull,
    Overloaded,
    PartitionReadOnly,
    TelemetryError,
    Unavailable,
)
from common.journal.frame import Record
from common.journal.journal import SCAN_BYTES, Journal
from common.threads import run_in

P = ParamSpec("P")
T = TypeVar("T")

log = logs.get("broker.commit")


class Draft(NamedTuple):
    """What a request brings to a partition: payloads in one body."""

    body: bytes
    messages: int
    flags: int = 0
    meta: bytes = b""
    idempotency_key: str = ""


class Stored(NamedTuple):
    """Where it lies, and whether it lay there before."""

    offset: int
    messages: int
    duplicate: bool = False


class Committer:
    """Numbers records, writes them, and says when they are stored."""

    def __init__(self, name: str, directory: Path, shared: Surroundings) -> None:
        self._name = name
        self._shared = shared
        self._directory = directory
        self._keys = KeysFile(name, directory, shared)
        self._dedup = self._keys.dedup
        recent: list[Record] = []
        self.journal = Journal(
            directory, name, shared.options.segment_bytes, shared.files, seen=recent.append
        )
        self._keys.relearn(self.journal, recent)
        self._next_offset = self.journal.next_offset
        self._newest_ms = self._newest_of(recent)
        self._ages = Ages(shared.clock, self._newest_ms)
        self.commits = self.committed_records = 0
        self._writing: Sequence[Waiting] = ()
        self._writing_since = 0.0
        self._hanging = False
        self._pending: list[Waiting] = []
        self.pending_bytes = 0
        self._storing: dict[str, asyncio.Future[Record]] = {}
        self._task: asyncio.Task[None] | None = None
        self._refusing = False
        self._closed = False
        self._turn = asyncio.Lock()
        self.committed: Callable[[Sequence[Record]], None] = _nobody

    async def store(self, draft: Draft, durability: str) -> Stored:
        """Store one frame; return when ``durability`` is reached, or was for the same key."""
        if draft.idempotency_key:
            earlier = await self._stored_before(draft.idempotency_key)
            if earlier is not None:
                if durability == "fsync":
                    await self._in_turn(self.journal.append, [], True)
                return earlier
        if self.journal.read_only:
            raise PartitionReadOnly(self.journal.read_only)
        if self._hanging:
            raise Unavailable("the disk does not answer; nothing was stored")
        record, done = self._enqueue(draft, durability)
        if durability == "memory" and not self._refusing:  # a disk that refuses must be heard
            done.add_done_callback(_forget)
        else:
            await done
        return Stored(record.offset, record.count)

    async def outdated(self, policy: Policy) -> list[tuple[int, bool]]:
        """Ends of files that are too old or too much, settled or not; see ``Journal``."""
        end, most = self.journal.next_offset, policy.retention_bytes
        return await self._in_turn(self.journal.outdated, end, self._is_old(policy), most)

    async def settled(self, floor: int, policy: Policy) -> int:
        """The offset below which files may go that are old or too many, none above ``floor``."""
        most = settled_bytes(policy, self.journal.segment_bytes)
        outdated = await self._in_turn(self.journal.outdated, floor, self._is_old(policy), most)
        return outdated[-1][0] if outdated else 0

    async def trim(self, before: Callable[[], int]) -> int:
        """Unlink files that end at or below an offset; return how many.

        The log begins above them at the moment the offset is asked for: a group that comes while
        files are unlinked cannot begin in them.
        """
        async with self._turn:
            if self._closed:
                raise Unavailable("the log is closed")
            leaving = self.journal.let_go(before())
            return await run_in(self._shared.disk, self._unlink) if leaving else 0

    @property
    def newest_ms(self) -> int:
        """When the newest record was made, milliseconds since 1970 UTC; 0 while there is none."""
        return self._newest_ms

    async def first_since(self, created_ms: int) -> int:
        """The offset of the first message made at or after a time."""
        return await run_in(self._shared.disk, self.journal.first_since, created_ms)

    def look_at_disk(self) -> None:
        """Let nobody wait any longer for a disk that has not answered for ``DISK_TIMEOUT``."""
        waited = self._shared.clock.monotonic() - self._writing_since
        if not self._writing or waited < self._shared.options.disk_timeout_seconds:
            return
        if not self._hanging:
            log.error("the disk does not answer", partition=self._name, seconds=round(waited))
        self._hanging = True
        give_up(self._writing, "the disk does not answer; it may have been stored")
        give_up(self._pending, "the disk does not answer; nothing was stored")
        for waiting in self._pending:
            self._storing.pop(waiting.key, None)
        self._pending, self.pending_bytes = [], 0
        self._next_offset = self._writing[-1].record.end

    async def close(self) -> None:
        """Finish what waits, then close the log; what comes later is refused."""
        if self._task is not None:
            await self._task
        async with self._turn:
            self._closed = True
            try:
                await run_in(self._shared.disk, self.journal.close)
            except PartitionReadOnly as error:
                log.error("log not synced at its end", partition=self._name, reason=error.message)

    def _unlink(self) -> int:
        self._keys.save_surely(self.journal)
        return self.journal.unlink()

    def _is_old(self, policy: Policy) -> Callable[[int, int], bool]:
        self._ages.forget(self.journal.first_offset)
        return lambda base, made: self._ages.seconds(base, made) >= policy.retention_seconds

    def _enqueue(self, draft: Draft, durability: str) -> tuple[Record, asyncio.Future[Record]]:
        made = self._newest_ms = max(self._newest_ms, self._now_ms())  # however the clock is set
        record = Record(
            self._next_offset, draft.messages, made, draft.flags, draft.meta, draft.body
        )
        if self._pending and self.pending_bytes + record.size > self._shared.options.pending_bytes:
            raise Overloaded("the disk is behind; too much waits for it")
        done: asyncio.Future[Record] = asyncio.get_running_loop().create_future()
        self._pending.append(Waiting(record, durability, draft.idempotency_key, done))
        self._next_offset += draft.messages
        self.pending_bytes += record.size
        if draft.idempotency_key:
            self._storing[draft.idempotency_key] = done
        if self._task is None:
            self._task = asyncio.create_task(self._commit(), name=f"commit {self._name}")
        return record, done

    async def _stored_before(self, key: str) -> Stored | None:
        under_way = self._storing.get(key)
        if under_way is not None:
            record = await asyncio.shield(under_way)
            return Stored(record.offset, record.count, duplicate=True)
        place = self._dedup.find(key, self._now_ms())
        return Stored(place.offset, place.messages, duplicate=True) if place else None

    async def _commit(self) -> None:
        try:
            while self._pending:
                batch, self._pending, self.pending_bytes = self._pending, [], 0
                await self._commit_batch(batch)
        finally:
            self._task = None

    async def _commit_batch(self, batch: Sequence[Waiting]) -> None:
        records = [waiting.record for waiting in batch]
        sync = any(waiting.durability == "fsync" for waiting in batch)
        self._writing, self._writing_since = batch, self._shared.clock.monotonic()
        try:
            await self._in_turn(self._append, records, sync)
        except Exception as error:
            self._refuse(batch, error)
            return
        finally:
            self._writing = ()
            if self._hanging:
                log.info("the disk answers again", partition=self._name)
            self._hanging = False
        if self._refusing:
            log.info("produces taken again", partition=self._name)
            self._refusing = False
        for waiting in batch:
            self._storing.pop(waiting.key, None)
            if not waiting.done.done():
                waiting.done.set_result(waiting.record)
        self.committed(records)

    async def _in_turn(self, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """Have the journal changed by one thread at a time."""
        async with self._turn:
            if self._closed:
                raise Unavailable("the log is closed")
            return await run_in(self._shared.disk, work, *given, **named)

    def _now_ms(self) -> int:
        return int(self._shared.clock.wall() * 1000)

    def _append(self, records: Sequence[Record], sync: bool) -> None:
        """Write records and learn their keys; the keys are kept whenever a file is full."""
        base = self.journal.last_base
        self._leave_reserve(records)
        self.journal.append(records, sync)
        self.commits += 1
        self.committed_records += len(records)
        if self.journal.last_base != base:
            self._ages.begin(self.journal.last_base)
            self._keys.save(self.journal.last_base)
        for record in records:
            self._dedup.learn(record)

    def _leave_reserve(self, records: Sequence[Record]) -> None:
        """Refuse before the disk does: acks, dead letters and a stop need room to write too."""
        reserve = self._shared.options.disk_reserve_bytes
        if reserve and records:
            free = self._shared.files.free(self._directory)
            if free - sum(record.size for record in records) < reserve:
                raise DiskFull(f"the disk has {free} bytes left, of which {reserve} are reserved")

    def _newest_of(self, recent: Sequence[Record]) -> int:
        """When the newest record was made, 0 while there is none."""
        if not recent and self.journal.next_offset > self.journal.first_offset:
            recent = self.journal.read(self.journal.next_offset - 1, SCAN_BYTES)
        return recent[-1].created_at if recent else 0

    def _refuse(self, batch: Sequence[Waiting], error: Exception) -> None:
        if not self._refusing:
            unexpected = None if isinstance(error, TelemetryError) else error
            log.error(
                "produces refused", partition=self._name, reason=str(error), exc_info=unexpected
            )
        self._refusing = True
        for waiting in batch:
            self._storing.pop(waiting.key, None)
            if not waiting.done.done():
                waiting.done.set_exception(error)
        self._next_offset = self.journal.next_offset
        for waiting in self._pending:
            waiting.record.offset = self._next_offset
            self._next_offset += waiting.record.count


def settled_bytes(policy: Policy, segment_bytes: int) -> int:
    """The size of a log above which settled files go early: one that has a cap needs room below."""
    cap = policy.max_partition_bytes
    if not cap or policy.drops:
        return policy.retention_bytes
    below = max(cap - segment_bytes, cap // 2)
    return min(below, policy.retention_bytes or below)


def _forget(done: asyncio.Future[Record]) -> None:
    """Nobody waits for a produce to memory; what the disk said is in the log."""
    if not done.cancelled():
        done.exception()


def _nobody(records: Sequence[Record]) -> None:
    """Who hears of commits until somebody listens."""
