"""Rows of values and the schemas that say what they mean."""

from hypothesis import given
from hypothesis import strategies as st

from common.storage import packing
from common.storage.packing import Schemas, width

metrics = st.dictionaries(st.text(min_size=1), st.floats(allow_nan=False), min_size=1)


@given(metrics)
def test_a_row_unpacks_to_what_was_packed(values: dict[str, float]) -> None:
    schemas = Schemas()
    row = schemas.pack(values)
    assert schemas.unpack(row) == values
    assert width(row) == len(values)


@given(metrics, metrics)
def test_merging_is_the_union_of_dicts(old: dict[str, float], new: dict[str, float]) -> None:
    schemas = Schemas()
    merged = schemas.merge(schemas.pack(old), schemas.pack(new))
    assert schemas.unpack(merged) == {**old, **new}


def test_the_order_of_names_makes_no_new_schema() -> None:
    schemas = Schemas()
    assert schemas.pack({"b": 2, "a": 1}) == schemas.pack({"a": 1, "b": 2})
    assert [schema.names for schema in schemas.added] == [("a", "b")]


def test_stored_schemas_keep_their_ids() -> None:
    schemas = Schemas([(7, ("a", "b"))])
    assert schemas.pack({"b": 2, "a": 1})[0] == 7
    assert schemas.pack({"c": 1})[0] == 8
    assert [schema.id for schema in schemas.added] == [8]


def test_remembered_orders_are_bounded() -> None:
    schemas = Schemas()
    for i in range(packing.MAX_FORMS + 10):
        schemas.pack({f"m{i}": 1.0})
    assert len(schemas._forms) <= packing.MAX_FORMS
    assert schemas.unpack(schemas.pack({"m0": 2.0})) == {"m0": 2.0}
