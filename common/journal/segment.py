"""One segment file of a journal.

The law of the segment, version 1. A file named by its base offset in 20 digits, ``.seg``::

    at  bytes  field
     0      6  magic     "TSSEG1"
     6      2  version   1
     8      8  base      offset of the first message
    16      8  owner     xxh3_64 of the owner's name (topic/partition), so that a file that was
                         moved to another partition is noticed
    24      4  crc32c    of bytes 0 to 23
    28         frames, see ``frame``

The header is synced, and the directory with it, before the first frame is written: a shorter file
never held an acknowledged message. Only the last segment is ever written to.
"""

from __future__ import annotations  # array is not subscriptable at run time

import struct
from array import array
from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path

import google_crc32c
import xxhash

MAGIC = b"TSSEG1"
VERSION = 1
SUFFIX = ".seg"
INDEX_EVERY_BYTES = 64 << 10
MAX_RESUME_POINTS = 64

_HEAD = struct.Struct("<6sHQQ")
_CRC = struct.Struct("<I")
HEADER_BYTES = _HEAD.size + _CRC.size


class SegmentError(Exception):
    """The file is no segment of this journal."""


class SegmentTooNewError(Exception):
    """The segment was written by a later version of this software."""


@dataclass
class Segment:
    """A segment file and a sparse index of it, filled as the file is written or read."""

    path: Path
    base: int
    end: int
    size: int
    _offsets: array[int] = field(default_factory=lambda: array("Q"))
    _positions: array[int] = field(default_factory=lambda: array("Q"))
    _resume: dict[int, int] = field(default_factory=dict)

    def note(self, offset: int, position: int) -> None:
        """Learn that the frame of ``offset`` starts at ``position``; only steps forward count."""
        last = self._positions[-1] if self._positions else HEADER_BYTES - INDEX_EVERY_BYTES
        if position >= last + INDEX_EVERY_BYTES:
            self._offsets.append(offset)
            self._positions.append(position)

    def remember(self, offset: int, position: int) -> None:
        """Keep where a reader stopped, so that it goes on without a search."""
        if len(self._resume) >= MAX_RESUME_POINTS:
            self._resume.pop(next(iter(self._resume)))
        self._resume[offset] = position

    def locate(self, offset: int) -> int:
        """Return a position at or before the frame that holds ``offset``."""
        resumed = self._resume.pop(offset, None)
        if resumed is not None:
            return resumed
        found = bisect_right(self._offsets, offset) - 1
        return self._positions[found] if found >= 0 else HEADER_BYTES


def path_of(directory: Path, base: int) -> Path:
    """The file of the segment that starts at ``base``."""
    return directory / f"{base:020d}{SUFFIX}"


def base_of(name: str) -> int | None:
    """The base offset in a file name, or None for a file that is no segment."""
    stem = name.removesuffix(SUFFIX)
    return int(stem) if stem != name and stem.isdigit() else None


def owner_digest(owner: str) -> int:
    """What a segment remembers of its owner's name."""
    return xxhash.xxh3_64_intdigest(owner.encode())


def encode_header(base: int, owner: str) -> bytes:
    """The first bytes of a segment file."""
    head = _HEAD.pack(MAGIC, VERSION, base, owner_digest(owner))
    return head + _CRC.pack(google_crc32c.value(head))


def check_header(header: bytes, base: int, owner: str) -> None:
    """Raise SegmentError unless ``header`` belongs to the segment of ``owner`` at ``base``."""
    if len(header) < HEADER_BYTES:
        raise SegmentError("the header is cut short")
    magic, version, found_base, found_owner = _HEAD.unpack_from(header)
    if magic != MAGIC:
        raise SegmentError("it is no segment file")
    if version > VERSION:
        raise SegmentTooNewError(f"segment version {version}, this software knows {VERSION}")
    if google_crc32c.value(header[: _HEAD.size]) != _CRC.unpack_from(header, _HEAD.size)[0]:
        raise SegmentError("the header's checksum differs")
    if found_base != base or found_owner != owner_digest(owner):
        raise SegmentError("it belongs to another partition or place")
