"""Position files: replaced whole, or as if they were not there."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.journal import position
from tests.support.files import MemoryFiles

PATH = Path("/state/groups")
STATE = {"g": {"floor": 7, "acked": [[9, 12]]}}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(VALUES)
def test_what_was_saved_is_loaded(state: Any) -> None:
    files = MemoryFiles()
    position.save(files, PATH, state)
    assert position.load(files, PATH) == state


def test_the_last_state_is_the_one_that_counts() -> None:
    files = MemoryFiles()
    for number in range(3):
        position.save(files, PATH, number)
    assert position.load(files, PATH) == 2


def test_no_file_is_no_state() -> None:
    assert position.load(MemoryFiles(), PATH) is None


def test_a_damaged_file_is_no_state() -> None:
    files = MemoryFiles()
    position.save(files, PATH, STATE)
    good = files.content(PATH)
    for at in range(len(good)):
        for content in (good[:at], good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]):
            files.change(PATH, content)
            assert position.load(files, PATH) in (None, STATE)


@pytest.mark.parametrize("operation", ["append_to", "truncate", "write", "sync", "replace"])
def test_a_save_that_fails_leaves_the_state_before(operation: str) -> None:
    files = MemoryFiles()
    position.save(files, PATH, "before")
    files.fail(operation)
    with pytest.raises(OSError, match="Input/output"):
        position.save(files, PATH, "after")
    assert position.load(files, PATH) == "before"
    position.save(files, PATH, "after")
    assert position.load(files, PATH) == "after"


def test_a_half_written_scratch_file_does_no_harm() -> None:
    files = MemoryFiles()
    files.change(PATH.with_name("groups.tmp"), b"left over from a crash")
    position.save(files, PATH, STATE)
    assert position.load(files, PATH) == STATE
