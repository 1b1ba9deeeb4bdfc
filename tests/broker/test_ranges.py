"""Ranges against a set."""

from hypothesis import example, given
from hypothesis import strategies as st

from broker.ranges import Ranges

SPANS = st.tuples(st.integers(0, 60), st.integers(1, 15)).map(lambda s: (s[0], s[0] + s[1]))
CHANGES = st.lists(st.tuples(st.sampled_from(["add", "remove"]), SPANS), max_size=30)


def numbers(spans: Ranges | list[tuple[int, int]]) -> set[int]:
    return {number for start, stop in spans for number in range(start, stop)}


def build(changes: list[tuple[str, tuple[int, int]]]) -> tuple[Ranges, set[int]]:
    ranges, model = Ranges(), set[int]()
    for change, span in changes:
        if change == "add":
            ranges.add(*span)
            model |= set(range(*span))
        else:
            taken = ranges.remove(*span)
            assert numbers(taken) == model & set(range(*span))
            model -= set(range(*span))
    return ranges, model


@given(CHANGES)
def test_it_holds_what_a_set_holds(changes: list[tuple[str, tuple[int, int]]]) -> None:
    ranges, model = build(changes)
    assert numbers(ranges) == model
    assert (len(ranges), bool(ranges)) == (len(model), bool(model))


@given(CHANGES)
def test_its_ranges_are_in_order_and_never_touch(
    changes: list[tuple[str, tuple[int, int]]],
) -> None:
    edges = [edge for span in build(changes)[0] for edge in span]
    assert edges == sorted(set(edges))


@given(CHANGES, SPANS)
def test_overlap_is_the_intersection(
    changes: list[tuple[str, tuple[int, int]]], span: tuple[int, int]
) -> None:
    ranges, model = build(changes)
    assert numbers(ranges.overlap(*span)) == model & set(range(*span))


@given(CHANGES, SPANS)
@example([("add", (5, 8))], (5, 10))
def test_gap_is_the_first_stretch_that_is_missing(
    changes: list[tuple[str, tuple[int, int]]], span: tuple[int, int]
) -> None:
    ranges, model = build(changes)
    start, stop = ranges.gap(*span)
    missing = [number for number in range(*span) if number not in model]
    assert (start < stop) == bool(missing)
    assert list(range(start, stop)) == missing[: stop - start]
    assert stop == span[1] or stop in model or not missing


@given(CHANGES, st.integers(0, 80))
def test_pop_from_gives_the_end_of_what_reaches_the_floor(
    changes: list[tuple[str, tuple[int, int]]], floor: int
) -> None:
    ranges, model = build(changes)
    ranges.remove(0, floor) if floor else None
    model -= set(range(floor))
    raised = ranges.pop_from(floor)
    assert set(range(floor, raised)) <= model
    assert raised not in model
    assert numbers(ranges) == model - set(range(floor, raised))
