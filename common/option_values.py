"""Values of options as people write them."""

import re
from typing import Any

MOST_SECONDS = 100 * 365 * 86400.0
MOST_BYTES = 1 << 62

_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*$")
_SECONDS_PER_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}
_SIZE = re.compile(r"^\s*(\d{1,19})\s*(KiB|MiB|GiB)?\s*$")
_INDEX = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9.-]*-)?(\d{1,6})", re.ASCII)
_BYTES_PER_UNIT = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, None: 1}


def parse_duration(value: Any) -> Any:
    """Turn ``"30s"``, ``"500ms"``, ``"12h"`` or ``30`` into seconds."""
    if not isinstance(value, str):
        return value
    found = _DURATION.match(value)
    if not found:
        raise ValueError('must be a duration such as "30s", "500ms" or 30')
    seconds = float(found[1]) * _SECONDS_PER_UNIT[found[2]]
    if seconds > MOST_SECONDS:
        raise ValueError("must be a duration of 100 years or less")
    return seconds


def parse_size(value: Any) -> Any:
    """Turn ``"64MiB"`` or ``67108864`` into bytes."""
    if not isinstance(value, str):
        return value
    found = _SIZE.match(value)
    if not found:
        raise ValueError('must be a size such as "64MiB" or 67108864')
    size = int(found[1]) * _BYTES_PER_UNIT[found[2]]
    if size > MOST_BYTES:
        raise ValueError("must be a size of 4 EiB or less")
    return size


def parse_index(value: Any) -> Any:
    """The number of one of several, from itself or from the end of a StatefulSet pod's name."""
    found = _INDEX.fullmatch(str(value))
    if found is None:
        raise ValueError("must be a number, or a pod name that ends in one such as broker-2")
    return int(found[1])


def parse_list(value: Any) -> Any:
    """Turn ``"a, b"`` into ``("a", "b")``."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value
