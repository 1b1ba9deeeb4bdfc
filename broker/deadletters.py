"""The dead letters of one group of a topic, on this broker: a log of their own.

A letter is one frame: the payload as its body, what happened to it as its meta. Letters taken out,
by redrive or purge, are remembered as ranges in a position file.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from broker.ranges import Ranges
from broker.surroundings import Surroundings
from common.errors import DiskFull, Unavailable
from common.journal import position
from common.journal.frame import Record
from common.journal.journal import Journal
from common.threads import run_in

READ_BYTES = 1 << 20
PAGE_BYTES = 4 << 20
PURGE_PAGE = 1000
IDS_KNOWN = 10_000
REMOVED_FILE = "removed"


class DeadLetter(msgspec.Struct, omit_defaults=True):
    """A message that will not be delivered again by itself, and why.

    ``reason`` is DELIVERY_LIMIT or REJECTED, ``error`` the consumer's own words; ``dead_at`` in
    milliseconds since 1970 UTC. ``id`` names a letter that a consumer wrote itself.
    """

    partition: int
    offset: int
    attempts: int
    reason: str
    error: str
    dead_at: int
    key: str | None = None
    headers: dict[str, str] | None = None
    id: str = ""


class Kept(NamedTuple):
    """A letter with its number in the queue and its payload."""

    number: int
    letter: DeadLetter
    payload: bytes


class DeadLetters:
    """One queue of dead letters; one caller at a time, the rest wait."""

    def __init__(self, directory: Path, owner: str, shared: Surroundings) -> None:
        self._shared = shared
        self._journal = Journal(directory, owner, shared.options.segment_bytes, shared.files)
        self._removed_path = directory / REMOVED_FILE
        kept = position.load(shared.files, self._removed_path) or []
        self._removed = Ranges([(start, stop) for start, stop in kept])
        if self._removed.remove(self._journal.next_offset, 1 << 62):
            self._save_removed()
        self._ids: OrderedDict[str, None] | None = None
        self._busy = asyncio.Lock()
        self._closed = False

    @property
    def depth(self) -> int:
        """Letters in the queue."""
        first = self._journal.first_offset
        gone = sum(high - low for low, high in self._removed.overlap(first, self.end))
        return self.end - first - gone

    @property
    def end(self) -> int:
        """The number that the next letter gets."""
        return self._journal.next_offset

    async def add(self, letters: Sequence[tuple[DeadLetter, bytes]]) -> None:
        """Keep letters with their payloads, synced."""
        async with self._turn():
            await run_in(self._shared.disk, self._append, letters)

    async def add_once(self, letters: Sequence[tuple[DeadLetter, bytes]]) -> int:
        """Keep those letters, synced, whose id none of the newest has; return how many."""
        async with self._turn():
            return await run_in(self._shared.disk, self._append_once, letters)

    async def page(self, number: int, limit: int, reason: str = "") -> list[Kept]:
        """Up to ``limit`` letters from ``number`` on, of one reason if it is given.

        About ``PAGE_BYTES`` of payload are never exceeded by more than what one read brings.
        """
        async with self._turn():
            return await run_in(self._shared.disk, self._read, number, limit, reason)

    async def remove(self, numbers: Sequence[int]) -> None:
        """Take letters out."""
        async with self._turn():
            await run_in(self._shared.disk, self._remove, [(n, n + 1) for n in numbers])

    async def purge(self, reason: str = "") -> int:
        """Take every letter out, or those of one reason; return how many."""
        async with self._turn():
            return await run_in(self._shared.disk, self._purge, reason)

    async def close(self) -> None:
        """Sync and close; what comes later is refused."""
        async with self._busy:
            self._closed = True
            await run_in(self._shared.disk, self._journal.close)

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        async with self._busy:
            if self._closed:
                raise Unavailable("the dead-letter queue is closed")
            yield

    def _purge(self, reason: str) -> int:
        depth, first = self.depth, self._journal.first_offset
        if not reason:
            self._remove([(first, self.end)])
        while reason and (page := self._read(first, PURGE_PAGE, reason)):
            self._remove([(kept.number, kept.number + 1) for kept in page])
            first = page[-1].number + 1
        return depth - self.depth

    def _append(self, letters: Sequence[tuple[DeadLetter, bytes]]) -> None:
        records = [
            Record(number, 1, letter.dead_at, 0, msgspec.msgpack.encode(letter), payload)
            for number, (letter, payload) in enumerate(letters, self.end)
        ]
        self._journal.append(records, sync=True)

    def _append_once(self, letters: Sequence[tuple[DeadLetter, bytes]]) -> int:
        if self._ids is None:
            self._ids = self._read_ids()
        new = {letter.id: (letter, payload) for letter, payload in letters}
        fresh = [written for id_, written in new.items() if id_ not in self._ids]
        if fresh:
            self._leave_reserve(sum(len(payload) for _, payload in fresh))
            self._append(fresh)
        self._ids.update((letter.id, None) for letter, _ in fresh)
        while len(self._ids) > IDS_KNOWN:
            self._ids.popitem(last=False)
        return len(fresh)

    def _leave_reserve(self, adding: int) -> None:
        """Keep room for what must not fail; a message that dies of itself may use it."""
        reserve = self._shared.options.disk_reserve_bytes
        free = self._shared.files.free(self._journal.directory) if reserve else 0
        if reserve and free - adding < reserve:
            raise DiskFull(f"the disk has {free} bytes left, of which {reserve} are reserved")

    def _read_ids(self) -> OrderedDict[str, None]:
        """The ids of the newest letters, as the log has them, those taken out included."""
        ids: OrderedDict[str, None] = OrderedDict()
        number = self.end - IDS_KNOWN
        while records := self._journal.read(number, READ_BYTES):
            for record in records:
                letter = msgspec.msgpack.decode(record.meta, type=DeadLetter)
                if letter.id:
                    ids[letter.id] = None
            number = records[-1].end
        return ids

    def _read(self, number: int, limit: int, reason: str) -> list[Kept]:
        found: list[Kept] = []
        number, size = max(number, self._journal.first_offset), 0
        while len(found) < limit and size < PAGE_BYTES and number < self.end:
            number, stop = self._removed.gap(number, self.end)
            records = self._journal.read(number, READ_BYTES) if number < stop else []
            found += [kept for record in records if (kept := self._letter(record, reason))]
            size = sum(len(kept.payload) for kept in found)
            number = records[-1].end if records else self.end
        return found[:limit]

    def _letter(self, record: Record, reason: str) -> Kept | None:
        if self._removed.overlap(record.offset, record.end):
            return None
        letter = msgspec.msgpack.decode(record.meta, type=DeadLetter)
        return (
            None if reason and letter.reason != reason else Kept(record.offset, letter, record.body)
        )

    def _remove(self, spans: Sequence[tuple[int, int]]) -> None:
        for start, stop in spans:
            if start < stop:
                self._removed.add(start, stop)
        self._save_removed()
        first = self._journal.first_offset
        start, _ = self._removed.gap(first, self.end)
        self._journal.trim(start)

    def _save_removed(self) -> None:
        position.save(self._shared.files, self._removed_path, list(self._removed))
