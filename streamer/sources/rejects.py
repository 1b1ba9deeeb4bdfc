"""Rows that were not taken: why, how many, and where."""

from typing import Any, Literal, get_args

Reason = Literal[
    "short_row",
    "long_row",
    "unbalanced_quotes",
    "bad_timestamp",
    "timestamp_out_of_bounds",
    "bad_value",
    "bad_unit",
    "not_finite",
    "no_identity",
    "no_metric",
    "text_too_long",
    "bad_encoding",
    "nul_byte",
    "line_too_long",
    "repeated_header",
    "bad_labels",
]
REASONS: tuple[Reason, ...] = get_args(Reason)
LINES_KEPT = 100


class RowError(Exception):
    """One row cannot be taken; the run goes on."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


class Rejects:
    """Counts by reason, with the first lines of each.

    Line numbers are those of the physical file, from 1. A line is named once, however often the
    file is read.
    """

    def __init__(self) -> None:
        self.counts: dict[Reason, int] = dict.fromkeys(REASONS, 0)
        self._lines: dict[Reason, list[int]] = {reason: [] for reason in REASONS}

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def add(self, reason: Reason, line: int) -> None:
        """Count one row."""
        self.counts[reason] += 1
        lines = self._lines[reason]
        if len(lines) < LINES_KEPT and (not lines or line > lines[-1]):
            lines.append(line)

    def count_all(self, others: "Rejects") -> None:
        """Count what another has, without its lines."""
        for reason, count in others.counts.items():
            self.counts[reason] += count

    def report(self) -> dict[str, Any]:
        """``{reason: {"count", "lines"}}`` of the reasons that occurred."""
        return {
            reason: {"count": count, "lines": list(self._lines[reason])}
            for reason, count in self.counts.items()
            if count
        }
