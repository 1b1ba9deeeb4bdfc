"""What a VictoriaMetrics server says of itself on its page of metrics."""

import re
from typing import NamedTuple

DAY_SECONDS = 86_400.0
FUTURE_SECONDS = 2 * DAY_SECONDS
"""How far ahead of its clock a server takes points that does not say so itself."""

_FLAG = re.compile(r'^flag\{name="([^"]+)", value="([^"]*)"', re.MULTILINE)
_STARTED = re.compile(r"^vm_app_start_timestamp (\d+)", re.MULTILINE)
_UPTIME = re.compile(r"^vm_app_uptime_seconds (\d+)", re.MULTILINE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdwMy])?")
_SECONDS = {
    "ms": 0.001,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": DAY_SECONDS,
    "w": 7 * DAY_SECONDS,
    "M": 31 * DAY_SECONDS,
    "y": 365 * DAY_SECONDS,
}


class Server(NamedTuple):
    """A server's start, in whole seconds since 1970, how long ago that is, and its flags."""

    started: int
    uptime: int
    retention_seconds: float
    future_seconds: float
    precision_bits: int
    once_each_ms: bool
    """Whether it counts points that were written twice once, and points 1 ms apart as two."""

    @property
    def is_known_by_start(self) -> bool:
        """Whether the next process on its place must have started in another second."""
        return self.uptime > 0


def read_server(page: str) -> Server:
    """Read the page; raises ValueError for one that is of no such server."""
    started, uptime = _STARTED.search(page), _UPTIME.search(page)
    if started is None or uptime is None:
        raise ValueError("no page of metrics of VictoriaMetrics")
    flags = dict(_FLAG.findall(page))
    return Server(
        int(started[1]),
        int(uptime[1]),
        seconds_of(flags.get("retentionPeriod", "1"), _SECONDS["M"]),
        seconds_of(flags.get("futureRetention", "2d"), 1.0) or FUTURE_SECONDS,
        int(flags.get("precisionBits", "64")),
        seconds_of(flags.get("dedup.minScrapeInterval", "0"), 1.0) == _SECONDS["ms"],
    )


def seconds_of(text: str, unit_seconds: float) -> float:
    """A duration as the server's flags have it; a bare number is of ``unit_seconds``."""
    parts = list(_DURATION.finditer(text))
    if "".join(part[0] for part in parts) != text or not parts:
        raise ValueError(f"no duration: {text!r}")
    return sum(float(part[1]) * (_SECONDS[part[2]] if part[2] else unit_seconds) for part in parts)
