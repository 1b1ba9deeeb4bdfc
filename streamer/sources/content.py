"""The bytes of a file as UTF-8 text, whatever they are wrapped in."""

import codecs
import gzip
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

import xxhash

from streamer.sources.base import SourceError
from streamer.sources.lines import Readable
from streamer.sources.strangers import refuse_binary

HEAD_BYTES = 1 << 16
FINGERPRINT_BYTES = 1 << 16
SKIP_BYTES = 1 << 19
GZIP = b"\x1f\x8b"
UTF8_MARK = codecs.BOM_UTF8
WIDE_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class Text(Readable, Protocol):
    """UTF-8 text with places."""

    def seek(self, offset: int, /) -> object:
        """Go to a byte of the text."""


class Recoded:
    """A file in another encoding, read as UTF-8; raises UnicodeError where it cannot be."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._ready = b""
        self._ended = False

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes of UTF-8."""
        while len(self._ready) < size and not self._ended:
            data = self._file.read(size)
            self._ended = not data
            self._ready += self._decoder.decode(data, final=self._ended).encode()
        ready, self._ready = self._ready[:size], self._ready[size:]
        return ready

    def seek(self, offset: int, /) -> None:
        """Go to a byte of the UTF-8 text, by reading up to it."""
        self._file.seek(0)
        self._decoder.reset()
        self._ready, self._ended = b"", False
        while offset > 0 and (skipped := self.read(min(offset, SKIP_BYTES))):
            offset -= len(skipped)


class Content:
    """One file on disk, open. ``start`` is where the text begins, behind a byte order mark.

    ``head`` is the beginning of the text, at most ``HEAD_BYTES``; ``wrapping`` says what was taken
    off: gzip, an encoding, or nothing.
    """

    def __init__(self, path: Path) -> None:
        """Open it; raises SourceError for what is no text, OSError for what cannot be opened."""
        self.path = path
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise SourceError(f"is a directory: give its files, as {path}/*.csv")
        if not stat.S_ISREG(status.st_mode):
            raise SourceError("is not a regular file")
        self._raw = path.open("rb")
        try:
            self.size = status.st_size
            self.modified_ms = status.st_mtime_ns // 1_000_000
            self.text, self.start, self.wrapping = unwrap(self._raw)
            self.text.seek(self.start)
            self.head = self.text.read(HEAD_BYTES)
        except BaseException:
            self._raw.close()
            raise

    @property
    def raw_position(self) -> int:
        """How many bytes of the file have been read, of ``size``."""
        return self._raw.tell()

    def fingerprint(self) -> str:
        """Name the content of the file without reading all of it: 16 hex digits."""
        digest = xxhash.xxh3_64(f"{self.path.name}/{self.size}/".encode())
        with self.path.open("rb") as file:
            digest.update(file.read(FINGERPRINT_BYTES))
            file.seek(max(0, self.size - FINGERPRINT_BYTES))
            digest.update(file.read(FINGERPRINT_BYTES))
        return digest.hexdigest()

    def close(self) -> None:
        """Let go of the file."""
        self._raw.close()


@contextmanager
def naming(what: Path | str) -> Iterator[None]:
    """Turn what can go wrong with a file into a SourceError that names it."""
    try:
        yield
    except SourceError as error:
        raise SourceError(f"{what}: {error}") from None
    except UnicodeError as error:
        raise SourceError(f"{what}: is not the encoding it begins as: {error}") from error
    except (EOFError, zlib.error) as error:
        raise SourceError(f"{what}: the gzip data is damaged or ends early: {error}") from error
    except OSError as error:
        raise SourceError(f"{what}: {error.strerror or error}") from error


def unwrap(raw: BinaryIO) -> tuple[Text, int, str]:
    """Return the text in a file, where it begins, and what it was wrapped in."""
    magic = raw.read(8)
    raw.seek(0)
    if not magic.startswith(GZIP):
        return decoded(raw, magic, "")
    unzipped: BinaryIO = gzip.GzipFile(fileobj=raw)  # type: ignore[assignment] # it reads and seeks
    inner = unzipped.read(8)
    unzipped.seek(0)
    if inner.startswith(GZIP):
        raise SourceError("is gzip within gzip: unpack it once")
    return decoded(unzipped, inner, "gzip")


def decoded(file: BinaryIO, magic: bytes, wrapping: str) -> tuple[Text, int, str]:
    """Look at the first bytes: which encoding, and is it text at all."""
    encoding = encoding_of(magic)
    if encoding:
        return Recoded(file, encoding), 0, f"{wrapping} {encoding}".strip()
    refuse_binary(magic)
    return file, len(UTF8_MARK) if magic.startswith(UTF8_MARK) else 0, wrapping


def encoding_of(magic: bytes) -> str:
    """Name an encoding of two or four bytes a character, empty for all others."""
    for mark, encoding in WIDE_MARKS:
        if magic.startswith(mark):
            return encoding
    first = magic[:4]
    if len(first) == 4 and first[1] == first[3] == 0 != first[0] and first[2]:
        return "utf-16-le"
    if len(first) == 4 and first[0] == first[2] == 0 != first[1] and first[3]:
        return "utf-16-be"
    return ""
