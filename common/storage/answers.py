"""What is the same in the answers of every server that holds a store."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_WORDS = 500
MAX_RETRY_AFTER_SECONDS = 600.0


def retry_after(headers: Mapping[str, str] | None) -> float | None:
    """The seconds that ``Retry-After`` asks for, as a number or a date, within bounds."""
    value = (headers or {}).get("Retry-After")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):
            return None
    return None if math.isnan(seconds) else min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)
