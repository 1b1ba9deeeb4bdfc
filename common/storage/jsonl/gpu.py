"""One GPU of the store `jsonl`: what is known of it, its newest rows, and where the others lie."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from common.models import Sample
from common.storage.inventory import Member
from common.storage.jsonl.files import Found, Header, read_header, read_lines, read_sample
from common.storage.rows import Rows


class Segment:
    """How far a file has been read, and which times it holds."""

    def __init__(self, found: Found) -> None:
        self.path = found.path
        self.number = found.number
        self.inode = found.inode
        self.read = 0
        self.oldest: int | None = None
        self.newest: int | None = None

    def note(self, timestamp: int) -> None:
        """Take in that a time is in the file."""
        self.oldest = timestamp if self.oldest is None else min(self.oldest, timestamp)
        self.newest = timestamp if self.newest is None else max(self.newest, timestamp)

    def meets(self, start_ms: int, end_ms: int) -> bool:
        """Whether the file may hold points of a range."""
        if self.oldest is None or self.newest is None:
            return False
        return self.oldest <= end_ms and self.newest >= start_ms


class JsonlGpu:
    """Follows the files of one GPU.

    ``floor`` is the latest time of a row that is not among the newest kept in memory; None while
    all are.
    """

    def __init__(self, max_rows: int) -> None:
        self.member: Member | None = None
        self.segments: list[Segment] = []
        self.floor: int | None = None
        self._max_rows = max_rows
        self._newest = Rows()

    def follow(self, files: Sequence[Found]) -> bool:
        """Read what was appended; anything else that happened to the files is read anew.

        False when there was nothing to read.
        """
        known = [(each.number, each.inode) for each in self.segments]
        now = [(each.number, each.inode) for each in files]
        shrunk = any(f.size < s.read for f, s in zip(files, self.segments, strict=False))
        if not known or now[: len(known)] != known or shrunk:
            self._read_anew(files)
            return True
        self.segments += map(Segment, files[len(known) :])
        longer = [s for f, s in zip(files, self.segments, strict=True) if f.size > s.read]
        if not all(map(self._read_on, longer)):
            self._read_anew(files)
        self._trim()
        return bool(longer)

    def forget_rows(self) -> None:
        """Let go of all rows."""
        if self.member is not None and self.member.samples:
            self.floor = self.member.last
            self._newest = Rows()

    def rows(self, start_ms: int, end_ms: int) -> Rows:
        """Return rows that hold all points of a range, and maybe more."""
        if self.floor is None or start_ms > self.floor:
            return self._newest
        rows = Rows()
        for segment in self.segments:
            if segment.meets(start_ms, end_ms):
                for sample in samples_of(segment.path):
                    rows.add(sample.timestamp, sample.metrics)
        return rows

    def newest(self) -> Rows:
        """Return the rows later than the floor."""
        return self._newest

    def oldest_ms(self) -> int | None:
        """The time of the oldest point."""
        oldest = [each.oldest for each in self.segments if each.oldest is not None]
        return min(oldest, default=None)

    def _trim(self) -> None:
        """Let go of rows above the number that is kept."""
        while len(self._newest) > self._max_rows:
            self.floor = self._newest.pop_oldest()[0]

    def _read_anew(self, files: Sequence[Found]) -> None:
        """Read everything, and keep the newest."""
        self.member, self.floor, self._newest = None, None, Rows()
        self.segments = [Segment(file) for file in files]
        for segment in self.segments:
            self._read_on(segment)
        self._trim()

    def _read_on(self, segment: Segment) -> bool:
        """Take in what a file holds beyond what was read; False when that cannot be done."""
        lines, end = read_lines(segment.path, segment.read)
        if lines and not segment.read:
            self._take_header(read_header(segment.path, lines.pop(0)))
        segment.read = end
        for line in lines:
            sample = read_sample(segment.path, line)
            segment.note(sample.timestamp)
            if not self._take(sample):
                return False
        return True

    def _take(self, sample: Sample) -> bool:
        """Take in a sample that follows on what is known.

        False when only the files can say which of its points are new.
        """
        at = sample.timestamp
        if self.floor is not None and at <= self.floor:
            return False
        if self.member is None:
            self.member = Member(sample.gpu.id, sample.gpu, at, at, {})
        member = self.member
        member.see(sample.gpu, at)
        member.metrics.update(sample.metrics)
        member.samples += at not in self._newest
        member.points += self._newest.add(at, sample.metrics)
        return True

    def _take_header(self, header: Header) -> None:
        if self.member is None:
            self.member = header.known
        elif header.known is not None:
            self.member.merge(header.known)


def samples_of(path: Path) -> Iterable[Sample]:
    """Read all samples of a file."""
    lines, _ = read_lines(path, 0)
    return (read_sample(path, line) for line in lines[1:])
