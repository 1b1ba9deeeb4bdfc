"""How a consumer's bound is divided: never more than it, and something for who joins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest
from common.queue.shares import Shares


@given(st.integers(1, 2000), st.integers(1, 20), st.lists(st.integers(0, 30), max_size=40))
def test_the_sum_is_never_more_than_the_total(total: int, count: int, events: list[int]) -> None:
    if total < count:
        return
    names = [str(number) for number in range(count)]
    shares = Shares(total, names)
    open_now = {name: shares.of(name) for name in names}
    assert min(open_now.values()) > 0
    for event in events:
        name = str(event)
        if name in open_now:
            del open_now[name]
            shares.give_back(name)
        elif share := shares.of(name):
            open_now[name] = share
        assert sum(open_now.values()) <= total


def test_less_than_one_a_broker_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="3 or more"):
        Shares(2, ["a", "b", "c"])


def test_who_joins_gets_of_what_was_kept_back() -> None:
    shares = Shares(1000, ["a", "b"])
    assert (shares.of("a"), shares.of("b"), shares.of("c"), shares.of("d")) == (437, 437, 63, 32)


def test_a_small_total_has_nothing_for_who_joins() -> None:
    shares = Shares(2, ["a", "b"])
    assert shares.of("c") == 0
    shares.give_back("a")
    assert shares.of("c") == 1
