"""How scrapes end, and how a target fares."""

from typing import Literal, get_args

import msgspec

Outcome = Literal[
    "ok", "timeout", "unreachable", "bad_status", "too_large", "garbage", "no_gpus", "missed"
]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


class TargetState(msgspec.Struct):
    """How one target fares; ``outcome`` is that of the last scrape, empty before the first."""

    outcome: str = ""
    reason: str = ""
    scrapes: int = 0
    failures: int = 0
    missed: int = 0
    seconds: float = 0.0

    @property
    def up(self) -> bool:
        return self.outcome == "ok"
