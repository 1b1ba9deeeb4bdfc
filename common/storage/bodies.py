"""Lines as the bodies of requests."""

import zlib
from collections.abc import Iterable, Iterator

LINES_PER_REQUEST = 5_000
BYTES_PER_REQUEST = 4 << 20
GZIP_LEVEL = 1
"""A tenth of the bytes for 0.09 CPU seconds a million points; level 6 takes 0.28 for a 13th."""
GZIP = 31


def bodies(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Join lines into requests, bounded in lines and in bytes; a long line goes alone."""
    kept: list[bytes] = []
    size = 0
    for line in lines:
        if kept and (len(kept) == LINES_PER_REQUEST or size + len(line) > BYTES_PER_REQUEST):
            yield b"\n".join(kept)
            kept, size = [], 0
        kept.append(line)
        size += len(line) + 1
    if kept:
        yield b"\n".join(kept)


def packed(body: bytes) -> bytes:
    """A body under gzip."""
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP)
    return packer.compress(body) + packer.flush()
