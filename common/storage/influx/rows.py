"""Rows of InfluxDB's tables, which are text, as what they stand for."""

from collections import defaultdict
from datetime import datetime
from typing import Any

import msgspec

from common.models import Gpu
from common.storage.base import Point
from common.storage.influx.lines import LABELS, decode

Rows = list[tuple[str, ...]]


def identities(rows: Rows) -> dict[str, Gpu]:
    """Who each GPU is, by its tag, from the newest value of each field."""
    fields: dict[str, dict[str, Any]] = defaultdict(dict)
    for tag, name, value in rows:
        text = decode(value)
        fields[tag][name] = msgspec.json.decode(text) if name == LABELS else text
    return {tag: msgspec.convert(known, Gpu) for tag, known in fields.items()}


def points(rows: Rows, window_ms: int = 1) -> list[Point]:
    """Points from their times, fields and values; times are put back to where windows begin."""
    times: dict[str, int] = {}
    names: dict[str, str] = {}
    found = []
    for time, field, value in rows:
        at = times.get(time)
        if at is None:
            at = to_ms(time)
            at = times[time] = at - at % window_ms
        name = names.get(field) or names.setdefault(field, decode(field))
        found.append(Point(at, name, float(value)))
    return found


def total(rows: Rows) -> int:
    """The sum of counts; what has nothing to count has no row."""
    return sum(int(count) for _, count in rows)


def to_ms(time: str) -> int:
    """Milliseconds since 1970 UTC of a time as the server writes it."""
    return round(datetime.fromisoformat(time).timestamp() * 1000)
