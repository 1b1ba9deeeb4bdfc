"""Values as VictoriaMetrics keeps them to the last bit.

The server keeps decimals: it takes about twelve digits of a float, and stores a block of a series'
values as whole numbers of one power of ten, so that a large value costs a small one beside it its
digits. What is safe whatever stands beside it is written as it is (`plain`): at most 11 digits, of
which 6 behind the point. Whole numbers of up to 2^53 are safe among themselves (`wide`), and have
a series of their own. Anything else is written as two whole numbers, the halves of its 64 bits;
each carries 20 bits of a checksum of both, so that halves of two values never make a third.
"""

import re
import struct
from collections.abc import Iterable

import msgspec
import xxhash

HIGH, LOW = "high", "low"
HALF_BITS = 32
TAG_BITS = 20
WIDE_FROM, WIDE_BELOW = 1e11, 2.0**53

_PLAIN = re.compile(
    rb"\[(?:(?!-0(?:\.0)?[,\]])-?(?:\d{1,5}\.\d{1,6}|\d{6}\.\d{1,5}|\d{1,11}(?:\.0)?)[,\]])+"
)
_DOUBLE = struct.Struct(">d")
_WORD = struct.Struct(">Q")


def plain_text(values: list[float]) -> bytes | None:
    """All values as a JSON array, or None when one of them is not plain."""
    text = msgspec.json.encode(values)
    return text if _PLAIN.fullmatch(text) else None


def plain(value: float) -> bytes | None:
    """A value as a JSON number, or None when it is not plain."""
    text = f"{value:.6f}".rstrip("0").rstrip(".").encode()
    if float(text) == value and _PLAIN.fullmatch(b"[%b]" % text):
        return text
    return None


def wide(value: float) -> bytes | None:
    """A value as a JSON number, or None when it is no whole number of the wide ones."""
    if WIDE_FROM <= abs(value) < WIDE_BELOW and value.is_integer():
        return b"%d" % int(value)
    return None


def split(value: float) -> tuple[int, int]:
    """The two numbers that stand for a value: its high half and its low one."""
    packed = _DOUBLE.pack(value)
    word, tag = _WORD.unpack(packed)[0], _tag(packed)
    return word >> HALF_BITS << TAG_BITS | tag, (word & 0xFFFF_FFFF) << TAG_BITS | tag


def join(highs: Iterable[float], lows: Iterable[float]) -> list[float]:
    """The values that halves stand for; halves that do not belong together are no value."""
    return [
        value
        for high in highs
        for low in lows
        if (value := _joined(int(high), int(low))) is not None
    ]


def _joined(high: int, low: int) -> float | None:
    packed = _WORD.pack(high >> TAG_BITS << HALF_BITS | low >> TAG_BITS)
    tag = _tag(packed)
    if (high ^ tag) & 0xF_FFFF or (low ^ tag) & 0xF_FFFF:
        return None
    value: float = _DOUBLE.unpack(packed)[0]
    return value


def _tag(packed: bytes) -> int:
    return xxhash.xxh3_64_intdigest(packed) & 0xF_FFFF
