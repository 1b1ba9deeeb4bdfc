"""One line into fields: the short ways give what a CSV parser gives."""

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamer.sources.rejects import RowError
from streamer.sources.split import RowSplitter, split_strictly

FIELD = st.text(st.sampled_from('ab",=. '), max_size=6)
ROWS = st.lists(FIELD, min_size=3, max_size=3)


def written(row: list[str], quoting: int) -> bytes:
    out = io.StringIO()
    csv.writer(out, quoting=quoting, lineterminator="").writerow(row)  # type: ignore[arg-type]
    return out.getvalue().encode()


@given(ROWS, st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))
def test_what_a_writer_wrote_is_read_back(row: list[str], quoting: int) -> None:
    fields = RowSplitter(3).split(written(row, quoting))
    assert [field.decode() for field in fields] == row


@given(st.text(st.sampled_from('a",'), max_size=14))
@example(',","')
def test_any_line_reads_as_a_strict_parser_reads_it(text: str) -> None:
    line = text.encode()
    try:
        expected: list[bytes] | None = split_strictly(line) if line else None
    except RowError:
        expected = None
    if expected is None or len(expected) != 3:
        if line:
            with pytest.raises(RowError):
                RowSplitter(3).split(line)
        return
    assert RowSplitter(3).split(line) == expected


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('"a","b"', "short_row"),
        ("a,b", "short_row"),
        ('"a","b","c","d"', "long_row"),
        ('"a","b","c",d,"e"', "long_row"),
        ("a,b,c,d", "long_row"),
        ('"a","b","c', "unbalanced_quotes"),
        ('"a","b"x"","c"', "unbalanced_quotes"),
    ],
)
def test_a_row_of_another_shape_is_named(line: str, reason: str) -> None:
    with pytest.raises(RowError) as caught:
        RowSplitter(3).split(line.encode())
    assert caught.value.reason == reason
