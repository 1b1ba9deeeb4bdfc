"""Small journals for the tests of this folder."""

from collections.abc import Iterable
from pathlib import Path

from common.journal.frame import LINES, TEXT, Record
from common.journal.journal import Journal
from tests.support.files import MemoryFiles

DIRECTORY = Path("/logs/t/0")
OWNER = "t/0"
SEGMENT_BYTES = 4096
CREATED_AT = 1_750_000_000_000


def open_journal(
    files: MemoryFiles, segment_bytes: int = SEGMENT_BYTES, owner: str = OWNER
) -> Journal:
    """The journal that lies in ``DIRECTORY``."""
    return Journal(DIRECTORY, owner, segment_bytes, files)


def record(offset: int, *payloads: bytes, meta: bytes = b"") -> Record:
    """A record of these payloads, none holding a line feed."""
    flags = TEXT | (LINES if len(payloads) > 1 else 0)
    return Record(offset, len(payloads), CREATED_AT, flags, meta, b"\n".join(payloads))


def append(journal: Journal, *payloads: bytes, sync: bool = True) -> Record:
    """Append one record of these payloads."""
    added = record(journal.next_offset, *payloads)
    journal.append([added], sync)
    return added


def numbered(count: int) -> list[bytes]:
    """Payloads that are all different."""
    return [b"message %d" % number for number in range(count)]


def read_all(journal: Journal, max_bytes: int = 1 << 20) -> list[tuple[int, bytes]]:
    """Every (offset, payload) from the first to the last."""
    found: list[tuple[int, bytes]] = []
    offset = journal.first_offset
    while records := journal.read(offset, max_bytes):
        found += flatten(records)
        offset = records[-1].end
    return found


def flatten(records: Iterable[Record]) -> list[tuple[int, bytes]]:
    """The (offset, payload) of every message."""
    return [
        (record.offset + index, payload)
        for record in records
        for index, payload in enumerate(record.payloads())
    ]


def segments(files: MemoryFiles) -> list[Path]:
    """The segment files, oldest first."""
    return sorted(DIRECTORY / name for name in files.names(DIRECTORY) if name.endswith(".seg"))
