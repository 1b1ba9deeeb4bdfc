"""The questions in Flux. A text never holds a value: values are variables, set beside it.

Each variable begins with an underscore; `Link.ask` sets ``_bucket``. What storage can do itself
(filters, and first, last, count, min, max, mean of a whole series or of windows) must stand right
after the range, and in a pipeline that is used once, or every point is carried to the query engine
first: so pipelines are functions here. Fields are never counted
together: one of another type, which is not ours, would end the whole question.
"""

from collections.abc import Collection, Iterable
from typing import Any

from common.models import EARLIEST_MS, LATEST_MS
from common.storage.base import Aggregate
from common.storage.influx.lines import (
    FIRST_SEEN,
    INVENTORY,
    SEEN,
    TAG,
    TELEMETRY,
    encode_name,
)

MAX_NAMED = 100
"""GPUs that a question names one by one; over that it is put for all of them."""

FROM = "from(bucket: _bucket) |> range(start: time(v: _start), stop: time(v: _stop))"
SCHEMA = 'import "influxdata/influxdb/schema"'

_AGGREGATES: dict[Aggregate, str] = {
    "mean": "mean",
    "min": "min",
    "max": "max",
    "last": "last",
    "p95": '(column, tables=<-) => tables |> quantile(q: 0.95, method: "exact_selector")',
}

POINTS = f"""
{FROM}
  |> filter(fn: (r) => r._measurement == "{TELEMETRY}" and r.{TAG} == _gpu and {{fields}})
  |> {{cut}}
  |> keep(columns: ["_time", "_field", "_value"])
"""
WINDOWS = f"""
{FROM}
  |> filter(fn: (r) => r._measurement == "{TELEMETRY}" and r.{TAG} == _gpu and {{fields}})
  |> aggregateWindow(every: duration(v: _window), fn: {{fn}}, timeSrc: "_start",
       createEmpty: false)
  |> keep(columns: ["_time", "_field", "_value"])
"""
BOUNDS = f"""
seen = () => {FROM}
  |> filter(fn: (r) => r._measurement == "{TELEMETRY}" and r.{TAG} == _gpu
       and r._field == "{SEEN}")
seen() |> first() |> keep(columns: ["{TAG}", "_time"]) |> yield(name: "first")
seen() |> last() |> keep(columns: ["{TAG}", "_time"]) |> yield(name: "last")
"""
COUNT = f"""
{FROM}
  |> filter(fn: (r) => r._measurement == "{TELEMETRY}" and r.{TAG} == _gpu
       and r._field != "{SEEN}")
  |> count()
  |> keep(columns: ["_field", "_value"])
"""
IDS = f"""{SCHEMA}
schema.tagValues(bucket: _bucket, tag: "{TAG}", start: time(v: _start), stop: time(v: _stop),
  predicate: (r) => r._measurement == "{TELEMETRY}" and r._field == "{SEEN}")
"""
METRICS = f"""{SCHEMA}
schema.fieldKeys(bucket: _bucket, start: time(v: _start), stop: time(v: _stop),
  predicate: (r) => r._measurement == "{TELEMETRY}" {{gpu}})
"""
LATEST = f"""
{FROM}
  |> filter(fn: (r) => r._measurement == "{INVENTORY}" and r._field == _name)
  |> last()
  |> keep(columns: ["{TAG}", "_value"])
"""
FIRST_TOLD = f"""
{FROM}
  |> filter(fn: (r) => r._measurement == "{INVENTORY}" and r._field == "{FIRST_SEEN}" {{gpus}})
  |> min()
  |> keep(columns: ["{TAG}", "_value"])
"""
LAST_SEEN = f"""
{FROM}
  |> filter(fn: (r) => r._measurement == "{TELEMETRY}" and r._field == "{SEEN}")
  |> last()
  |> keep(columns: ["{TAG}", "_time"])
"""
RECORDS = f"""
info = () => {FROM}
  |> filter(fn: (r) => r._measurement == "{INVENTORY}" and r._field != "{FIRST_SEEN}" {{gpus}})
told = () => {FROM}
  |> filter(fn: (r) => r._measurement == "{INVENTORY}" and r._field == "{FIRST_SEEN}" {{gpus}})
seen = () => {FROM}
  |> filter(fn: (r) => r._measurement == "{TELEMETRY}" and r._field == "{SEEN}" {{gpus}})
points = () => {FROM}
  |> filter(fn: (r) => r._measurement == "{TELEMETRY}" and r._field != "{SEEN}" {{gpus}})
info() |> last() |> keep(columns: ["{TAG}", "_field", "_value"]) |> yield(name: "identity")
told() |> min() |> keep(columns: ["{TAG}", "_value"]) |> yield(name: "told")
seen() |> first() |> keep(columns: ["{TAG}", "_time"]) |> yield(name: "first")
seen() |> last() |> keep(columns: ["{TAG}", "_time"]) |> yield(name: "last")
points() |> count() |> keep(columns: ["{TAG}", "_field", "_value"]) |> yield(name: "points")
"""
STATS = f"""
points = () => {FROM}
  |> filter(fn: (r) => r._measurement == "{TELEMETRY}" and r._field != "{SEEN}")
seen = () => {FROM}
  |> filter(fn: (r) => r._measurement == "{TELEMETRY}" and r._field == "{SEEN}")
points() |> group(columns: ["_field"]) |> count()
  |> keep(columns: ["_field", "_value"]) |> yield(name: "points")
seen() |> group() |> count() |> keep(columns: ["_value"]) |> yield(name: "samples")
seen() |> first() |> keep(columns: ["{TAG}", "_time"]) |> yield(name: "first")
seen() |> last() |> keep(columns: ["{TAG}", "_time"]) |> yield(name: "last")
"""


def window_text(aggregate: Aggregate, fields: str) -> str:
    """The question for windows; ``aggregate`` is one of a closed set."""
    return WINDOWS.format(fields=fields, fn=_AGGREGATES[aggregate])


def span(start_ms: int = EARLIEST_MS, end_ms: int = LATEST_MS) -> dict[str, Any]:
    """A range of times that includes both ends, as the variables of `FROM`, in nanoseconds."""
    return {"_start": start_ms * 1_000_000, "_stop": (end_ms + 1) * 1_000_000}


def some_fields(metrics: Collection[str]) -> tuple[str, dict[str, str]]:
    """The condition for some metrics, or for all when none is given, and its variables."""
    if not metrics:
        return f'r._field != "{SEEN}"', {}
    return _one_of("_field", "_metric", map(encode_name, metrics))


def some_gpus(ids: Collection[str]) -> tuple[str, dict[str, str]]:
    """The rest of a condition for some GPUs, or nothing for so many that all are asked for."""
    if len(ids) > MAX_NAMED:
        return "", {}
    text, variables = _one_of(TAG, "_gpu", map(encode_name, ids))
    return f"and {text}", variables


def _one_of(column: str, name: str, values: Iterable[str]) -> tuple[str, dict[str, str]]:
    variables = {f"{name}{place}": value for place, value in enumerate(values)}
    return f"({' or '.join(f'r.{column} == {name}' for name in variables)})", variables
