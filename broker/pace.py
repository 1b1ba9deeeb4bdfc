"""How much one reader is trusted with, by what became of it before."""

import math

GROWTH = 0.5  # of what was answered


class Pace:
    """The most messages a stream may hold: what it asked for, less once its leases ran out.

    A reader that is slower than its window and the visibility timeout allow finds run out whatever
    waited at its side; what comes again goes to the end of the same queue, and runs out there.
    Nothing would be settled until all of it was a dead letter. So each lease that runs out halves
    the pace, and what is answered in good time lets it grow, as TCP does where packets are lost.

    Good time is the first half of what a lease has beyond the reader's own: the shortest time that
    it took for an answer, with hardly anything waiting at its side.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._allowed = float(most)
        self._own = math.inf

    @property
    def messages(self) -> int:
        """How many may be unacked at a time, 1 at least."""
        return int(self._allowed)

    def room(self, in_flight: int, batch: int) -> int:
        """How many to hand out now, ``batch`` at most; a reader that was slow gets no crumbs."""
        room = min(self.messages - in_flight, batch)
        crumb = self._allowed < self._most and room < min(batch, self._allowed / 2)
        return 0 if crumb else room

    def ran_out(self) -> None:
        """A lease ended without an answer."""
        self._allowed = max(1.0, self._allowed / 2)
        self._own = math.inf

    def answered(self, count: int, waited: float, left: float) -> None:
        """``count`` messages were settled or given back, ``left`` seconds before they ran out."""
        self._own = min(self._own, waited)
        if waited - self._own < left:
            self._allowed = min(float(self._most), self._allowed + GROWTH * count)
