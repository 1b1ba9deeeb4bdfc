"""Pages of a GPU's points, or of windows of them, from a server that sorts within a series only.

To put all points of a range in order the server would read the whole range. So a page is
gathered from slices of the range, each wider than the one before, until it is full.
"""

from collections.abc import Callable, Iterable
from itertools import islice

from common.storage.base import Point, Telemetry, TelemetryQuery, WindowQuery, page_of

WIDER = 4
POINT_MS = 200
"""How far apart points are guessed to be: five of a GPU's metrics a second."""

Fetch = Callable[[int, int, int], Iterable[Point]]
"""What lies between two times, both included: of each metric this many at least, from the end
where the page begins."""


def gather(query: TelemetryQuery | WindowQuery, first: int, last: int, fetch: Fetch) -> Telemetry:
    """Return one page, when all points of the query's range lie between two times.

    Slices end where windows end. What comes before the query's position is at most one point a
    metric, the position being in the first slice.
    """
    step = query.window_ms if isinstance(query, WindowQuery) else 1
    wanted = query.limit + 1
    if query.after is not None and query.descending:
        last = min(last, query.after.timestamp + step - 1)
    elif query.after is not None:
        first = max(first, query.after.timestamp)
    width = wanted * step if step > 1 else wanted * POINT_MS
    found: list[Point] = []
    while first <= last and len(found) < wanted:
        if query.descending:
            begin = max(first, (last - width + step) // step * step)
            part, last = fetch(begin, last, wanted + 1), begin - 1
        else:
            end = min(last, (first + width) // step * step - 1)
            part, first = fetch(first, end, wanted + 1), end + 1
        found += in_order(query, part)
        width *= WIDER
    return page_of(found[:wanted], query.limit)


def in_order(query: TelemetryQuery | WindowQuery, points: Iterable[Point]) -> list[Point]:
    """Sort points as the query wants them, without those up to its position."""
    sign = -1 if query.descending else 1
    keyed = [((sign * point.timestamp, point.metric), point) for point in points]
    if query.after is not None:
        after = (sign * query.after.timestamp, query.after.metric)
        keyed = [each for each in keyed if each[0] > after]
    keyed.sort(key=lambda each: each[0])
    return [point for _, point in keyed]


def ids_page(ids: Iterable[str], after: str, offset: int, limit: int) -> list[str]:
    """A part of sorted ids."""
    return list(islice((each for each in ids if each > after), offset, offset + limit))


def groups_page(groups: dict[str, list[int]], after: str, limit: int) -> list[tuple[str, int, int]]:
    """Names with how many they stand for and the latest time of those, by name."""
    names = sorted(name for name in groups if name > after)[:limit]
    return [(name, len(groups[name]), max(groups[name])) for name in names]
