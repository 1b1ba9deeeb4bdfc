"""What a file holds decides how long reading takes, and not how much memory."""

import itertools
import tracemalloc
from collections.abc import Iterator

import pytest

from streamer.sources.arrival import FileTime
from streamer.sources.base import Progress
from streamer.sources.content import HEAD_BYTES
from streamer.sources.layout import CsvSettings
from streamer.sources.reading import Reading, Way
from streamer.sources.understand import understand
from tests.streamer.reading import HOST, MODIFIED_MS

BLOCKS = 4
MOST_BYTES = 10 << 20  # without the bounds below it would be 15 MB and 42


class Endless:
    """A file made as it is read, of rows that never repeat."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self._kept = b""

    def read(self, size: int, /) -> bytes:
        while len(self._kept) < size:
            self._kept += b"".join(itertools.islice(self._lines, 2000))
        data, self._kept = self._kept[:size], self._kept[size:]
        return data

    def seek(self, offset: int, /) -> None:
        self.read(offset)


def long_rows() -> Iterator[bytes]:
    yield b"timestamp,uuid,metric_name,value\n"
    for number in itertools.count():
        yield b"2025-07-18T20:42:34Z,GPU-%d,m%d,%d.5\n" % (number, number, number)


def wide_rows() -> Iterator[bytes]:
    yield b"timestamp,uuid,temperature,note\n"
    for number in itertools.count():
        yield b"2025-07-18T20:42:34Z,GPU-%d,%d,n%d\n" % (number, number, number)


@pytest.mark.parametrize("rows", [long_rows, wide_rows])
def test_a_file_without_end_and_without_repetition_is_read_in_bounded_memory(
    monkeypatch: pytest.MonkeyPatch, rows: type[Iterator[bytes]]
) -> None:
    for name in ("frames.MAX_FRAMES", "fields.REMEMBERED", "identity.REMEMBERED"):
        monkeypatch.setattr(f"streamer.sources.{name}", 1000)
    monkeypatch.setattr("streamer.sources.wide_rows.REMEMBERED", 1000)
    monkeypatch.setattr("streamer.assemble.MAX_OPEN", 1000)
    head = Endless(rows()).read(HEAD_BYTES)
    settings = CsvSettings()
    way = Way(understand(head, 0, HOST, settings), settings, FileTime(MODIFIED_MS))
    reading = Reading(Endless(rows()), way, head, Progress())
    tracemalloc.start()
    try:
        for _ in range(BLOCKS):
            assert reading.next_chunk() is not None
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert reading.progress.rows_read > 45_000
    assert kept < MOST_BYTES
