"""Which points of a GPU are wanted: the query of everything that answers points."""

from typing import Annotated, Literal

import msgspec
from fastapi import Depends, Query

from api.parameters import MAX_TIME, one_of, parse_time
from common.errors import InvalidParameter, InvalidRequest
from common.models import EARLIEST_MS, LATEST_MS, MAX_METRICS, MAX_TEXT
from common.option_values import parse_duration
from common.storage.base import (
    Aggregate,
    Position,
    Store,
    Telemetry,
    TelemetryQuery,
    WindowQuery,
)

US_PER_MS = 1_000
MS_PER_SECOND = 1_000
SHORTEST_WINDOW_MS = MS_PER_SECOND
LONGEST_WINDOW_MS = 366 * 86_400 * MS_PER_SECOND
DEFAULT_AGGREGATE: Aggregate = "mean"

_DATE_TIME = {"format": "date-time"}
Time = Annotated[
    str | None,
    Query(max_length=MAX_TIME, description="RFC 3339; included.", json_schema_extra=_DATE_TIME),
]
SameTime = Annotated[
    str | None,
    Query(max_length=MAX_TIME, description="The same, other name.", json_schema_extra=_DATE_TIME),
]
MetricNames = Annotated[
    list[str] | None,
    Query(max_length=MAX_METRICS, description="Repeated, or separated by commas; none is all."),
]
Order = Annotated[Literal["asc", "desc"], Query(description="By time; `desc` is newest first.")]
WindowText = Annotated[
    str | None,
    Query(
        max_length=MAX_TIME,
        description="Length of windows, such as `30s`, `5m`, `1h`; a point for each window with "
        "points, at its beginning. Windows begin at multiples of their length since 1970.",
        examples=["5m"],
    ),
]
Agg = Annotated[
    Aggregate | None, Query(description="What is told of a window; `mean` if nothing is said.")
]


class Selection(msgspec.Struct, frozen=True):
    """A range of a GPU's points as they are, or as windows when there is ``window_ms``."""

    start_ms: int
    end_ms: int
    metrics: tuple[str, ...]
    descending: bool
    window_ms: int | None
    aggregate: Aggregate

    @property
    def kind(self) -> str:
        """What a cursor belongs to: another order or other windows are another question."""
        order = "desc" if self.descending else "asc"
        return order if self.window_ms is None else f"{order}:{self.window_ms}:{self.aggregate}"

    def ask(
        self, store: Store, gpu_id: str, limit: int, after: Position | None
    ) -> Telemetry | None:
        """One page from a store; None when it does not know the GPU."""
        which = (limit, self.start_ms, self.end_ms, self.metrics, after, self.descending)
        if self.window_ms is None:
            return store.telemetry(TelemetryQuery(gpu_id, *which))
        return store.windows(WindowQuery(gpu_id, self.window_ms, self.aggregate, *which))


async def time_range(
    start: Time = None, start_time: SameTime = None, end: Time = None, end_time: SameTime = None
) -> tuple[int, int]:
    """Return the range asked for in milliseconds; raises InvalidParameter if it runs backwards."""
    since = one_of("start", start, "start_time", start_time)
    until = one_of("end", end, "end_time", end_time)
    start_us = EARLIEST_MS * US_PER_MS if since is None else parse_time("start", since)
    end_us = LATEST_MS * US_PER_MS if until is None else parse_time("end", until)
    if since is not None and until is not None and start_us > end_us:
        raise InvalidParameter("start must not be after end")
    return -(-start_us // US_PER_MS), end_us // US_PER_MS


async def wanted_metrics(
    metric: MetricNames = None, metric_name: MetricNames = None
) -> tuple[str, ...]:
    """Return the names asked for, each once."""
    given = one_of("metric", metric, "metric_name", metric_name)
    if given is None:
        return ()
    names = {name.strip(): None for text in given for name in text.split(",")}
    if "" in names:
        raise InvalidRequest("metric must not be empty")
    if len(names) > MAX_METRICS or max(map(len, names)) > MAX_TEXT:
        raise InvalidParameter(
            f"at most {MAX_METRICS} metrics of {MAX_TEXT} characters can be asked for"
        )
    return tuple(names)


async def wanted_windows(
    window: WindowText = None, agg: Agg = None
) -> tuple[int | None, Aggregate]:
    """Return the length of windows in milliseconds, None for points as they are."""
    if window is None:
        if agg is not None:
            raise InvalidRequest("agg needs a window")
        return None, DEFAULT_AGGREGATE
    return read_window(window), agg or DEFAULT_AGGREGATE


def read_window(text: str) -> int:
    """Return a window's length in milliseconds; raises InvalidRequest, InvalidParameter."""
    try:
        window_ms = parse_duration(text) * MS_PER_SECOND
    except ValueError as error:
        raise InvalidRequest(f"window {error}") from error
    if not SHORTEST_WINDOW_MS <= window_ms <= LONGEST_WINDOW_MS or window_ms % 1:
        raise InvalidParameter("window must be from 1s to 366d, in whole milliseconds")
    return int(window_ms)


async def selection(
    times: Annotated[tuple[int, int], Depends(time_range)],
    metrics: Annotated[tuple[str, ...], Depends(wanted_metrics)],
    windows: Annotated[tuple[int | None, Aggregate], Depends(wanted_windows)],
    order: Order = "asc",
) -> Selection:
    """Which points a query wants."""
    return Selection(*times, metrics, order == "desc", *windows)


Wanted = Annotated[Selection, Depends(selection)]
