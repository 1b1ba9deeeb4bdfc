"""What the options say about deliveries."""

from random import Random
from typing import NamedTuple

MAX_DOUBLINGS = 60


class Rules(NamedTuple):
    """How long, how often and after which wait messages are delivered."""

    max_deliveries: int
    retry_first_seconds: float
    retry_last_seconds: float
    max_lease_seconds: float

    def retry_seconds(self, attempt: int, rng: Random) -> float:
        """Exponential backoff with equal jitter: half of the wait is fixed, half is drawn."""
        doublings = min(attempt - 1, MAX_DOUBLINGS)
        longest = min(self.retry_last_seconds, self.retry_first_seconds * 2.0**doublings)
        return longest / 2 + rng.uniform(0, longest / 2)
