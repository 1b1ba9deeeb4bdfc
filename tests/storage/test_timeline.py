"""A range cut into points and rollups."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from common.storage.rollup import HOUR_MS
from common.storage.timeline import Piece, Timeline


def test_hours_that_follow_on_one_another_are_one_piece() -> None:
    timeline = Timeline(10, 6 * HOUR_MS, [1, 2, 4])
    assert list(timeline.between(10, 6 * HOUR_MS)) == [
        Piece(10, HOUR_MS - 1, False),
        Piece(HOUR_MS, 3 * HOUR_MS - 1, True),
        Piece(3 * HOUR_MS, 4 * HOUR_MS - 1, False),
        Piece(4 * HOUR_MS, 5 * HOUR_MS - 1, True),
        Piece(5 * HOUR_MS, 6 * HOUR_MS, False),
    ]


@given(
    hours=st.sets(st.integers(0, 9)).map(sorted),
    ends=st.tuples(st.integers(0, 10 * HOUR_MS - 1), st.integers(0, 10 * HOUR_MS - 1)).map(sorted),
    data=st.data(),
)
def test_pieces_lie_side_by_side_and_are_what_their_hours_are(
    hours: list[int], ends: list[int], data: st.DataObject
) -> None:
    start, end = ends
    touched = [hour for hour in hours if start // HOUR_MS <= hour <= end // HOUR_MS]
    timeline = Timeline(start, end, touched)
    first, last = sorted(data.draw(st.tuples(*[st.integers(start, end)] * 2)))
    pieces = list(timeline.between(first, last))
    assert [pieces[0].start, pieces[-1].end] == [first, last]
    assert all(a.end + 1 == b.start for a, b in pairwise(pieces))
    for piece in pieces:
        inside = range(piece.start // HOUR_MS, piece.end // HOUR_MS + 1)
        assert all((hour in hours) == piece.rolled for hour in inside)
        assert timeline.at(piece.start, first, last) == piece
