"""A consumer's ``max_in_flight``, divided among the brokers that it hears from."""

from collections.abc import Sequence

from common.errors import InvalidRequest

KEPT_BACK = 8  # one part in so many waits for brokers that join


class Shares:
    """Who may have how many messages out; the sum is never more than ``total``."""

    def __init__(self, total: int, names: Sequence[str]) -> None:
        if total < len(names):
            raise InvalidRequest(f"max_in_flight must be {len(names)} or more: one a broker")
        kept = min(total // KEPT_BACK, total - len(names))
        share = (total - kept) // max(1, len(names))
        self._shares = dict.fromkeys(names, share)
        self._spare = total - share * len(names)

    def of(self, name: str) -> int:
        """The share of a broker; one that is new gets half of what is left, 0 when that is none."""
        if name not in self._shares:
            given = (self._spare + 1) // 2
            if not given:
                return 0
            self._spare -= given
            self._shares[name] = given
        return self._shares[name]

    def give_back(self, name: str) -> None:
        """The broker is gone."""
        self._spare += self._shares.pop(name, 0)
