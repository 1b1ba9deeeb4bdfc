"""A cell of a wide CSV into a number of its metric's unit, or nothing."""

import math
import re
from collections.abc import Callable

from streamer.sources.fields import parse_value, parse_value_with_comma
from streamer.sources.known import Metric
from streamer.sources.rejects import RowError
from streamer.sources.units import PLAIN, Scale, find_unit

# What says that there is no value, folded to lower case; so does anything in square brackets.
MISSING = {b"", b"n/a", b"not supported", b"err!", b"-", b"--", b"null", b"none", b"unknown error"}
_NUMBER_AND_UNIT = re.compile(
    rb"(?!0[xX])([-+]?[0-9.,]+(?:[eE][-+]?[0-9]+)?)\s*([%A-Za-z\xc2][^0-9]{0,15})"
)
_PSTATE = re.compile(rb"[Pp]([0-9]{1,2})")
_HEX = re.compile(rb"0[xX]([0-9a-fA-F]{1,16})")


class Cell:
    """One metric's column: where it stands, what it is called, how its text is read.

    ``scale`` is for numbers that name no unit. A number of ``most`` or more is none of this metric.
    """

    def __init__(
        self,
        index: int,
        metric: Metric,
        scale: Scale = PLAIN,
        comma: bool = False,
        most: float = math.inf,
    ) -> None:
        self.index = index
        self.metric = metric
        self._scale = scale
        self._most = most
        self._number = parse_value_with_comma if comma else parse_value
        self._read = FORMS.get(metric.form, self._measure)

    def parse(self, text: bytes) -> float | None:
        """Return the value, None when there is none.

        Raises RowError: ``bad_value``, ``not_finite``, or ``bad_unit`` for a unit of another kind.
        """
        found = text.strip()
        return None if is_missing(found) else self._read(found)

    def _measure(self, text: bytes) -> float:
        taken_apart = _NUMBER_AND_UNIT.fullmatch(text)
        if taken_apart is None:
            return self._checked(self._number(text), self._scale)
        unit = find_unit(taken_apart[2].decode())
        number = self._number(taken_apart[1])
        if unit.kept != self.metric.unit:
            raise RowError("bad_unit")
        return self._checked(number, unit.scale)

    def _checked(self, number: float, scale: Scale) -> float:
        if number >= self._most:
            raise RowError("bad_value")
        value = scale.apply(number)
        if not math.isfinite(value):
            raise RowError("not_finite")
        return value


def is_missing(text: bytes) -> bool:
    """Whether a cell, without the spaces around it, says that there is no value."""
    return text.lower() in MISSING or (text[:1] == b"[" and text[-1:] == b"]")


def unit_in(text: bytes) -> str | None:
    """Return the unit behind a number, empty when it has none, None when it is no number."""
    found = text.strip()
    taken_apart = _NUMBER_AND_UNIT.fullmatch(found)
    try:
        parse_value_with_comma(taken_apart[1] if taken_apart else found)
    except RowError as error:
        return "" if error.reason == "not_finite" else None
    return taken_apart[2].decode().strip() if taken_apart else ""


def read_pstate(text: bytes) -> float:
    """``P8`` is 8."""
    found = _PSTATE.fullmatch(text)
    return float(found[1]) if found else parse_value(text)


def read_hex(text: bytes) -> float:
    """A bit mask, in hex or decimal."""
    found = _HEX.fullmatch(text)
    return float(int(found[1], 16)) if found else parse_value(text)


FORMS: dict[str, Callable[[bytes], float]] = {"pstate": read_pstate, "hex": read_hex}
