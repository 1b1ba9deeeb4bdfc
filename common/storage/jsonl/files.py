"""The files of the store `jsonl`, and their law.

A GPU has files ``<key>.<number>.jsonl``, of which the last is appended to. The key is what a
file name takes of the GPU's id, and a hash of all of it. The first line of a file is its header::

    {"format": 1, "id": <the GPU's id>, "known": <what was known of it before this file, or null>}

Every other line is a sample as it came. For one moment and metric the last line stands, the files
taken by number. What follows the last line break is a write that was cut off: a reader passes it
over, and the next writer cuts it away. A whole line that cannot be read is damage: it is never
passed over, and the store does not answer until somebody has looked.
"""

import re
from pathlib import Path
from typing import NamedTuple

import msgspec
import xxhash

from common.errors import StoreUnavailable
from common.models import Sample
from common.storage.base import StoreRefused
from common.storage.inventory import Member

FORMAT = 1
SUFFIX = ".jsonl"
READABLE_KEY = 80

_NAME = re.compile(r"(.+)\.(\d{6,})\.jsonl")
_SAMPLE = msgspec.json.Decoder(Sample)


class Header(msgspec.Struct):
    """The first line of a file."""

    format: int
    id: str
    known: Member | None


class Found(NamedTuple):
    """A file as it is listed."""

    path: Path
    number: int
    inode: int
    size: int


def key_of(gpu_id: str) -> str:
    """Return what a GPU's files are called by."""
    readable = re.sub(r"[^A-Za-z0-9_-]", "_", gpu_id)[:READABLE_KEY]
    return f"{readable}-{xxhash.xxh3_64_hexdigest(gpu_id.encode())}"


def path_of(directory: Path, key: str, number: int) -> Path:
    """Return where a file lies."""
    return directory / f"{key}.{number:06d}{SUFFIX}"


def list_files(directory: Path) -> dict[str, list[Found]]:
    """Return all files by the key of their GPU, each GPU's by number."""
    found: dict[str, list[Found]] = {}
    for path in directory.iterdir():
        name = _NAME.fullmatch(path.name)
        if name is not None:
            status = path.stat()
            file = Found(path, int(name[2]), status.st_ino, status.st_size)
            found.setdefault(name[1], []).append(file)
    for files in found.values():
        files.sort(key=lambda file: file.number)
    return found


def read_lines(path: Path, offset: int) -> tuple[list[bytes], int]:
    """Return the whole lines from ``offset`` on, and where the last one ends."""
    with path.open("rb") as file:
        file.seek(offset)
        content = file.read()
    end = content.rfind(b"\n") + 1
    return content[:end].split(b"\n")[:-1], offset + end


def read_header(path: Path, line: bytes) -> Header:
    """Read a file's first line; raises StoreRefused for one that is not ours to use."""
    try:
        header = msgspec.json.decode(line, type=Header)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreRefused(f"{path} is not a file of this store; it was left untouched") from error
    if header.format > FORMAT:
        raise StoreRefused(f"{path} has format {header.format}, made by a newer release")
    return header


def read_sample(path: Path, line: bytes) -> Sample:
    """Read a sample; raises StoreUnavailable for a damaged line."""
    try:
        return _SAMPLE.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreUnavailable(f"{path} is damaged: {error}") from error


def header_line(gpu_id: str, known: Member | None) -> bytes:
    """Return the first line of a file; its points count where they are."""
    if known is not None:
        known = msgspec.structs.replace(known, points=0, samples=0)
    return msgspec.json.encode(Header(FORMAT, gpu_id, known)) + b"\n"


def sample_line(sample: Sample) -> bytes:
    """Return a sample's line."""
    return msgspec.json.encode(sample) + b"\n"
