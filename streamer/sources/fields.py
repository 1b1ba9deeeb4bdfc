"""The texts of a row into times, numbers and names; each text is worked out once."""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TypeVar

from common.models import EARLIEST_MS, LATEST_MS, MAX_TEXT
from streamer.sources.rejects import RowError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
DATE_CHARS = len("2025-07-18")
REMEMBERED = 16_384
# Below these, digits alone are seconds, milliseconds or microseconds since 1970; else nanoseconds.
EPOCH_SECONDS, EPOCH_MS, EPOCH_US = 10**11, 10**14, 10**17
_DIGITS = re.compile(rb"\d{1,20}(\.\d{1,9})?")
_SLASHES = re.compile(rb"(\d{4})/(\d\d)/(\d\d)(?=[ T])")

Value = TypeVar("Value")


class Remembered(dict[bytes, Value]):
    """A dict that works out what it lacks; it forgets all at ``most`` entries.

    Files repeat their texts, so a row costs lookups in place of parsing.
    """

    def __init__(self, work_out: Callable[[bytes], Value], most: int = REMEMBERED) -> None:
        super().__init__()
        self._work_out = work_out
        self._most = most

    def __missing__(self, text: bytes) -> Value:
        value = self._work_out(text)
        if len(self) >= self._most:
            self.clear()
        self[text] = value
        return value


def parse_moment(text: bytes, zone: tzinfo | None = UTC) -> int:
    """Return milliseconds since 1970 UTC of a date and time, or of a number since 1970.

    ISO 8601, ``2020/11/12 13:48:11.412``; without an offset it is in ``zone``, and with None in the
    zone of this machine. Raises RowError: ``bad_timestamp``, or ``timestamp_out_of_bounds`` outside
    what is stored.
    """
    found = text.strip()
    if _DIGITS.fullmatch(found):
        milliseconds = since_1970(found)
    else:
        milliseconds = (read_date(found, zone) - EPOCH) // MILLISECOND
    if not EARLIEST_MS <= milliseconds <= LATEST_MS:
        raise RowError("timestamp_out_of_bounds")
    return milliseconds


def read_date(text: bytes, zone: tzinfo | None) -> datetime:
    """Return a moment that knows its zone; raises RowError ``bad_timestamp``."""
    if len(text) <= DATE_CHARS:
        raise RowError("bad_timestamp")
    plain = _SLASHES.sub(rb"\1-\2-\3", text, count=1)
    if plain.endswith(b" UTC"):
        plain = plain.removesuffix(b" UTC") + b"Z"
    try:
        moment = datetime.fromisoformat(plain.decode())
        if moment.tzinfo is None:
            return moment.astimezone() if zone is None else moment.replace(tzinfo=zone)
    except (ValueError, OverflowError):
        raise RowError("bad_timestamp") from None
    return moment


def since_1970(text: bytes) -> int:
    """Return milliseconds of a number of seconds, or of smaller units when it is that large."""
    whole, _, part = text.partition(b".")
    number = int(whole)
    if number < EPOCH_SECONDS:
        return number * 1000 + int(part[:3].ljust(3, b"0"))
    if number < EPOCH_MS:
        return number
    return number // (1000 if number < EPOCH_US else 1_000_000)


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


def parse_value_with_comma(text: bytes) -> float:
    """As ``parse_value``, where a comma is the decimal sign: one, and no point beside it."""
    if b"," not in text:
        return parse_value(text)
    if text.count(b",") > 1 or b"." in text:
        raise RowError("bad_value")
    return parse_value(text.replace(b",", b"."))


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
