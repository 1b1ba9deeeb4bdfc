"""How the summaries of a GPU's windows lie in a row: six float64 a window and metric.

::

    points of every metric, each in every slot | total ... | min ... | max ... | last ... | p95 ...

A slot is a window's place in the row; a metric without points in a slot has 0 there.
"""

import sys
from array import array
from collections.abc import Mapping, Sequence

from common.storage.aggregates import Part, Summary

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
MINUTES = 60

FIELDS = len(Summary._fields)
SlotSummaries = Mapping[int, Mapping[str, Summary]]


def pack(names: Sequence[str], slots: int, summaries: SlotSummaries) -> bytes:
    """Return a row's values: those of metric ``name`` in slot ``n`` are ``summaries[n][name]``."""
    places = {name: place * slots for place, name in enumerate(names)}
    step = len(names) * slots
    values = [0.0] * (FIELDS * step)
    for slot, by_name in summaries.items():
        for name, summary in by_name.items():
            values[places[name] + slot :: step] = summary
    return _swapped(array("d", values)).tobytes()


class Packed:
    """A row of summaries."""

    def __init__(self, names: Sequence[str], slots: int, packed: bytes) -> None:
        self._places = {name: place * slots for place, name in enumerate(names)}
        self._values = _swapped(array("d", packed))
        self._step = len(names) * slots

    def at(self, slot: int, wanted: frozenset[str]) -> dict[str, Part]:
        """Return what the metrics that have points in a slot come to; none wanted is all."""
        return {
            name: Summary(*self._values[place + slot :: self._step])
            for name, place in self._places.items()
            if self._values[place + slot] and (not wanted or name in wanted)
        }


def _swapped(values: "array[float]") -> "array[float]":
    """Little-endian to the machine's order, or back."""
    if sys.byteorder == "big":
        values.byteswap()
    return values
