"""What could not be stored, kept with its reason: one JSON object a line."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from collector.validate import Reject
from common.clock import to_rfc3339

FILE = "rejected.jsonl"
OLD_FILE = "rejected.1.jsonl"


class Rejects:
    """Appends to a file that is put aside once when it is full; counts by reason."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.counts: Counter[str] = Counter()
        self._path = directory / FILE
        self._old_path = directory / OLD_FILE
        self._max_bytes = max_bytes

    def keep(self, rejects: Sequence[Reject], now_ms: int) -> None:
        """Write rejects down, synced; blocks."""
        if self._path.exists() and self._path.stat().st_size > self._max_bytes:
            self._path.replace(self._old_path)
        lines = [encode(reject, now_ms) for reject in rejects]
        with self._path.open("ab+") as file:
            if is_torn(file):
                file.write(b"\n")
            file.write(b"".join(lines))
            file.flush()
            os.fsync(file.fileno())
        self.counts.update(reject.reason for reject in rejects)


def is_torn(file: BinaryIO) -> bool:
    """Whether the last line was not written to its end."""
    if not file.seek(0, os.SEEK_END):
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


def encode(reject: Reject, now_ms: int) -> bytes:
    """One line of the file."""
    row = {
        "rejected_at": to_rfc3339(now_ms),
        "reason": reject.reason,
        "detail": reject.detail,
        "content": reject.content.decode("utf-8", "replace"),
    }
    return msgspec.json.encode(row) + b"\n"
