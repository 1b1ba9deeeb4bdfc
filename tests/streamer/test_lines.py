"""Physical lines, wherever blocks are cut, in bounded memory."""

import io

from hypothesis import given
from hypothesis import strategies as st

from streamer.sources.lines import BOM, MAX_LINE_BYTES, LineBlock, read_blocks

TEXT = st.lists(st.sampled_from([b"\n", b"\r\n", b"a", b"bc", b'"', b",", b"\xc3\xa9"])).map(
    b"".join
)


def lines_of(blocks: list[LineBlock]) -> list[bytes]:
    return [line for block in blocks for line in block.lines]


@given(TEXT, st.integers(1, 7))
def test_lines_do_not_depend_on_where_blocks_are_cut(text: bytes, size: int) -> None:
    blocks = list(read_blocks(io.BytesIO(text), size))
    expected = text.replace(b"\r\n", b"\n").split(b"\n")
    assert lines_of(blocks) == (expected if expected[-1] else expected[:-1])


@given(TEXT, st.integers(1, 7))
def test_every_block_knows_the_number_of_its_first_line(text: bytes, size: int) -> None:
    at = 1
    for block in read_blocks(io.BytesIO(text), size):
        assert block.first == at
        at += len(block.lines)


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    [block] = read_blocks(io.BytesIO(BOM + b"a\n" + BOM + b"b\n"))
    assert block.lines == [b"a", BOM + b"b"]


def test_a_line_over_the_limit_is_cut_and_the_next_is_whole() -> None:
    file = io.BytesIO(b"x" * (3 * MAX_LINE_BYTES) + b"\nnext\n")
    blocks = list(read_blocks(file))
    assert [len(line) for line in lines_of(blocks)] == [MAX_LINE_BYTES + 1, 4]
    assert not blocks[0].clean


def test_only_plain_text_is_clean() -> None:
    for text, clean in ((b"a\n", True), (b"\xc3\xa9\n", False), (b"a\0\n", False)):
        [block] = read_blocks(io.BytesIO(text))
        assert block.clean is clean
