"""One broker as a proxy sees it."""

import asyncio
from dataclasses import dataclass

from common.breaker import Breaker


@dataclass
class Tally:
    """What was asked of a broker since this proxy started."""

    requests: int = 0
    failures: int = 0
    seconds: float = 0.0
    probes: int = 0
    probe_failures: int = 0

    def count(self, seconds: float, failed: bool) -> None:
        """Take note of one request."""
        self.requests += 1
        self.failures += failed
        self.seconds += seconds


class Member:
    """One broker: its place on the ring, its address, its health.

    ``name`` is its identity on the ring; ``instance`` is what it calls itself in receipts, and
    is taken to be the name until it was ``met``. ``silences``: probes in a row without an answer.
    ``draining``: it takes no produce. ``left_at``: since when it is not listed any more, on the
    monotonic clock. A broker that drains or left owns nothing, and is served until it is ``empty``.
    """

    def __init__(self, name: str, url: str, breaker: Breaker) -> None:
        self.name = name
        self.url = url
        self.breaker = breaker
        self.tally = Tally()
        self.instance = name
        self.met = False
        self.ready = True
        self.reason = ""
        self.silences = 0
        self.draining = False
        self.empty = False
        self.left_at: float | None = None
        self.calls: set[asyncio.Timeout] = set()

    @property
    def owns(self) -> bool:
        """Whether it has a place on the ring."""
        return not self.draining and self.left_at is None

    @property
    def silent(self) -> bool:
        """Whether the last probe got no answer."""
        return self.silences > 0

    def move_to(self, url: str) -> None:
        """It is found elsewhere now; who answers there is met anew."""
        self.url, self.met, self.instance = url, False, self.name

    def cut_calls(self) -> None:
        """End every request that waits for its answer."""
        now = asyncio.get_running_loop().time()
        for deadline in self.calls:
            deadline.reschedule(now)
