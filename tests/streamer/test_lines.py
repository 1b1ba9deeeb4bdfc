"""Physical lines, wherever blocks are cut, in bounded memory."""

import io

from hypothesis import given
from hypothesis import strategies as st

from streamer.sources.lines import MAX_LINE_BYTES, TAIL_BYTES, LineBlock, LineReader

TEXT = st.lists(st.sampled_from([b"\n", b"\r\n", b"a", b"bc", b'"', b",", b"\xc3\xa9"])).map(
    b"".join
)


def blocks_of(reader: LineReader) -> list[LineBlock]:
    blocks = []
    while (block := reader.read()) is not None:
        blocks.append(block)
    last = reader.rest()
    return blocks if last is None else [*blocks, last]


def lines_of(blocks: list[LineBlock]) -> list[bytes]:
    return [line for block in blocks for line in block.lines]


@given(TEXT, st.integers(1, 7))
def test_lines_do_not_depend_on_where_blocks_are_cut(text: bytes, size: int) -> None:
    blocks = blocks_of(LineReader(io.BytesIO(text), block_bytes=size))
    expected = text.replace(b"\r\n", b"\n").split(b"\n")
    assert lines_of(blocks) == (expected if expected[-1] else expected[:-1])


@given(TEXT, st.integers(1, 7))
def test_every_block_knows_the_number_of_its_first_line(text: bytes, size: int) -> None:
    at = 1
    for block in blocks_of(LineReader(io.BytesIO(text), block_bytes=size)):
        assert block.first == at
        at += len(block.lines)


@given(TEXT, st.integers(1, 7))
def test_a_place_between_blocks_is_where_the_rest_begins(text: bytes, size: int) -> None:
    reader = LineReader(io.BytesIO(text), block_bytes=size)
    blocks = []
    while (block := reader.read()) is not None:
        blocks.append(block)
        at = reader.offset
        assert reader.tail == text[max(0, at - len(reader.tail)) : at]
        file = io.BytesIO(text)
        file.seek(at)
        again = LineReader(file, offset=at, number=reader.number, block_bytes=size)
        ahead = LineReader(io.BytesIO(text), block_bytes=size)
        behind = blocks_of(ahead)[len(blocks) :]
        assert blocks_of(again) == behind
    reader.rest()
    assert reader.offset == len(text)


def test_the_tail_is_what_stands_before_the_place() -> None:
    text = b"".join(b"line %d\n" % number for number in range(100))
    reader = LineReader(io.BytesIO(text))
    reader.read()
    assert reader.tail == text[-TAIL_BYTES:]


def test_old_line_ends_are_read_when_told() -> None:
    reader = LineReader(io.BytesIO(b"a\rb\rc"), b"\r")
    assert lines_of(blocks_of(reader)) == [b"a", b"b", b"c"]


def test_what_is_added_later_completes_the_line() -> None:
    file = io.BytesIO(b"a\nb")
    reader = LineReader(file)
    first = reader.read()
    assert first is not None and first.lines == [b"a"]
    assert reader.read() is None
    file.write(b"c\n")
    file.seek(3)
    second = reader.read()
    assert second is not None and (second.first, second.lines) == (2, [b"bc"])


def test_a_line_over_the_limit_is_cut_and_the_next_is_whole() -> None:
    file = io.BytesIO(b"x" * (3 * MAX_LINE_BYTES) + b"\nnext\n")
    reader = LineReader(file)
    blocks = blocks_of(reader)
    assert [len(line) for line in lines_of(blocks)] == [MAX_LINE_BYTES + 1, 4]
    assert not blocks[0].clean
    assert reader.offset == 3 * MAX_LINE_BYTES + 6


def test_only_plain_text_is_clean() -> None:
    for text, clean in ((b"a\n", True), (b"\xc3\xa9\n", False), (b"a\0\n", False)):
        [block] = blocks_of(LineReader(io.BytesIO(text)))
        assert block.clean is clean
