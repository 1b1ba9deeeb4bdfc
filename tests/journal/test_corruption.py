"""Damaged logs: noticed, never served, never in the way of the rest."""

import random
from collections.abc import Callable

import pytest

from common.journal import frame, segment
from common.journal.frame import FrameTooNewError
from common.journal.segment import SegmentTooNewError
from tests.journal.logs import (
    DIRECTORY,
    append,
    numbered,
    open_journal,
    read_all,
    segments,
)
from tests.support.files import MemoryFiles

Damage = Callable[[bytes], bytes]


def log_of(*payloads: bytes) -> MemoryFiles:
    files = MemoryFiles()
    journal = open_journal(files)
    for payload in payloads:
        append(journal, payload)
    journal.close()
    return files


def damaged(damage: Damage, *payloads: bytes) -> MemoryFiles:
    """A log whose last segment was damaged."""
    files = log_of(*payloads)
    last = segments(files)[-1]
    files.change(last, damage(files.content(last)))
    return files


def frame_ends(files: MemoryFiles) -> list[int]:
    """Where each frame of a log of one segment ends."""
    content = files.content(segments(files)[0])
    salt = segment.salt_of(content)
    return [at + found.size for at, found in frame.decode_all(content, segment.HEADER_BYTES, salt)]


THREE = numbered(3)
SIZE = len(log_of(*THREE).content(segments(log_of(*THREE))[0]))


@pytest.mark.parametrize("length", range(SIZE))
def test_a_log_cut_anywhere_keeps_every_whole_frame(length: int) -> None:
    whole = sum(end <= length for end in frame_ends(log_of(*THREE)))
    journal = open_journal(damaged(lambda content: content[:length], *THREE))
    assert read_all(journal) == list(enumerate(THREE))[:whole]
    append(journal, b"goes on")
    assert read_all(journal)[-1] == (whole, b"goes on")


def test_a_flipped_bit_anywhere_never_yields_a_wrong_payload() -> None:
    files = log_of(*THREE)
    path = segments(files)[0]
    good = files.content(path)
    for bit in range(8 * len(good)):
        content = bytearray(good)
        content[bit // 8] ^= 1 << bit % 8
        files = log_of()
        files.change(path, bytes(content))
        found = read_all(open_journal(files))
        assert set(found) <= set(enumerate(THREE)), f"bit {bit}"
        assert len(found) >= 2 or bit < 8 * segment.HEADER_BYTES, f"bit {bit}"


@pytest.mark.parametrize("size", [1, 3, 35, 36, 37, 1000, 65536])
@pytest.mark.parametrize("kind", ["zeros", "random", "magic"])
def test_what_was_appended_behind_the_log_is_cut_and_counted(size: int, kind: str) -> None:
    tail = {
        "zeros": bytes(size),
        "random": random.Random(size).randbytes(size),
        "magic": (frame.MAGIC * size)[:size],
    }[kind]
    journal = open_journal(damaged(lambda content: content + tail, *THREE))
    assert read_all(journal) == list(enumerate(THREE))
    assert journal.torn_bytes == size


def test_a_chunk_copied_in_twice_is_served_once() -> None:
    journal = open_journal(
        damaged(lambda content: content + content[segment.HEADER_BYTES :], *THREE)
    )
    assert read_all(journal) == list(enumerate(THREE))
    append(journal, b"next")
    assert read_all(journal)[3:] == [(3, b"next")]


def test_a_frame_produced_as_a_payload_never_comes_out_of_the_torn_frame_around_it() -> None:
    forged = b"".join(frame.encode(frame.Record(9, 1, 0, 0, b"", b"forged"), 0))
    journal = open_journal(
        damaged(lambda content: content[:-1], b"first", b"before " + forged + b" after")
    )
    assert read_all(journal) == [(0, b"first")]


def test_a_damaged_frame_in_an_older_segment_is_stepped_over() -> None:
    payloads = numbered(300)
    files = log_of(*payloads)
    oldest = segments(files)[0]
    content = bytearray(files.content(oldest))
    content[segment.HEADER_BYTES + frame.HEADER_BYTES] ^= 1
    files.change(oldest, bytes(content))
    journal = open_journal(files)
    assert read_all(journal) == list(enumerate(payloads))[1:]
    assert journal.corrupt_frames == 1


def test_an_older_segment_cut_on_a_frame_boundary_leaves_a_gap_that_shows() -> None:
    payloads = numbered(300)
    files = log_of(*payloads)
    oldest, following = segments(files)[:2]
    size = frame.Record(0, 1, 0, 0, b"", payloads[0]).size
    files.change(oldest, files.content(oldest)[: segment.HEADER_BYTES + size])
    journal = open_journal(files)
    assert journal.read(1, 1)[0].offset == segment.base_of(following.name)


def test_a_missing_middle_segment_leaves_its_neighbours_readable() -> None:
    payloads = numbered(300)
    files = log_of(*payloads)
    missing, following = segments(files)[1:3]
    gone = range(*(segment.base_of(path.name) or 0 for path in (missing, following)))
    files.remove(missing)
    journal = open_journal(files)
    assert read_all(journal) == [m for m in enumerate(payloads) if m[0] not in gone]
    assert journal.next_offset == 300


def test_a_segment_of_another_partition_is_set_aside_and_kept() -> None:
    files = log_of(*THREE)
    stranger = MemoryFiles()
    append(open_journal(stranger, owner="t/1"), b"not yours")
    content = stranger.content(segments(stranger)[0])
    files.change(segments(files)[0], content)
    journal = open_journal(files)
    assert read_all(journal) == []
    assert content in files.snapshot().values()


def test_a_file_put_aside_is_counted_as_a_damaged_place() -> None:
    files = log_of(*THREE)
    files.change(segments(files)[0], b"not a segment")
    assert open_journal(files).corrupt_frames == 1


def test_a_segment_that_a_crash_left_empty_is_begun_again_and_puts_nothing_aside() -> None:
    files = log_of(*THREE)
    files.change(segment.path_of(DIRECTORY, 3), b"")
    journal = open_journal(files)
    append(journal, b"next")
    assert read_all(journal) == list(enumerate([*THREE, b"next"]))
    assert not [path for path in files.snapshot() if path.suffix == ".bad"]


def test_a_second_bad_segment_does_not_overwrite_the_first() -> None:
    files, bad = log_of(), (b"one bad file", b"another bad file")
    for content in bad:
        files.change(segment.path_of(DIRECTORY, 0), content)
        open_journal(files)
    assert set(bad) <= set(files.snapshot().values())


def test_a_later_segment_version_is_refused_and_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(segment, "VERSION", segment.VERSION + 1)
    files = log_of(*THREE)
    monkeypatch.undo()
    before = files.snapshot()
    with pytest.raises(SegmentTooNewError):
        open_journal(files)
    assert files.snapshot() == before


def test_a_later_frame_version_is_refused_and_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    files = log_of(*THREE)
    monkeypatch.setattr(frame, "VERSION", frame.VERSION + 1)
    append(open_journal(files), b"of a later version")
    monkeypatch.undo()
    before = files.snapshot()
    with pytest.raises(FrameTooNewError):
        open_journal(files)
    assert files.snapshot() == before


@pytest.mark.parametrize("name", ["lost+found", "1.seg", "x.seg", "\u00b2.seg", ".nfs01", "a.bad"])
def test_files_that_are_not_ours_are_left_alone(name: str) -> None:
    files = log_of(*THREE)
    files.change(DIRECTORY / name, b"not ours")
    assert read_all(open_journal(files)) == list(enumerate(THREE))
    assert files.content(DIRECTORY / name) == b"not ours"


def test_a_segment_copied_to_another_place_is_set_aside_and_served_once() -> None:
    payloads = numbered(300)
    files = log_of(*payloads)
    first, last = segments(files)[0], segments(files)[-1]
    copy = segment.path_of(DIRECTORY, (segment.base_of(last.name) or 0) + 1000)
    files.change(copy, files.content(first))
    journal = open_journal(files)
    assert read_all(journal) == list(enumerate(payloads))
    assert journal.corrupt_frames == 1
    assert files.content(copy.with_name(f"{copy.name}.bad")) == files.content(first)
