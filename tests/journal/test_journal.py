"""The journal in good health: appended, read, trimmed, opened again."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from hypothesis import given
from hypothesis import strategies as st

from common.journal.files import DiskFiles
from common.journal.journal import Journal
from common.journal.segment import HEADER_BYTES
from tests.journal.logs import (
    OWNER,
    SEGMENT_BYTES,
    append,
    flatten,
    numbered,
    open_journal,
    read_all,
    record,
    segments,
)
from tests.support.files import MemoryFiles

BATCHES = st.lists(st.lists(st.integers(0, 400), min_size=1, max_size=4), max_size=30)


def payloads_of(sizes: list[int]) -> list[bytes]:
    return [b"x" * size for size in sizes]


@given(BATCHES, st.integers(1, 2000), st.integers(0, 2**32))
def test_any_read_equals_a_list(sizes: list[list[int]], max_bytes: int, seed: int) -> None:
    journal, model = open_journal(MemoryFiles(), 1000), []
    for batch in sizes:
        payloads = payloads_of(batch)
        append(journal, *payloads)
        model += payloads
    assert [payload for _, payload in read_all(journal, max_bytes)] == model
    for offset in random.Random(seed).choices(range(len(model) + 2), k=10):
        found = [f for f in flatten(journal.read(offset, max_bytes)) if f[0] >= offset]
        assert found == list(enumerate(model))[offset : offset + len(found)]
        assert bool(found) == (offset < len(model))


@given(BATCHES, st.integers(1, 2000))
def test_a_journal_opened_again_is_the_same(sizes: list[list[int]], max_bytes: int) -> None:
    files = MemoryFiles()
    journal = open_journal(files, 1000)
    for batch in sizes:
        append(journal, *payloads_of(batch))
    journal.close()
    again = open_journal(files, 1000)
    assert (again.next_offset, again.size) == (journal.next_offset, journal.size)
    assert (again.torn_bytes, again.corrupt_frames) == (0, 0)
    assert read_all(again, max_bytes) == read_all(journal, max_bytes)


def test_many_records_are_one_write_and_one_sync() -> None:
    files = MemoryFiles()
    journal = open_journal(files)
    append(journal, b"first")
    before = dict(files.calls)
    journal.append([record(1 + n, b"more") for n in range(10)], sync=True)
    assert files.calls["write"] - before["write"] == 1
    assert files.calls["sync"] - before["sync"] == 1


def test_the_log_is_cut_into_segments_of_the_size_asked_for() -> None:
    files = MemoryFiles()
    journal = open_journal(files)
    for payload in numbered(1000):
        append(journal, payload)
    assert len(segments(files)) > 5
    assert all(files.size(path) <= SEGMENT_BYTES for path in segments(files))


def test_a_record_larger_than_a_segment_gets_one_of_its_own() -> None:
    journal = open_journal(MemoryFiles())
    for payload in (b"a", b"b" * 3 * SEGMENT_BYTES, b"c"):
        append(journal, payload)
    assert [len(payload) for _, payload in read_all(journal, 100)] == [1, 3 * SEGMENT_BYTES, 1]


def test_trim_unlinks_whole_segments_below_and_never_the_last() -> None:
    files = MemoryFiles()
    journal = open_journal(files)
    for payload in numbered(500):
        append(journal, payload)
    journal.trim(250)
    assert 0 < journal.first_offset <= 250
    assert read_all(journal)[0][0] == journal.first_offset
    journal.trim(journal.next_offset)
    assert len(segments(files)) == 1
    assert open_journal(files).next_offset == 500


def test_a_read_below_what_was_trimmed_starts_where_the_log_starts() -> None:
    journal = open_journal(MemoryFiles())
    for payload in numbered(500):
        append(journal, payload)
    journal.trim(400)
    assert journal.read(0, 1)[0].offset == journal.first_offset


def test_the_real_disk_keeps_it_too(tmp_path: Path) -> None:
    journal = Journal(tmp_path, OWNER, SEGMENT_BYTES, DiskFiles())
    for payload in numbered(200):
        append(journal, payload, sync=False)
    journal.close()
    again = Journal(tmp_path, OWNER, SEGMENT_BYTES, DiskFiles())
    assert [payload for _, payload in read_all(again)] == numbered(200)
    again.close()


def test_more_buffers_than_one_system_call_takes_are_written_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path, OWNER, 1 << 20, DiskFiles())
    journal.append([record(n, b"x") for n in range(3000)], sync=True)
    assert read_all(journal) == [(n, b"x") for n in range(3000)]
    journal.close()


class Slow(int):
    """An offset during whose first comparison something else happens."""

    meanwhile: list[Callable[[], None]]

    def __new__(cls, value: int, *meanwhile: Callable[[], None]) -> Self:
        made = super().__new__(cls, value)
        made.meanwhile = list(meanwhile)
        return made

    def __lt__(self, other: int) -> bool:
        less = int(self) < other
        while self.meanwhile:
            self.meanwhile.pop()()
        return less


def test_a_reader_at_the_end_skips_nothing_when_a_segment_is_begun_meanwhile(
    tmp_path: Path,
) -> None:
    journal, payloads = Journal(tmp_path, OWNER, 4096, DiskFiles()), numbered(400)
    append(journal, payloads[0], sync=False)

    def go_on() -> None:
        for payload in payloads[1:]:
            append(journal, payload, sync=False)

    records = journal.read(Slow(1, go_on), 1000)
    assert journal.last_base > 1
    assert not records or records[0].offset == 1
    assert journal.read(1, 1000)[0].offset == 1


class SlowFiles(DiskFiles):
    """Files with something that happens once, after a read of one length."""

    length = -1
    meanwhile: Callable[[], None]

    def read(self, path: Path, position: int, length: int) -> bytes:
        found = super().read(path, position, length)
        if length == self.length:
            self.length = -1
            self.meanwhile()
        return found


def test_what_is_written_while_a_damaged_end_is_stepped_over_is_read(tmp_path: Path) -> None:
    files = SlowFiles()
    journal, payloads = Journal(tmp_path, OWNER, 4096, files), numbered(400)
    append(journal, b"longer than the others", sync=False)
    begin = journal.size
    append(journal, payloads[0], sync=False)
    with next(tmp_path.glob("*.seg")).open("r+b") as file:
        file.seek(begin)
        file.write(b"\xff" * 8)

    def go_on() -> None:
        for payload in payloads:
            append(journal, payload, sync=False)

    files.length, files.meanwhile = journal.size - begin, go_on
    records = journal.read(1, 10)
    assert journal.last_base > 2
    assert not records or records[0].offset == 2


def test_many_threads_may_read_while_one_appends(tmp_path: Path) -> None:
    journal, payloads = Journal(tmp_path, OWNER, 4096, DiskFiles()), numbered(400)

    def follow(max_bytes: int) -> list[bytes]:
        found: list[bytes] = []
        while len(found) < len(payloads):
            records = journal.read(len(found), max_bytes)
            assert not records or records[0].offset == len(found)
            found += [payload for _, payload in flatten(records)]
        return found

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(follow, size) for size in (100, 1000, 5000, 1 << 20)]
        for payload in payloads:
            append(journal, payload, sync=False)
        assert all(reader.result() == payloads for reader in readers)
    journal.close()


def test_opening_reads_a_header_a_file_and_the_last_file_alone() -> None:
    files = MemoryFiles()
    journal = open_journal(files)
    for payload in payloads_of([300] * 400):
        append(journal, payload)
    paths = segments(files)
    last = files.size(paths[-1])
    assert len(paths) > 20
    before = files.bytes_read
    open_journal(files)
    assert files.bytes_read - before <= HEADER_BYTES * len(paths) + 2 * last
