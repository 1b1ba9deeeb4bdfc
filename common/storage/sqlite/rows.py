"""Rows of a GPU as flat arrays, and cut into windows.

The values of a run of rows are one array, of which a metric's are every n-th: no object is made
per point.
"""

import sys
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import apsw
import msgspec

from common.storage.aggregates import Part
from common.storage.packing import Schema, Schemas

ROWS_AT_ONCE = 10_000

# The subquery's order is the order in which its rows are put together.
_ROWS = """
SELECT json_group_array(ts), json_group_array(schema), group_concat(hex(vals), '') FROM (
  SELECT ts, schema, vals FROM sample WHERE gpu = ? AND ts BETWEEN ? AND ? ORDER BY ts LIMIT ?)
"""
_INTS = msgspec.json.Decoder(list[int])

SchemasOf = Callable[[Iterable[int]], Schemas]
"""All schemas, those of the given ids among them."""

WindowParts = tuple[int, dict[str, Part]]
"""A window's number since 1970, and what is known of each metric in it."""


class Run(NamedTuple):
    """Rows of one schema that follow on one another: their times, and their values row by row."""

    times: list[int]
    schema: Schema
    values: "array[float]"


def read_runs(
    db: apsw.Connection, schemas_of: SchemasOf, gpu: int, start: int, end: int
) -> Iterator[Run]:
    """Read the rows of a range by time, a bounded number at once."""
    while True:
        times_json, schemas_json, vals = next(db.execute(_ROWS, (gpu, start, end, ROWS_AT_ONCE)))
        times = _INTS.decode(times_json)
        if times:
            schema_ids = _INTS.decode(schemas_json)
            yield from _split(times, schema_ids, vals, schemas_of(set(schema_ids)))
        if len(times) < ROWS_AT_ONCE:
            return
        start = times[-1] + 1


def cut(runs: Iterable[Run], width: int, wanted: frozenset[str]) -> Iterator[WindowParts]:
    """Cut runs into windows by time; one that runs share comes as often. None wanted is all."""
    for times, schema, values in runs:
        names = schema.names
        metrics = [pair for pair in enumerate(names) if not wanted or pair[1] in wanted]
        at = 0
        while at < len(times):
            window = times[at] // width
            until = bisect_left(times, (window + 1) * width, at)
            first, end = at * len(names), until * len(names)
            yield window, {name: values[first + nth : end : len(names)] for nth, name in metrics}
            at = until


def _split(times: list[int], schema_ids: list[int], vals: str, schemas: Schemas) -> Iterator[Run]:
    """Cut rows where the schema changes."""
    values = array("d", bytes.fromhex(vals))
    if sys.byteorder == "big":
        values.byteswap()
    at = value_at = 0
    while at < len(times):
        schema = schemas[schema_ids[at]]
        until = _run_end(schema_ids, at)
        value_until = value_at + (until - at) * len(schema.names)
        yield Run(times[at:until], schema, values[value_at:value_until])
        at, value_at = until, value_until


def _run_end(ids: list[int], at: int) -> int:
    """Where the run of equal ids that begins at ``at`` ends."""
    first = ids[at]
    for place in range(at, len(ids)):
        if ids[place] != first:
            return place
    return len(ids)
