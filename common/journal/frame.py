"""How messages are framed on disk.

The law of the frame, version 1. All numbers little-endian::

    at  bytes  field
     0      4  magic       "TSF1"
     4      1  version     1
     5      1  flags       bit 0 LINES: the body is ``count`` payloads with one LF between each two
                           bit 1 TEXT: the body is UTF-8 without CR (and, unless LINES, without LF)
                           bit 2 EXTRA: the meta part holds a key or headers
                           bit 3 FOR_ONE: the meta part names the one group it is for
     6      2  meta length bytes of the meta part
     8      4  length      bytes of meta and body together
    12      4  count       messages in the frame, 1 or more
    16      8  offset      of the first message; the next frame starts at offset + count
    24      8  created at  milliseconds since 1970 UTC
    32      4  crc32c      of the segment's salt, bytes 0 to 31, meta, body (Castagnoli, RFC 3720)
    36         meta        MessagePack map; empty when there is nothing to say
               body

A frame is one produce: it is written, synced, kept and sent as one thing. What does not parse or
whose checksum differs is never served. The salt is random and known to its segment alone: bytes
that look like a frame inside a payload, or came from another segment, are not taken for one. To
change the layout: raise the version, keep the first 36 bytes where they are, keep reading the old
one, add a golden file of the old one to the tests.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import google_crc32c

MAGIC = b"TSF1"
VERSION = 1
LINES = 1
TEXT = 2
EXTRA = 4
FOR_ONE = 8
MAX_LENGTH = 256 << 20

_HEAD = struct.Struct("<4sBBHIIQQ")
_CRC = struct.Struct("<I")
HEADER_BYTES = _HEAD.size + _CRC.size


class FrameError(Exception):
    """The bytes are not a frame, or not the one that was written."""


class FrameTooNewError(Exception):
    """The frame was written by a later version of this software."""


@dataclass(slots=True)
class Record:
    """One frame in memory: ``count`` messages from ``offset`` on."""

    offset: int
    count: int
    created_at: int
    flags: int
    meta: bytes
    body: bytes
    _payloads: list[bytes] | None = field(default=None, repr=False, compare=False)

    @property
    def end(self) -> int:
        """The offset after the last message."""
        return self.offset + self.count

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return HEADER_BYTES + len(self.meta) + len(self.body)

    def payloads(self) -> list[bytes]:
        """Every message's payload, split once and kept."""
        if self._payloads is None:
            self._payloads = self.body.split(b"\n") if self.flags & LINES else [self.body]
        return self._payloads


def encode(record: Record, salt: int) -> tuple[bytes, bytes, bytes]:
    """Return header, meta and body, ready to be written without a copy of the body.

    ``salt`` is the checksum of the segment's salt, which the frame's own goes on from.
    """
    head = _HEAD.pack(
        MAGIC,
        VERSION,
        record.flags,
        len(record.meta),
        len(record.meta) + len(record.body),
        record.count,
        record.offset,
        record.created_at,
    )
    crc = checksum(salt, head, record.meta, record.body)
    return head + _CRC.pack(crc), record.meta, record.body


def checksum(salt: int, head: bytes, meta: bytes, body: bytes) -> int:
    """CRC32C of a frame without its checksum field."""
    crc = google_crc32c.extend(salt, head + meta)
    return int(google_crc32c.extend(crc, body))


def frame_length(buffer: bytes, position: int) -> int:
    """Return the whole length of the frame that starts at ``position``, from its header alone.

    Raises FrameError when no header starts there.
    """
    if len(buffer) - position < HEADER_BYTES:
        raise FrameError("the header is cut short")
    magic, _, _, meta_length, length, count, _, _ = _HEAD.unpack_from(buffer, position)
    if magic != MAGIC:
        raise FrameError("no frame starts here")
    if not count or meta_length > length or length > MAX_LENGTH:
        raise FrameError("the header makes no sense")
    return HEADER_BYTES + int(length)


def created_at(header: bytes) -> int:
    """When the record of a frame was made, from its header alone; not checked."""
    return int(_HEAD.unpack_from(header)[-1])


def decode(buffer: bytes, position: int, salt: int) -> Record:
    """Return the record whose frame starts at ``position``, its checksum proven.

    Raises FrameError for what is no good frame, FrameTooNewError for a good one of a later version.
    """
    end = position + frame_length(buffer, position)
    if end > len(buffer):
        raise FrameError("the frame is cut short")
    _, version, flags, meta_length, _, count, offset, created_at = _HEAD.unpack_from(
        buffer, position
    )
    body_at = position + HEADER_BYTES
    meta = bytes(buffer[body_at : body_at + meta_length])
    body = bytes(buffer[body_at + meta_length : end])
    head = bytes(buffer[position : position + _HEAD.size])
    if checksum(salt, head, meta, body) != _CRC.unpack_from(buffer, position + _HEAD.size)[0]:
        raise FrameError("the checksum differs")
    if version > VERSION:
        raise FrameTooNewError(f"frame version {version}, this software knows {VERSION}")
    return Record(offset, count, created_at, flags, meta, body)


def decode_all(buffer: bytes, position: int, salt: int) -> Iterator[tuple[int, Record]]:
    """Yield (position, record) for each whole good frame, up to the first that is not."""
    while position < len(buffer):
        try:
            record = decode(buffer, position, salt)
        except FrameError:
            return
        yield position, record
        position += record.size


def find(buffer: bytes, position: int, salt: int, least_offset: int) -> int | None:
    """Return where the next good frame with an offset of at least ``least_offset`` starts."""
    while (position := buffer.find(MAGIC, position)) >= 0:
        try:
            if decode(buffer, position, salt).offset >= least_offset:
                return position
        except FrameError:
            pass
        position += 1
    return None
