"""How the metrics of one sample lie in one row: a schema's id and its values as float64.

A schema is an ordered tuple of metric names. Names are kept sorted, so that the same set of
metrics is the same schema in whatever order a source writes it.
"""

import struct
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any

VALUE_BYTES = 8
MAX_FORMS = 4096
"""Orders of names that are remembered; past that they are learnt again."""

Row = tuple[int, bytes]
"""A schema's id and its values, little-endian float64, in the order of its names."""


class Schema:
    """The metric names of a row, sorted, and how its bytes become values."""

    __slots__ = ("id", "names", "pack", "unpack")

    def __init__(self, schema_id: int, names: tuple[str, ...]) -> None:
        layout = struct.Struct(f"<{len(names)}d")
        self.id = schema_id
        self.names = names
        self.pack = layout.pack
        self.unpack = layout.unpack


class Form:
    """How a mapping whose keys stand in one given order becomes a row."""

    __slots__ = ("id", "pack", "pick")

    def __init__(self, schema: Schema, given: tuple[str, ...]) -> None:
        self.id = schema.id
        self.pack = schema.pack
        self.pick: Callable[[Mapping[str, float]], tuple[Any, ...]] | None = (
            None if given == schema.names else itemgetter(*schema.names)
        )


class Schemas:
    """All schemas of a store. One that is met for the first time waits in ``added``."""

    def __init__(self, stored: Iterable[tuple[int, tuple[str, ...]]] = ()) -> None:
        self.added: list[Schema] = []
        self._by_id: dict[int, Schema] = {}
        self._by_names: dict[tuple[str, ...], Schema] = {}
        self._forms: dict[tuple[str, ...], Form] = {}
        self._last_id = 0
        for schema_id, names in stored:
            self._keep(Schema(schema_id, names))

    def __contains__(self, schema_id: int) -> bool:
        return schema_id in self._by_id

    def __getitem__(self, schema_id: int) -> Schema:
        return self._by_id[schema_id]

    def widest(self) -> int:
        """The most names that any schema has, 1 or more."""
        return max((len(schema.names) for schema in self._by_id.values()), default=1)

    def pack(self, metrics: Mapping[str, float]) -> Row:
        """Return the row of a sample's metrics."""
        names = tuple(metrics)
        form = self._forms.get(names) or self._form(names)
        if form.pick is None:
            return form.id, form.pack(*metrics.values())
        return form.id, form.pack(*form.pick(metrics))

    def unpack(self, row: Row) -> dict[str, float]:
        """Return the metrics that a row holds."""
        schema = self._by_id[row[0]]
        return dict(zip(schema.names, schema.unpack(row[1]), strict=True))

    def merge(self, old: Row, new: Row) -> Row:
        """Return the row of both; where both have a metric, the new value stands."""
        if old[0] == new[0]:
            return new
        return self.pack({**self.unpack(old), **self.unpack(new)})

    def of(self, names: tuple[str, ...]) -> Schema:
        """Return the schema of sorted names; a new one waits in ``added``."""
        schema = self._by_names.get(names)
        if schema is None:
            schema = Schema(self._last_id + 1, names)
            self._keep(schema)
            self.added.append(schema)
        return schema

    def _form(self, given: tuple[str, ...]) -> Form:
        if len(self._forms) >= MAX_FORMS:
            self._forms.clear()
        form = self._forms[given] = Form(self.of(tuple(sorted(given))), given)
        return form

    def _keep(self, schema: Schema) -> None:
        self._by_id[schema.id] = self._by_names[schema.names] = schema
        self._last_id = max(self._last_id, schema.id)


def width(row: Row) -> int:
    """How many points a row holds."""
    return len(row[1]) // VALUE_BYTES
