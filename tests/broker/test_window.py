"""The memory in front of a log: the newest records, within its bounds."""

from hypothesis import given
from hypothesis import strategies as st

from broker.window import Window
from common.journal.frame import Record

RECORDS = st.lists(st.tuples(st.integers(1, 5), st.integers(0, 200)), max_size=20)


def filled(sizes: list[tuple[int, int]], messages: int, size: int) -> tuple[Window, list[Record]]:
    window, records, offset = Window(messages, size), list[Record](), 0
    for count, length in sizes:
        records.append(Record(offset, count, 0, 0, b"", b"x" * length))
        window.add(records[-1])
        offset += count
    return window, records


@given(RECORDS, st.integers(1, 20), st.integers(1, 1000))
def test_it_keeps_the_newest_within_both_bounds(
    sizes: list[tuple[int, int]], messages: int, size: int
) -> None:
    window, records = filled(sizes, messages, size)
    kept = window.find(window.first_offset or 0, 1 << 20) if window.messages else []
    assert kept == records[len(records) - len(kept) :]
    assert window.messages == sum(record.count for record in kept) <= messages
    assert window.bytes == sum(record.size for record in kept) <= size


@given(RECORDS, st.integers(0, 60), st.integers(1, 500))
def test_a_read_starts_with_the_record_that_holds_the_offset(
    sizes: list[tuple[int, int]], offset: int, max_bytes: int
) -> None:
    window, records = filled(sizes, 1000, 1 << 20)
    expected = [record for record in records if record.end > offset]
    found = window.find(offset, max_bytes)
    assert found == expected[: len(found)]
    assert bool(found) == bool(expected)
    assert sum(record.size for record in found[:-1]) < max_bytes


@given(RECORDS, st.integers(0, 60))
def test_what_every_group_is_done_with_is_let_go(sizes: list[tuple[int, int]], below: int) -> None:
    window, records = filled(sizes, 1000, 1 << 20)
    window.release(below)
    left = [record for record in records if record.end > below]
    assert window.messages == sum(record.count for record in left)
    assert window.bytes == sum(record.size for record in left)
