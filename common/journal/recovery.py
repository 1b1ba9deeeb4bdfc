"""Opening what lies on the disk: every segment by its header, the last one frame by frame."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from common import logs
from common.journal import frame, segment
from common.journal.files import AppendFile, Files
from common.journal.frame import Record
from common.journal.segment import Segment

log = logs.get("journal.recovery")

QUARANTINE_SUFFIX = ".bad"

Seen = Callable[[Record], None]


class Opened(NamedTuple):
    """The segments of a journal, and how many files were put aside."""

    segments: list[Segment]
    quarantined: int


class Recovered(NamedTuple):
    """The last segment open for appending, what was cut off it, and damaged places met in it."""

    file: AppendFile
    torn_bytes: int
    corrupt_frames: int


def open_segments(directory: Path, owner: str, files: Files) -> Opened:
    """Every segment of ``owner`` in order; one that is not its own is put aside, not deleted.

    Raises SegmentTooNewError for one of a later version, and leaves it untouched.
    """
    named = (segment.base_of(name) for name in files.names(directory))
    bases = drop_unbegun(directory, sorted(base for base in named if base is not None), files)
    found = (open_segment(directory, base, owner, files) for base in bases)
    parts = [part for part in found if part is not None]
    for part, following in itertools.pairwise(parts):
        part.end = following.base
    return Opened(parts, len(bases) - len(parts))


def drop_unbegun(directory: Path, bases: list[int], files: Files) -> list[int]:
    """The bases without that of a last file that is empty: a crash came before its header."""
    if not bases or files.size(segment.path_of(directory, bases[-1])):
        return bases
    path = segment.path_of(directory, bases[-1])
    log.warning("empty segment removed", file=str(path))
    files.remove(path)
    return bases[:-1]


def open_segment(directory: Path, base: int, owner: str, files: Files) -> Segment | None:
    """The segment at ``base``, or None when the file is none of ours."""
    path = segment.path_of(directory, base)
    header = files.read(path, 0, segment.HEADER_BYTES)
    try:
        segment.check_header(header, base, owner)
    except segment.SegmentError as error:
        quarantine(path, str(error), files)
        return None
    return Segment(path, base, base, files.size(path), segment.salt_of(header))


def quarantine(path: Path, reason: str, files: Files) -> None:
    """Rename a file out of the way, to a name that is free."""
    taken = files.names(path.parent)
    names = (f"{path.name}{number or ''}{QUARANTINE_SUFFIX}" for number in itertools.count())
    target = path.with_name(next(name for name in names if name not in taken))
    files.replace(path, target)
    log.error("segment quarantined", file=str(path), moved_to=str(target), reason=reason)


def recover_last(last: Segment, files: Files, seen: Seen) -> Recovered:
    """Find the end of the last good frame; what follows was never acknowledged, and is cut."""
    position, corrupt = segment.HEADER_BYTES, 0
    buffer = files.read(last.path, 0, last.size)
    while True:
        for at, record in frame.decode_all(buffer, position, last.salt):
            last.note(record.offset, at)
            seen(record)
            last.end, position = max(last.end, record.end), at + record.size
        found = frame.find(buffer, position, last.salt, last.end)
        if found is None:
            break
        corrupt += 1
        log.error("damaged frame skipped", file=str(last.path), position=position)
        position = found
    file = files.append_to(last.path)
    return Recovered(file, cut_tail(last, file, position), corrupt)


def cut_tail(last: Segment, file: AppendFile, position: int) -> int:
    """Let the segment end at ``position``; return how many bytes that cost."""
    torn = last.size - position
    if torn:
        log.warning("torn tail cut", file=str(last.path), bytes=torn)
        file.truncate(position)
        file.sync()
        last.size = position
    return torn


def ignore(record: Record) -> None:
    """Nobody wants to see the records."""
