"""When GPUs were seen, without reading all of it.

A server reads every value of a series in the range that it is asked about, and ``_seen`` has one
for each moment. But who a GPU is is told at least once for each hour that is newer than those
before; so that series, which has a value a minute or an hour, says in which hour the last one is.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator

from common.models import LATEST_MS
from common.storage.influx.lines import decode
from common.storage.telling import HOUR_MS
from common.storage.victoria.lines import FIRST_SEEN, GPU, INFO
from common.storage.victoria.link import Link
from common.storage.victoria.query import Selectors, over

MAX_RANGES = 24
WIDER = 4


class UnknownGpu(Exception):
    """A GPU of that id was never told of."""


class Times:
    """Questions about the times of GPUs; for any number of threads at once."""

    def __init__(self, link: Link, select: Selectors) -> None:
        self._link = link
        self._select = select

    def last(self, ids: Collection[str] | None) -> dict[str, int]:
        """When each of some GPUs, or of all, was last seen; of others perhaps too."""
        told = self.whole(over("max_over_time", self._select.own(INFO, ids)))
        by_hour: dict[int, list[str]] = defaultdict(list)
        for gpu_id, at in told.items():
            by_hour[at // HOUR_MS].append(gpu_id)
        found = dict(told)
        for first_hour, last_hour, gpus in ranges(by_hour):
            span = (first_hour * HOUR_MS, (last_hour + 1) * HOUR_MS - 1)
            seen = self.whole(over("max_over_time", self._select.seen(gpus), *span), span[1])
            for gpu_id in gpus:
                found[gpu_id] = max(found[gpu_id], seen.get(gpu_id, 0))
        return found

    def first(self, ids: Collection[str] | None) -> dict[str, int]:
        """When each of some GPUs, or of all, was first seen ever, its expired points included."""
        return self.whole(over("min_over_time", self._select.own(FIRST_SEEN, ids)))

    def bounds(
        self, gpu_id: str, start_ms: int, end_ms: int, *, descending: bool
    ) -> tuple[int, int] | None:
        """A range that holds all that a GPU has in another, exact at the end that comes first.

        Raises UnknownGpu for one that was never told of.
        """
        first, last = self.first([gpu_id]).get(gpu_id), self.last([gpu_id]).get(gpu_id)
        if first is None or last is None:
            raise UnknownGpu(gpu_id)
        first, last = max(first, start_ms), min(last, end_ms)
        width = HOUR_MS
        while first <= last:
            begin, end = first, min(last, first + width - 1)
            if descending:
                begin, end = max(first, last - width + 1), last
            function = "max_over_time" if descending else "min_over_time"
            seen = over(function, self._select.seen([gpu_id]), begin, end)
            found = self.whole(seen, end).get(gpu_id)
            if descending:
                if found is not None:
                    return first, found
                last = begin - 1
            else:
                if found is not None:
                    return found, last
                first = end + 1
            width *= WIDER
        return None

    def whole(self, question: str, at_ms: int = LATEST_MS) -> dict[str, int]:
        """The whole number that a question comes to for each GPU."""
        found = self._link.ask(question, at_ms)
        return {decode(each.metric[GPU]): int(float(each.value[1])) for each in found}


def ranges(by_hour: dict[int, list[str]]) -> Iterator[tuple[int, int, list[str]]]:
    """Yield hours with what lies in them, neighbours together where there are too many."""
    hours = sorted(by_hour)
    size = -(-len(hours) // MAX_RANGES) or 1
    for at in range(0, len(hours), size):
        some = hours[at : at + size]
        yield some[0], some[-1], [each for hour in some for each in by_hour[hour]]
