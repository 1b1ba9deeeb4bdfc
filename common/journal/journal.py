"""An append-only log of records in segment files: append, read, trim, recover.

One caller at a time may append or trim; any number may read meanwhile. All calls block on the
disk: services make them in threads of their own.
"""

import itertools
from bisect import bisect_left
from collections.abc import Callable, Sequence
from pathlib import Path

from common import disk, logs
from common.errors import PartitionReadOnly, TelemetryError
from common.journal import frame, recovery, segment
from common.journal.files import AppendFile, Files
from common.journal.frame import Record
from common.journal.segment import Segment

log = logs.get("journal")

SCAN_BYTES = 4 << 20
_FAR_FUTURE = 1 << 62


class Journal:
    """The segments of one owner in one directory.

    ``torn_bytes`` were cut from the end at recovery; ``corrupt_frames`` counts places where
    reading met bytes that are not what was written, a file put aside among them. At recovery
    ``seen`` is called with every record of the last segment. ``segment_bytes`` may change.
    """

    def __init__(
        self,
        directory: Path,
        owner: str,
        segment_bytes: int,
        files: Files,
        seen: Callable[[Record], None] | None = None,
    ) -> None:
        self.directory = directory
        self.owner = owner
        self.torn_bytes = 0
        self.read_only = ""
        self.segment_bytes = segment_bytes
        self._files = files
        self._segments, self.corrupt_frames = recovery.open_segments(directory, owner, files)
        self._leaving: list[Segment] = []
        self._file: AppendFile | None = None
        if self._segments:
            found = recovery.recover_last(self._segments[-1], files, seen or recovery.ignore)
            self._file, self.torn_bytes = found.file, found.torn_bytes
            self.corrupt_frames += found.corrupt_frames

    @property
    def first_offset(self) -> int:
        """The oldest offset still on disk; equals ``next_offset`` when there is none."""
        return self._segments[0].base if self._segments else 0

    @property
    def next_offset(self) -> int:
        """The offset the next record gets."""
        return self._segments[-1].end if self._segments else 0

    @property
    def last_base(self) -> int:
        """Where the file that is written to begins."""
        return self._segments[-1].base if self._segments else 0

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(part.size for part in self._segments)

    def append(self, records: Sequence[Record], sync: bool) -> None:
        """Write records whose offsets follow on ``next_offset``; with ``sync``, to the platter.

        Either all are kept or none: DiskFull and Unavailable leave the journal as it was. After a
        failed sync, or a write that cannot be undone, nobody knows what the disk holds, and every
        append raises PartitionReadOnly until the journal is opened anew.
        """
        if self.read_only:
            raise PartitionReadOnly(self.read_only)
        try:
            file, last = self._writable(records)
        except OSError as error:
            raise self._refusal(error) from error
        self._write(file, last, records, sync)
        for record in records:
            last.note(record.offset, last.size)
            last.size += record.size
            last.end = record.end

    def read(self, offset: int, max_bytes: int) -> list[Record]:
        """Return records from the one that holds ``offset`` on, at least one, about ``max_bytes``.

        An empty list means that nothing is there. When the first record returned starts above
        ``offset``, what lay between is gone: damaged on disk, or trimmed.
        """
        while (part := self._segment_of(offset)) is not None:
            end = part.end  # before it is read: what is appended meanwhile comes next
            try:
                records = self._read_segment(part, offset, max_bytes)
            except FileNotFoundError:
                records = []  # it was trimmed a moment ago
            if records:
                return records
            offset = end
        return []

    def trim(self, before: int) -> int:
        """Unlink whole segments that end at or below ``before``; return how many."""
        self.let_go(before)
        return self.unlink()

    def let_go(self, before: int) -> bool:
        """Begin above segments that end at or below ``before``; return if any wait for unlink."""
        count = sum(part.end <= before for part in self._segments[:-1])
        self._leaving += self._segments[:count]
        self._segments = self._segments[count:]  # a reader may be walking the old list
        return bool(self._leaving)

    def unlink(self) -> int:
        """Remove the files of segments that were let go; return how many."""
        count = len(self._leaving)
        while self._leaving:
            self._files.remove(self._leaving[0].path)
            del self._leaving[0]
        return count

    def outdated(
        self, before: int, is_old: Callable[[int, int], bool], max_bytes: int
    ) -> list[tuple[int, bool]]:
        """Where the segments end, up to ``before``, that are too old or too much, in order.

        With each comes whether it is too much: the log is over ``max_bytes`` (0 is none) with it.
        ``is_old`` is asked with the base of the segment after it and the time of that one's first
        record, which no record before it is newer than.
        """
        found: list[tuple[int, bool]] = []
        size = self.size
        for part, following in itertools.pairwise(self._segments):
            too_much = max_bytes > 0 and size > max_bytes
            if part.end > before or not (too_much or self._is_old(following, is_old)):
                break
            found.append((part.end, too_much))
            size -= part.size
        return found

    def first_since(self, created_ms: int) -> int:
        """The offset of the first record made at ``created_ms`` or later; the end if none was.

        The segments are searched by their first records, the right one is read from there.
        """
        parts = self._segments
        after = bisect_left(parts, created_ms, key=self._began)
        offset = parts[max(after - 1, 0)].base if parts else 0
        while records := self.read(offset, SCAN_BYTES):
            for record in records:
                if record.created_at >= created_ms:
                    return record.offset
            offset = records[-1].end
        return self.next_offset

    def close(self) -> None:
        """Sync and close; a journal closed so needs no repair. Raises PartitionReadOnly."""
        if self._file is None:
            return
        try:
            if not self.read_only:
                self._sync(self._file)
        finally:
            self._file.close()
            self._file = None

    def _write(
        self, file: AppendFile, last: Segment, records: Sequence[Record], sync: bool
    ) -> None:
        buffers = [part for record in records for part in frame.encode(record, last.salt) if part]
        try:
            file.write(buffers)
        except OSError as error:
            self._undo(file, last.size)
            raise self._refusal(error) from error
        if sync:
            self._sync(file)

    def _sync(self, file: AppendFile) -> None:
        try:
            file.sync()
        except OSError as error:
            self.read_only = f"fsync failed: {error.strerror}"
            raise PartitionReadOnly(self.read_only) from error

    def _undo(self, file: AppendFile, size: int) -> None:
        try:
            file.truncate(size)
        except OSError as error:
            self.read_only = f"a broken write could not be undone: {error.strerror}"

    def _refusal(self, error: OSError) -> TelemetryError:
        refusal = disk.refusal(error) if error.errno in disk.PASSING else None
        if refusal is not None and not self.read_only:
            return refusal
        self.read_only = self.read_only or f"writing failed: {error.strerror}"
        return PartitionReadOnly(self.read_only)

    def _writable(self, records: Sequence[Record]) -> tuple[AppendFile, Segment]:
        adding = sum(record.size for record in records)
        if self._segments and self._file is not None:
            last = self._segments[-1]
            if last.size + adding <= self.segment_bytes or last.size <= segment.HEADER_BYTES:
                return self._file, last
        return self._roll()

    def _roll(self) -> tuple[AppendFile, Segment]:
        if self._file is not None:
            self._sync(self._file)
        base = self.next_offset
        path = segment.path_of(self.directory, base)
        header = segment.new_header(base, self.owner)
        file = self._files.append_to(path)
        try:
            file.write([header])
            file.sync()
            self._files.sync_directory(self.directory)
        except OSError:
            file.close()
            self._files.remove(path)
            raise
        if self._file is not None:
            self._file.close()
        self._file = file
        salt = segment.salt_of(header)
        self._segments.append(Segment(path, base, base, segment.HEADER_BYTES, salt))
        return file, self._segments[-1]

    def _is_old(self, part: Segment, is_old: Callable[[int, int], bool]) -> bool:
        header = self._files.read(part.path, segment.HEADER_BYTES, frame.HEADER_BYTES)
        return len(header) == frame.HEADER_BYTES and is_old(part.base, frame.created_at(header))

    def _began(self, part: Segment) -> int:
        """When the first record of a segment was made; one without any is of the future."""
        records = self._read_segment(part, part.base, 1)
        return records[0].created_at if records else _FAR_FUTURE

    def _segment_of(self, offset: int) -> Segment | None:
        """Of the segments there are now: one begun meanwhile would hide what came before it."""
        return next((part for part in tuple(self._segments) if offset < part.end), None)

    def _read_segment(self, part: Segment, offset: int, max_bytes: int) -> list[Record]:
        position = part.locate(max(offset, part.base))
        records: list[Record] = []
        while position < part.size and not records:
            position, records = self._read_from(part, position, offset, max_bytes)
        if records:
            part.remember(records[-1].end, position)
        return records

    def _read_from(
        self, part: Segment, position: int, offset: int, max_bytes: int
    ) -> tuple[int, list[Record]]:
        """Return where reading goes on, and the records found at or above ``offset``."""
        buffer = self._files.read(part.path, position, min(max_bytes, part.size - position))
        records, end = list[Record](), 0
        for at, record in frame.decode_all(buffer, 0, part.salt):
            part.note(record.offset, position + at)
            end = at + record.size
            if record.end > offset:
                records.append(record)
                offset = record.end  # a frame that was copied in twice is served once
        if end:
            return position + end, records
        return self._read_hard(part, position, offset)

    def _read_hard(self, part: Segment, position: int, offset: int) -> tuple[int, list[Record]]:
        """Read one frame that is larger than a chunk, or step over a damaged place."""
        header = self._files.read(part.path, position, frame.HEADER_BYTES)
        try:
            length = frame.frame_length(header, 0)
            record = frame.decode(self._files.read(part.path, position, length), 0, part.salt)
        except frame.FrameError as error:
            return self._skip_damage(part, position, offset, error), []
        return position + record.size, [record] if record.end > offset else []

    def _skip_damage(
        self, part: Segment, position: int, offset: int, error: frame.FrameError
    ) -> int:
        self.corrupt_frames += 1
        rest = self._files.read(part.path, position, part.size - position)
        found = frame.find(rest, 1, part.salt, part.base)
        log.error(
            "damaged frame skipped",
            file=str(part.path),
            position=position,
            near_offset=offset,
            bytes=found or len(rest),
            reason=str(error),
        )
        return part.size if found is None else position + found
