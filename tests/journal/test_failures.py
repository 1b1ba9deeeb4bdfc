"""Disks that fail: nothing half kept, nothing claimed that is not so."""

import errno
import os
import random
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import DiskFull, PartitionReadOnly, TelemetryError, Unavailable
from common.journal.files import DiskFiles
from common.journal.journal import Journal
from tests.journal.logs import OWNER, append, numbered, open_journal, read_all, segments
from tests.support.files import MemoryFiles

FILE_LIMIT = 1500


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file of this process may grow over ``FILE_LIMIT``."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_LIMIT, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("short", [0, 1, 20, 40])
def test_a_full_disk_leaves_the_log_as_it_was_and_is_got_over(code: int, short: int) -> None:
    files = MemoryFiles()
    journal = open_journal(files)
    append(journal, b"before")
    content = files.content(segments(files)[0])
    files.fail("write", code, short=short)
    with pytest.raises(DiskFull):
        append(journal, b"does not fit")
    assert files.content(segments(files)[0]) == content
    append(journal, b"after")
    assert read_all(journal) == read_all(open_journal(files)) == [(0, b"before"), (1, b"after")]


@pytest.mark.parametrize("operation", ["append_to", "write", "sync_directory"])
def test_a_segment_that_cannot_be_begun_leaves_no_trace(operation: str) -> None:
    files = MemoryFiles()
    journal = open_journal(files)
    append(journal, b"x" * 4000)
    before = files.snapshot()
    files.fail(operation, errno.ENOSPC, short=10 if operation == "write" else 0)
    with pytest.raises(DiskFull):
        append(journal, b"y" * 4000)
    assert files.snapshot() == before
    append(journal, b"z" * 4000)
    assert [payload[:1] for _, payload in read_all(open_journal(files))] == [b"x", b"z"]


def test_a_file_that_may_not_grow_is_a_full_disk(tmp_path: Path, small_files: None) -> None:
    journal = Journal(tmp_path, OWNER, 1 << 20, DiskFiles())
    append(journal, b"x" * 1000)
    with pytest.raises(DiskFull):
        append(journal, b"y" * 1000)
    append(journal, b"z" * 100)
    assert [payload[:1] for _, payload in read_all(journal)] == [b"x", b"z"]
    journal.close()
    assert Journal(tmp_path, OWNER, 1 << 20, DiskFiles()).torn_bytes == 0


@pytest.mark.parametrize("most", range(1, 120, 7))
def test_writes_that_the_kernel_cuts_short_go_on_to_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    journal = Journal(tmp_path, OWNER, 1 << 20, DiskFiles())
    append(journal, b"first")
    monkeypatch.setattr(os, "writev", lambda fd, buffers: os.write(fd, b"".join(buffers)[:most]))
    for payload in numbered(3):
        append(journal, payload)
    monkeypatch.undo()
    journal.close()
    again = Journal(tmp_path, OWNER, 1 << 20, DiskFiles())
    assert [payload for _, payload in read_all(again)] == [b"first", *numbered(3)]


def test_a_file_that_was_moved_away_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    journal = Journal(tmp_path / "log", OWNER, 1 << 20, DiskFiles())
    append(journal, b"before")
    (tmp_path / "log").rename(tmp_path / "away")
    with pytest.raises(PartitionReadOnly):
        append(journal, b"nowhere")
    (tmp_path / "log").mkdir()
    with pytest.raises(PartitionReadOnly):
        append(journal, b"nowhere")
    again = Journal(tmp_path / "away", OWNER, 1 << 20, DiskFiles())
    assert read_all(again) == [(0, b"before")]


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_after_a_failed_sync_nothing_more_is_taken(code: int) -> None:
    files = MemoryFiles()
    journal = open_journal(files)
    append(journal, b"before")
    files.fail("sync", code)
    for payload in (b"fails", b"comes too late"):
        with pytest.raises(PartitionReadOnly):
            append(journal, payload)
    assert read_all(journal) == [(0, b"before")]


def test_a_failed_sync_of_the_full_segment_is_not_forgotten_by_a_new_one() -> None:
    files = MemoryFiles()
    journal = open_journal(files)
    append(journal, b"x" * 4000, sync=False)
    files.fail("sync", errno.ENOSPC)
    for _ in range(2):
        with pytest.raises(PartitionReadOnly):
            append(journal, b"y" * 4000)


def test_after_a_write_that_cannot_be_undone_nothing_more_is_taken() -> None:
    files = MemoryFiles()
    journal = open_journal(files)
    append(journal, b"before")
    files.fail("write", errno.ENOSPC, short=5)
    files.fail("truncate", errno.EIO)
    for _ in range(2):
        with pytest.raises(PartitionReadOnly):
            append(journal, b"fails")
    assert read_all(open_journal(files)) == [(0, b"before")]


def test_running_out_of_descriptors_is_got_over() -> None:
    files = MemoryFiles()
    journal = open_journal(files)
    files.fail("append_to", errno.EMFILE)
    with pytest.raises(Unavailable):
        append(journal, b"too early")
    append(journal, b"in time")
    assert read_all(journal) == [(0, b"in time")]


def test_a_journal_that_failed_is_taken_up_again_by_opening_it() -> None:
    files = MemoryFiles()
    journal = open_journal(files)
    append(journal, b"before")
    files.fail("sync")
    with pytest.raises(PartitionReadOnly):
        append(journal, b"perhaps")
    journal.close()
    again = open_journal(files)
    append(again, b"after")
    assert [p for _, p in read_all(again) if p != b"perhaps"] == [b"before", b"after"]


@given(st.integers(0, 2**32), st.lists(st.booleans(), min_size=1, max_size=40))
def test_after_a_power_cut_every_synced_record_is_there(seed: int, syncs: list[bool]) -> None:
    chance, files = random.Random(seed), MemoryFiles()
    journal, safe = open_journal(files, 300), 0
    for payload, sync in zip(numbered(len(syncs)), syncs, strict=True):
        append(journal, payload, sync=sync)
        safe = journal.next_offset if sync else safe
    files.crash(chance)
    found = read_all(open_journal(files, 300))
    assert found[:safe] == list(enumerate(numbered(safe)))
    assert set(found) <= set(enumerate(numbered(len(syncs))))


@given(
    st.sampled_from(["append_to", "write", "sync", "sync_directory", "truncate"]),
    st.integers(1, 40),
    st.sampled_from([errno.EIO, errno.ENOSPC]),
    st.integers(0, 60),
)
def test_whatever_fails_when_what_was_taken_survives(
    operation: str, at: int, code: int, short: int
) -> None:
    files = MemoryFiles()
    journal, taken = open_journal(files, 300), []
    files.fail(operation, code, at=at, short=short if operation == "write" else 0)
    for payload in numbered(40):
        try:
            taken.append((append(journal, payload).offset, payload))
        except TelemetryError:
            continue
    files.crash()
    again = open_journal(files, 300)
    assert [message for message in read_all(again) if message in taken] == taken
