"""What a check has found."""

from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """How bad it is: an ``error`` loses data, time or safety now, a ``warning`` may later."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


class Finding(NamedTuple):
    """One answer of one check: of which service, about what, and the remedy if one is needed."""

    level: Level
    service: str
    check: str
    what: str
    remedy: str = ""


class Ward:
    """Findings of one service, as its checks write them down."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.findings: list[Finding] = []

    def ok(self, check: str, what: str) -> None:
        """Nothing to do."""
        self.findings.append(Finding(Level.OK, self.service, check, what))

    def warn(self, check: str, what: str, remedy: str) -> None:
        """Something to look after."""
        self.findings.append(Finding(Level.WARNING, self.service, check, what, remedy))

    def fail(self, check: str, what: str, remedy: str) -> None:
        """Something to repair."""
        self.findings.append(Finding(Level.ERROR, self.service, check, what, remedy))
