"""One segment file of a journal.

The law of the segment, version 1. A file named by its base offset in 20 digits, ``.seg``::

    at  bytes  field
     0      6  magic     "TSSEG1"
     6      2  version   1
     8      8  base      offset of the first message
    16      8  owner     xxh3_64 of the owner's name (topic/partition), so that a file that was
                         moved to another partition is noticed
    24      8  salt      random; the checksum of every frame in the file begins with it
    32      4  crc32c    of bytes 0 to 31
    36         frames, see ``frame``

The header is synced, and the directory with it, before the first frame is written: a shorter file
never held an acknowledged message. Only the last segment is ever written to.
"""

from __future__ import annotations  # array is not subscriptable at run time

import os
import struct
from array import array
from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import google_crc32c
import xxhash

MAGIC = b"TSSEG1"
VERSION = 1
SUFFIX = ".seg"
BASE_DIGITS = 20
SALT_BYTES = 8
INDEX_EVERY_BYTES = 64 << 10
MAX_RESUME_POINTS = 64

_HEAD = struct.Struct("<6sHQQ8s")
_CRC = struct.Struct("<I")
HEADER_BYTES = _HEAD.size + _CRC.size


class SegmentError(Exception):
    """The file is no segment of this journal."""


class SegmentTooNewError(Exception):
    """The segment was written by a later version of this software."""


@dataclass
class Segment:
    """A segment file and a sparse index of it, filled as the file is written or read.

    ``salt`` is the checksum of the header's salt. Many threads may read and note at once.
    """

    path: Path
    base: int
    end: int
    size: int
    salt: int
    _next_note: int = 0
    _offsets: array[int] = field(default_factory=lambda: array("Q"))
    _positions: array[int] = field(default_factory=lambda: array("Q"))
    _resume: dict[int, int] = field(default_factory=dict)
    _noting: Lock = field(default_factory=Lock)

    def note(self, offset: int, position: int) -> None:
        """Learn that the frame of ``offset`` starts at ``position``; only steps forward count."""
        if position < self._next_note:
            return
        with self._noting:
            if position >= self._next_note:
                self._offsets.append(offset)
                self._positions.append(position)
                self._next_note = position + INDEX_EVERY_BYTES

    def remember(self, offset: int, position: int) -> None:
        """Keep where a reader stopped, so that it goes on without a search."""
        with self._noting:
            if len(self._resume) >= MAX_RESUME_POINTS:
                self._resume.pop(next(iter(self._resume)))
            self._resume[offset] = position

    def locate(self, offset: int) -> int:
        """Return a position at or before the frame that holds ``offset``."""
        with self._noting:
            resumed = self._resume.pop(offset, None)
            if resumed is not None:
                return resumed
            found = bisect_right(self._offsets, offset) - 1
            return self._positions[found] if found >= 0 else HEADER_BYTES


def path_of(directory: Path, base: int) -> Path:
    """The file of the segment that starts at ``base``."""
    return directory / f"{base:0{BASE_DIGITS}d}{SUFFIX}"


def base_of(name: str) -> int | None:
    """The base offset in a file name, or None for a file that is no segment."""
    stem = name.removesuffix(SUFFIX)
    if stem == name or len(stem) != BASE_DIGITS or not (stem.isascii() and stem.isdigit()):
        return None
    return int(stem)


def owner_digest(owner: str) -> int:
    """What a segment remembers of its owner's name."""
    return xxhash.xxh3_64_intdigest(owner.encode())


def new_header(base: int, owner: str) -> bytes:
    """The first bytes of a new segment file, with a salt of its own."""
    head = _HEAD.pack(MAGIC, VERSION, base, owner_digest(owner), os.urandom(SALT_BYTES))
    return head + _CRC.pack(google_crc32c.value(head))


def salt_of(header: bytes) -> int:
    """The checksum of the salt in a header: what frames are encoded and decoded with."""
    return int(google_crc32c.value(_HEAD.unpack_from(header)[-1]))


def check_header(header: bytes, base: int, owner: str) -> None:
    """Raise SegmentError unless ``header`` belongs to the segment of ``owner`` at ``base``.

    SegmentTooNewError is only for a header that is whole: a flipped bit is damage, not a version.
    """
    if len(header) < HEADER_BYTES:
        raise SegmentError("the header is cut short")
    magic, version, found_base, found_owner, _ = _HEAD.unpack_from(header)
    if magic != MAGIC:
        raise SegmentError("it is no segment file")
    if google_crc32c.value(header[: _HEAD.size]) != _CRC.unpack_from(header, _HEAD.size)[0]:
        raise SegmentError("the header's checksum differs")
    if version > VERSION:
        raise SegmentTooNewError(f"segment version {version}, this software knows {VERSION}")
    if found_base != base or found_owner != owner_digest(owner):
        raise SegmentError("it belongs to another partition or place")
