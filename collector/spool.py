"""What was received and is not yet in the store: on disk, and the front of it in memory.

The spool is a journal; its read place is a position file. Both may be ahead of each other after a
crash by what is then written to the store again, which changes nothing there.
"""

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from collector.known import Known
from collector.validate import count_points
from common import logs
from common.journal import position
from common.journal.files import Files
from common.journal.frame import LINES, Record
from common.journal.journal import Journal
from common.models import Sample

log = logs.get("collector.spool")

READ_BYTES = 1 << 20
OWNER = "spool"
POSITION_FILE = "written"


class Origin(NamedTuple):
    """Which messages something came with: ``offsets`` has one of each of its payloads."""

    broker: str
    partition: int
    offsets: list[int]


class Entry(NamedTuple):
    """One delivery: its good payloads, the samples in all of them, and how many are in each."""

    receipt: str
    origin: Origin
    attempt: int
    payloads: list[bytes]
    samples: list[Sample]
    counts: list[int]


class Spooled(NamedTuple):
    """Samples on their way to the store; ``end`` is the place behind them.

    What was read back has no ``receipt``, and no ``origin`` if an earlier version spooled it.
    """

    offset: int
    end: int
    samples: list[Sample]
    points: int
    counts: list[int]
    origin: Origin | None
    attempt: int
    receipt: str


class Meta(msgspec.Struct, omit_defaults=True):
    """What is written down beside the payloads of an entry."""

    origin: Origin | None = None
    attempt: int = 0


class Spool:
    """Appended to by one thread at a time and read by another.

    In memory it keeps a run of entries that begins where the writer reads next. Once that run is
    full, later entries are on disk only, until the writer has caught up with the disk.
    """

    durable = True

    def __init__(
        self, directory: Path, segment_bytes: int, memory_points: int, files: Files
    ) -> None:
        self._files = files
        self._memory_points = memory_points
        self._journal = Journal(directory, OWNER, segment_bytes, files)
        self._position_path = directory / POSITION_FILE
        self._memory: deque[Spooled] = deque()
        self._held_points = 0
        self._known = Known()
        kept = position.load(files, self._position_path) or {}
        self.end = self._journal.next_offset
        self.read_offset = max(int(kept.get("offset", 0)), self._journal.first_offset)
        if self.read_offset > self.end:
            self._go_back()
        self.written_offset = self.read_offset

    @property
    def pending(self) -> int:
        """Messages that are not known to be in the store."""
        return self.end - self.written_offset

    @property
    def bytes_on_disk(self) -> int:
        """Bytes on disk, those already stored and not yet unlinked included."""
        return self._journal.size

    @property
    def corrupt_frames(self) -> int:
        """Damaged places met in the spool."""
        return self._journal.corrupt_frames

    def append(self, entries: Sequence[Entry], now_ms: int) -> list[Spooled]:
        """Put entries on the disk, synced; blocks. Returns them with their places."""
        offset = self._journal.next_offset
        records: list[Record] = []
        for entry in entries:
            body = b"\n".join(entry.payloads)
            meta = msgspec.msgpack.encode(Meta(entry.origin, entry.attempt))
            records.append(Record(offset, len(entry.payloads), now_ms, LINES, meta, body))
            offset = records[-1].end
        self._journal.append(records, sync=True)
        return [
            as_spooled(entry, record.offset) for record, entry in zip(records, entries, strict=True)
        ]

    def keep(self, spooled: Sequence[Spooled]) -> None:
        """Let the writer see what was appended; keep it in memory too, as far as it fits."""
        self.end = spooled[-1].end
        for item in spooled:
            expected = self._memory[-1].end if self._memory else self.read_offset
            if item.offset != expected or self._held_points + item.points > self._memory_points:
                return
            self._memory.append(item)
            self._held_points += item.points

    def next_in_memory(self) -> Spooled | None:
        """Take what the writer needs next, if memory has it."""
        if not self._memory:
            return None
        item = self._memory.popleft()
        self._held_points -= item.points
        self.read_offset = item.end
        return item

    def has_more_on_disk(self) -> bool:
        """Whether the writer must read on from disk."""
        return not self._memory and self.read_offset < self.end

    def read_from_disk(self) -> list[Spooled]:
        """Read what the writer needs next from disk; blocks. ``took`` must follow."""
        records = self._journal.read(self.read_offset, READ_BYTES)
        if not records:
            return []
        if records[0].offset > self.read_offset:
            log.error("spool damaged", first=self.read_offset, last=records[0].offset - 1)
        return [read_record(record, self.read_offset, self._known) for record in records]

    def took(self, items: Sequence[Spooled]) -> None:
        """Go on behind what was read from disk; nothing read means that nothing is there."""
        self.read_offset = items[-1].end if items else self.end

    def written(self, end: int) -> None:
        """Everything below ``end`` is in the store: remember it, let the files go; blocks."""
        self.written_offset = end
        try:
            self._journal.trim(end)  # first: on a full disk this is what makes room
            self._save(end)
        except OSError as error:
            log.warning("place not written down, it is with the next write", reason=str(error))

    def close(self) -> None:
        """Sync and close."""
        self._journal.close()

    def _go_back(self) -> None:
        """The end of the log was lost: its offsets will be given again, so forget them now."""
        log.error("spool ends below its place", place=self.read_offset, end=self.end)
        self.read_offset = self.end
        self._save(self.end)

    def _save(self, offset: int) -> None:
        position.save(self._files, self._position_path, {"offset": offset})


def as_spooled(entry: Entry, offset: int) -> Spooled:
    """An entry in its place; its messages are counted by their payloads."""
    return Spooled(
        offset,
        offset + len(entry.payloads),
        entry.samples,
        count_points(entry.samples),
        entry.counts,
        entry.origin,
        entry.attempt,
        entry.receipt,
    )


def read_record(record: Record, read_offset: int, known: Known) -> Spooled:
    """The samples of a record from a place in it on."""
    first = max(read_offset - record.offset, 0)
    parts = [known.spooled(payload) for payload in record.payloads()[first:]]
    samples = [sample for part in parts for sample in part]
    meta = msgspec.msgpack.decode(record.meta, type=Meta) if record.meta else Meta()
    origin = meta.origin and meta.origin._replace(offsets=meta.origin.offsets[first:])
    counts = [len(part) for part in parts]
    points = count_points(samples)
    return Spooled(
        record.offset, record.end, samples, points, counts, origin, meta.attempt, receipt=""
    )
