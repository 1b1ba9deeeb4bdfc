"""UTC days, as options name them and as milliseconds bound them."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator

DAY = timedelta(days=1)
DATE = len("2025-07-18")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def parse_day(value: Any) -> Any:
    """The UTC day of a date, of an RFC 3339 time, or of milliseconds since 1970."""
    if not isinstance(value, str):
        return value
    try:
        if value.isdecimal():
            return day_of(int(value))
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None and len(value) != DATE:
            raise ValueError("no zone")
        return (moment.astimezone(UTC) if moment.tzinfo else moment).date()
    except (ValueError, OverflowError) as error:
        raise ValueError(
            "must be a day such as 2025-07-18, an RFC 3339 time, or milliseconds since 1970"
        ) from error


Day = Annotated[date, BeforeValidator(parse_day)]


def bounds_of(day: date) -> tuple[int, int]:
    """The first and the last millisecond of a UTC day."""
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return (begin - _EPOCH) // _MS, (begin + DAY - _EPOCH) // _MS - 1


def day_of(timestamp: int) -> date:
    """The UTC day of a time in milliseconds."""
    return (_EPOCH + timestamp * _MS).date()
