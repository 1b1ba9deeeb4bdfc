"""Units, brought to one for each kind of thing: MiB, W, C, %, MHz, J, V."""

import re
from typing import NamedTuple


class Scale(NamedTuple):
    """How a number becomes one of the unit kept: ``(number + add) * times / by``."""

    add: float = 0.0
    times: float = 1.0
    by: float = 1.0

    def apply(self, number: float) -> float:
        """Return the number in the unit kept."""
        return (number + self.add) * self.times / self.by


class Unit(NamedTuple):
    """The unit kept for a unit that was found, and how one becomes the other."""

    kept: str
    scale: Scale = Scale()


PLAIN = Scale()
BYTES = Scale(by=1 << 20)
# Memory is counted in powers of two whether it says MB or MiB: so do NVIDIA's tools.
UNITS = {
    "%": Unit("%"),
    "percent": Unit("%"),
    "pct": Unit("%"),
    "b": Unit("MiB", BYTES),
    "byte": Unit("MiB", BYTES),
    "bytes": Unit("MiB", BYTES),
    "kb": Unit("MiB", Scale(by=1024)),
    "kib": Unit("MiB", Scale(by=1024)),
    "mb": Unit("MiB"),
    "mib": Unit("MiB"),
    "gb": Unit("MiB", Scale(times=1024)),
    "gib": Unit("MiB", Scale(times=1024)),
    "tb": Unit("MiB", Scale(times=1 << 20)),
    "tib": Unit("MiB", Scale(times=1 << 20)),
    "w": Unit("W"),
    "watt": Unit("W"),
    "watts": Unit("W"),
    "mw": Unit("W", Scale(by=1000)),
    "milliwatts": Unit("W", Scale(by=1000)),
    "kw": Unit("W", Scale(times=1000)),
    "c": Unit("C"),
    "\N{DEGREE SIGN}c": Unit("C"),
    "celsius": Unit("C"),
    "f": Unit("C", Scale(add=-32, times=5, by=9)),
    "\N{DEGREE SIGN}f": Unit("C", Scale(add=-32, times=5, by=9)),
    "fahrenheit": Unit("C", Scale(add=-32, times=5, by=9)),
    "hz": Unit("MHz", Scale(by=1_000_000)),
    "khz": Unit("MHz", Scale(by=1000)),
    "mhz": Unit("MHz"),
    "ghz": Unit("MHz", Scale(times=1000)),
    "j": Unit("J"),
    "mj": Unit("J", Scale(by=1000)),
    "kj": Unit("J", Scale(times=1000)),
    "v": Unit("V"),
    "mv": Unit("V", Scale(by=1000)),
}
_IN_BRACKETS = re.compile(r"(.*\S)\s*\[([^\[\]]*)\]")
_IN_PARENTHESES = re.compile(r"(.*\S)\s*\(([^()]*)\)")


def find_unit(text: str) -> Unit:
    """Return what a unit becomes; one that is not known stays as it is."""
    found = text.strip()
    return UNITS.get(found.casefold(), Unit(found))


def split_title(title: str) -> tuple[str, str]:
    """Take ``name [unit]`` apart, or ``name (unit)`` where that is one; the unit may be empty."""
    brackets = _IN_BRACKETS.fullmatch(title)
    if brackets:
        return brackets[1], brackets[2].strip()
    parentheses = _IN_PARENTHESES.fullmatch(title)
    if parentheses and parentheses[2].strip().casefold() in UNITS:
        return parentheses[1], parentheses[2].strip()
    return title, ""
