"""Values on their way through decimals: whatever stands beside them, they keep every bit."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.storage.base import Point
from common.storage.victoria.values import HALF_BITS, join, plain, plain_text, split, wide
from tests.storage.samples import T0, points, sample
from tests.support.stores import OpenStore

finite = st.floats(allow_nan=False, allow_infinity=False)


@given(finite)
def test_halves_make_the_value_again(value: float) -> None:
    high, low = split(value)
    assert max(high, low) < 2**53
    (again,) = join([high], [low])
    assert again.hex() == value.hex()


@given(finite, finite)
def test_halves_of_two_values_never_make_a_third(one: float, other: float) -> None:
    halves = [split(value) for value in (one, other)]
    found = join([high for high, _ in halves], [low for _, low in halves])
    assert {value.hex() for value in found} <= {one.hex(), other.hex()}
    assert len(f"{split(-1.0)[0]:b}") <= HALF_BITS + 20


@pytest.mark.parametrize(
    "value",
    [0.0, 1.0, -5.0, 41.5, 99999.999999, 999999.99999, 1e-6, -0.000001, 99_999_999_999.0, 0.1],
)
def test_what_exporters_send_is_plain(value: float) -> None:
    text = plain(value)
    assert text is not None
    assert float(text) == value
    assert plain_text([value, 1.0]) is not None or abs(value) < 1e-4  # JSON writes 1e-6


@pytest.mark.parametrize(
    "value", [-0.0, 0.1 + 0.2, 1e-7, 999999.999999, 1e11, 2.0**53, 1e300, 5e-324, 1 / 3]
)
def test_what_decimals_would_round_is_not(value: float) -> None:
    assert plain(value) is None
    assert plain_text([1.0, value]) is None
    assert plain_text([value, 1.0]) is None


def test_whole_numbers_up_to_2_to_the_53_are_wide() -> None:
    assert [wide(value) for value in (1e11, -(2.0**53 - 1), 123456789012.0)] == [
        b"100000000000",
        b"-9007199254740991",
        b"123456789012",
    ]
    assert [wide(value) for value in (1e11 - 1, 2.0**53, 1e11 + 0.5, 1e300)] == [None] * 4


def test_values_of_every_kind_side_by_side_come_back_from_the_server(open_db: OpenStore) -> None:
    """The server stores a series' values as whole numbers of one power of ten."""
    values = [99_999_999_999.0, 1e-6, 999999.99999, -0.0, 0.0, 1e300, 5e-324, 1 / 3, -1e-300]
    values += [9007199254740991.0, -1e11, 12345.678901, math.pi * 1e20, 100000.1, 0.000123]
    store = open_db()
    store.write([sample("a", at, m=value) for at, value in enumerate(values)])
    found = points(store, "GPU-a")
    assert [(p.timestamp, p.value.hex()) for p in found] == [
        (T0 + at * 1000, value.hex()) for at, value in enumerate(values)
    ]
    assert found[0] == Point(T0, "m", 99_999_999_999.0)
