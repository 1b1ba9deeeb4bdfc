"""A circuit breaker: leave alone what just failed, then try it with one request."""

from common.clock import Clock

FAILURES_TO_OPEN = 3


class Breaker:
    """Closed, open for ``cool_down_seconds``, then half open: one request may try.

    A refused connection opens it at once; slower failures open it when they come in a row.
    """

    def __init__(self, clock: Clock, cool_down_seconds: float) -> None:
        self._clock = clock
        self._cool_down_seconds = cool_down_seconds
        self._failures = 0
        self._open_until: float | None = None
        self._trying = False

    @property
    def state(self) -> str:
        """``closed``, ``open`` or ``half-open``."""
        if self._open_until is None:
            return "closed"
        return "open" if self._clock.monotonic() < self._open_until else "half-open"

    def allows(self) -> bool:
        """Whether a request may go now; in the half-open state only one at a time may."""
        if self.state == "closed":
            return True
        if self.state == "open" or self._trying:
            return False
        self._trying = True
        return True

    def succeeded(self) -> None:
        """The other side answered."""
        self._failures = 0
        self._open_until = None
        self._trying = False

    def gave_up(self) -> None:
        """The request ended and says nothing about the other side: the client left, for one."""
        self._trying = False

    def failed(self, at_once: bool) -> None:
        """The other side did not answer; ``at_once`` when it did not even accept."""
        self._failures += 1
        if at_once or self._trying or self._failures >= FAILURES_TO_OPEN:
            self._open_until = self._clock.monotonic() + self._cool_down_seconds
        self._trying = False
