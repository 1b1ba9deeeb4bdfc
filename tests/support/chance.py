"""Chance that can be reckoned with."""

import random


class Unlucky(random.Random):
    """Draws the longest wait."""

    def uniform(self, a: float, b: float) -> float:
        """See ``random.Random``."""
        return max(a, b)
