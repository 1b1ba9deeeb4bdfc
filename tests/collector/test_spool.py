"""The spool against a list: what was appended comes out in order, and again until it is written."""

import errno
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.spool import POSITION_FILE, Entry, Origin, Spool, Spooled
from common.errors import DiskFull
from common.journal.segment import path_of
from tests.collector.fakes import message, sample, times
from tests.support.files import MemoryFiles

ROOT = Path("/spool")
SEGMENT_BYTES = 1024
NOW_MS = 1_752_871_354_000


def open_spool(files: MemoryFiles, memory_points: int = 4) -> Spool:
    return Spool(ROOT, SEGMENT_BYTES, memory_points, files)


def entry(first: int, count: int) -> Entry:
    """``count`` messages of one sample each, at the times ``first`` and on."""
    samples = [sample(at) for at in range(first, first + count)]
    origin = Origin("b", 0, [*range(first, first + count)])
    return Entry("r", origin, 1, [message(each) for each in samples], samples, [1] * count)


def append(spool: Spool, first: int, *counts: int) -> None:
    entries = []
    for count in counts:
        entries.append(entry(first, count))
        first += count
    spool.keep(spool.append(entries, NOW_MS))


def append_each(spool: Spool, count: int) -> None:
    """Append ``count`` messages one by one: a batch stays in one file."""
    for number in range(count):
        append(spool, number, 1)


def step(spool: Spool) -> list[int]:
    """What the writer gets next, as times."""
    item = spool.next_in_memory()
    if item is not None:
        return times(item.samples)
    if not spool.has_more_on_disk():
        return []
    items: list[Spooled] = spool.read_from_disk()
    spool.took(items)
    return [at for item in items for at in times(item.samples)]


def drain(spool: Spool) -> list[int]:
    found: list[int] = []
    while some := step(spool):
        found += some
    return found


OPERATIONS = st.one_of(
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.sampled_from(["step", "written", "reopen", "crash"]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(OPERATIONS, max_size=40), st.integers(0, 6))
def test_it_is_a_list_with_a_place_in_it(operations: list[object], memory_points: int) -> None:
    files = MemoryFiles()
    spool = open_spool(files, memory_points)
    end = taken = written = 0
    for operation in operations:
        if isinstance(operation, list):
            append(spool, end, *operation)
            end += sum(operation)
        elif operation == "step":
            found = step(spool)
            assert found == list(range(taken, taken + len(found)))
            assert found or taken == end
            taken += len(found)
        elif operation == "written":
            spool.written(taken)
            written = taken
        else:
            if operation == "crash":
                files.crash()
            else:
                spool.close()
            spool = open_spool(files, memory_points)
            taken = written = check_place(spool, written, exact=operation == "reopen")
        assert (spool.pending, spool.end) == (end - written, end)
    assert drain(spool) == list(range(taken, end))


def check_place(spool: Spool, written: int, exact: bool) -> int:
    """A clean start goes on where it was; after a power cut some may be written again."""
    assert spool.read_offset == written if exact else spool.read_offset <= written
    return spool.read_offset


def test_files_go_once_they_are_written() -> None:
    files = MemoryFiles()
    spool = open_spool(files)
    append_each(spool, 100)
    assert spool.bytes_on_disk > 10 * SEGMENT_BYTES
    assert drain(spool) == list(range(100))
    spool.written(100)
    assert spool.bytes_on_disk <= 2 * SEGMENT_BYTES
    assert spool.pending == 0


def test_a_damaged_place_costs_repeated_work_only() -> None:
    files = MemoryFiles()
    spool = open_spool(files)
    append(spool, 0, 3)
    drain(spool)
    spool.written(3)
    spool.close()
    files.change(ROOT / POSITION_FILE, b'{"offset": 9}\n00000000')
    assert drain(open_spool(files)) == [0, 1, 2]


def test_a_torn_tail_is_cut_and_the_rest_comes() -> None:
    files = MemoryFiles()
    spool = open_spool(files)
    append(spool, 0, 1, 1)
    spool.close()
    segment = path_of(ROOT, 0)
    files.change(segment, files.content(segment)[:-5])
    spool = open_spool(files)
    assert drain(spool) == [0]
    append(spool, 1, 1)
    assert drain(spool) == [1]


def test_a_damaged_middle_is_counted_and_stepped_over() -> None:
    files = MemoryFiles()
    spool = open_spool(files)
    append(spool, 0, 1, 1, 1)
    spool.close()
    segment = path_of(ROOT, 0)
    content = bytearray(files.content(segment))
    content[len(content) // 2] ^= 1
    files.change(segment, bytes(content))
    spool = open_spool(files)
    assert drain(spool) == [0, 2]
    assert spool.corrupt_frames


def test_offsets_that_are_given_again_are_written_again() -> None:
    files = MemoryFiles()
    spool = open_spool(files)
    append(spool, 0, 3)
    drain(spool)
    spool.written(3)
    spool.close()
    files.change(path_of(ROOT, 0), b"no segment")
    spool = open_spool(files)
    append(spool, 10, 2)
    assert drain(open_spool(files)) == [10, 11]


def test_a_full_disk_takes_nothing_and_loses_nothing() -> None:
    files = MemoryFiles()
    spool = open_spool(files)
    append(spool, 0, 1)
    files.fail("write", errno.ENOSPC, short=10)
    with pytest.raises(DiskFull):
        append(spool, 1, 1)
    append(spool, 1, 1)
    assert drain(spool) == drain(open_spool(files)) == [0, 1]


@pytest.mark.parametrize("operation", ["write", "sync", "replace", "append_to", "remove"])
def test_a_place_that_cannot_be_written_down_stops_nobody(operation: str) -> None:
    files = MemoryFiles()
    spool = open_spool(files)
    append_each(spool, 20)
    drain(spool)
    files.fail(operation, errno.ENOSPC)
    spool.written(10)
    spool.written(20)
    assert open_spool(files).read_offset == 20


def test_a_full_disk_is_made_room_on_before_the_place_is_written_down() -> None:
    files = MemoryFiles()
    spool = open_spool(files)
    append_each(spool, 100)
    drain(spool)
    files.fail("write", errno.ENOSPC)
    spool.written(100)
    assert spool.bytes_on_disk <= 2 * SEGMENT_BYTES
    assert open_spool(files).pending <= 20
