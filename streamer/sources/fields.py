"""The texts of a row into times, numbers and names; each text is worked out once."""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from common.models import EARLIEST_MS, LATEST_MS, MAX_TEXT
from streamer.sources.rejects import RowError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
DATE_CHARS = len("2025-07-18")
REMEMBERED = 16_384

Value = TypeVar("Value")


class Remembered(dict[bytes, Value]):
    """A dict that works out what it lacks; it forgets all at ``REMEMBERED`` entries.

    Files repeat their texts, so a row costs lookups in place of parsing.
    """

    def __init__(self, work_out: Callable[[bytes], Value]) -> None:
        super().__init__()
        self._work_out = work_out

    def __missing__(self, text: bytes) -> Value:
        value = self._work_out(text)
        if len(self) >= REMEMBERED:
            self.clear()
        self[text] = value
        return value


def parse_moment(text: bytes) -> int:
    """Return milliseconds since 1970 UTC of an ISO 8601 date and time; without offset it is UTC.

    Raises RowError: ``bad_timestamp``, or ``timestamp_out_of_bounds`` outside what is stored.
    """
    found = text.strip()
    if len(found) <= DATE_CHARS:
        raise RowError("bad_timestamp")
    try:
        moment = datetime.fromisoformat(found.decode())
    except ValueError:
        raise RowError("bad_timestamp") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    milliseconds = (moment - EPOCH) // MILLISECOND
    if not EARLIEST_MS <= milliseconds <= LATEST_MS:
        raise RowError("timestamp_out_of_bounds")
    return milliseconds


def parse_value(text: bytes) -> float:
    """Return a finite decimal number; raises RowError ``bad_value`` or ``not_finite``."""
    try:
        value = float(text)
    except ValueError:
        raise RowError("bad_value") from None
    if b"_" in text:  # Python's own digit groups; no exporter writes them
        raise RowError("bad_value")
    if not math.isfinite(value):
        raise RowError("not_finite")
    return value


def parse_metric(text: bytes) -> str:
    """Return a metric's name; raises RowError ``no_metric`` when it is empty."""
    name = parse_text(text)
    if not name:
        raise RowError("no_metric")
    return name


def parse_text(text: bytes) -> str:
    """Return text without the spaces around it; raises RowError ``text_too_long``."""
    found = text.decode().strip()
    if len(found) > MAX_TEXT:
        raise RowError("text_too_long")
    return found
