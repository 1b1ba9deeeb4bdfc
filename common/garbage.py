"""Python's cycle collector, set for processes that make many objects and few cycles."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 20_000
MIDDLE = 10
OLD = 10


@contextmanager
def away() -> Iterator[None]:
    """Do not look for cycles in what is imported: that stays."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def calm() -> None:
    """Leave what the start made alone, and look for cycles less often.

    Cycles are rare here and small: an exception with its frame, a closed connection. Samples,
    records and events come by the hundred thousand, hold none, and are looked through each time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
