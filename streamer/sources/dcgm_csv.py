"""The long CSV that DCGM exports are dumped to: one metric of one GPU a row."""

import asyncio
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import xxhash

from common.models import Sample
from streamer.assemble import Assembler
from streamer.sources.base import Progress, SourceError
from streamer.sources.columns import read_header
from streamer.sources.lines import LineBlock, read_blocks
from streamer.sources.rows import RowReader

FINGERPRINT_BYTES = 1 << 16


class DcgmCsv:
    """Reads one file in a thread of its own; see ``Source``."""

    live = False

    def __init__(self, path: Path) -> None:
        self.progress = Progress()
        self._path = path
        self._file: BinaryIO | None = None
        self._chunks: Iterator[list[Sample]] = iter(())
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reader")

    async def open(self) -> str:
        """See ``Source``; the name is a digest of the file's name, size, beginning and end."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._open)

    async def read(self) -> list[Sample] | None:
        """See ``Source``."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._next_chunk)

    async def rewind(self) -> None:
        """See ``Source``."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._rewind)

    async def close(self) -> None:
        """See ``Source``."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close_file)
        self._thread.shutdown(wait=False)

    def _open(self) -> str:
        try:
            status = self._path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise SourceError(f"{self._path} is not a regular file")
            self._file = self._path.open("rb")
            name = fingerprint(self._file, self._path.name, status.st_size)
        except OSError as error:
            raise SourceError(f"{self._path}: {error.strerror}") from error
        self.progress.bytes_total = status.st_size
        self._rewind()
        return name

    def _rewind(self) -> None:
        if self._file is None:
            raise SourceError(f"{self._path} is not open")
        self._file.seek(0)
        self.progress.bytes_read = 0
        self._chunks = read_samples(self._file, self.progress)

    def _next_chunk(self) -> list[Sample] | None:
        try:
            return next(self._chunks, None)
        except OSError as error:
            raise SourceError(f"{self._path}: {error.strerror}") from error
        except SourceError as error:
            raise SourceError(f"{self._path}: {error}") from None

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()


def read_samples(file: BinaryIO, progress: Progress) -> Iterator[list[Sample]]:
    """Yield the samples that each block of ``file`` closes, and at its end those still open.

    ``progress`` is kept up to date. Raises SourceError for an empty file and for a header that
    does not do.
    """
    blocks = read_blocks(file)
    head = next(blocks, None)
    if head is None:
        raise SourceError("the file is empty")
    header = head.lines[0]
    assembler = Assembler()
    reader = RowReader(read_header(header), header, assembler, progress)
    for block in chain([without_first_line(head)], blocks):
        yield take_block(reader, assembler, block, progress)
    assembler.close_all()
    yield assembler.take()


def take_block(
    reader: RowReader, assembler: Assembler, block: LineBlock, progress: Progress
) -> list[Sample]:
    """Read the rows of one block and return the samples they closed."""
    before = assembler.duplicates
    reader.read(block)
    progress.duplicates += assembler.duplicates - before
    progress.bytes_read = block.bytes_read
    return assembler.take()


def without_first_line(block: LineBlock) -> LineBlock:
    """The same block behind the header."""
    return block._replace(first=block.first + 1, lines=block.lines[1:])


def fingerprint(file: BinaryIO, name: str, size_bytes: int) -> str:
    """Name the content of a file without reading all of it: 16 hex digits."""
    digest = xxhash.xxh3_64(f"{name}/{size_bytes}/".encode())
    digest.update(file.read(FINGERPRINT_BYTES))
    file.seek(max(0, size_bytes - FINGERPRINT_BYTES))
    digest.update(file.read(FINGERPRINT_BYTES))
    return digest.hexdigest()
