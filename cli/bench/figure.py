"""Figures of a run, as they are kept and compared."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from statistics import median
from typing import Literal

import msgspec

Better = Literal["more", "less"]


class Figure(msgspec.Struct, frozen=True):
    """One thing that was measured, in each run; ``better`` says which way is."""

    name: str
    unit: str
    better: Better
    values: tuple[float, ...]

    @property
    def value(self) -> float:
        """The run in the middle."""
        return median(self.values)

    @property
    def spread(self) -> float:
        """How far the runs lie apart, as a share of the one in the middle."""
        return (max(self.values) - min(self.values)) / self.value if self.value else 0.0


class Bench(msgspec.Struct, frozen=True):
    """A whole measurement and the machine it is of."""

    machine: str
    cores: int
    python: str
    release: str
    measured_at: str
    figures: tuple[Figure, ...]


def bench_of(figures: list[Figure]) -> Bench:
    """Put figures together with where and when they were made."""
    return Bench(
        machine=platform.platform(),
        cores=os.cpu_count() or 1,
        python=platform.python_version(),
        release=version("telemetry-stack"),
        measured_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        figures=tuple(figures),
    )


def merge(runs: list[list[Figure]]) -> list[Figure]:
    """The figures of several runs as one, value by value."""
    return [
        msgspec.structs.replace(same[0], values=tuple(each.values[0] for each in same))
        for same in zip(*runs, strict=True)
    ]
