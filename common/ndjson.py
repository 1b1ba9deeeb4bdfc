"""Messages as lines: how a producer packs them and a broker counts them.

Every byte of every message passes here, so nothing looks at single bytes twice. Searching for two
bytes, and counting, cost CPython one to three nanoseconds a byte; replacing and searching for one
byte run at the speed of memory. That is why some of it looks odd.
"""

from collections.abc import Sequence

LF = b"\n"
CR = b"\r"
LONG_LINE_BYTES = 4096


def pack(payloads: Sequence[bytes]) -> bytes:
    """One line a payload; raises ValueError for one that would not come back as it is."""
    body = LF.join(payloads)
    whole = payloads and all(payloads) and not hold_line_end(payloads, body)
    if not whole or (CR in body and any(payload.endswith(CR) for payload in payloads)):
        raise ValueError("a payload is empty, or would not come back as one line")
    return body


def check(payloads: Sequence[bytes]) -> None:
    """Refuse, with ValueError, what would not come back as one line, for who sends no lines."""
    if not all(payloads) or any(LF in each or each.endswith(CR) for each in payloads):
        raise ValueError("a payload is empty, or would not come back as one line")


def hold_line_end(payloads: Sequence[bytes], body: bytes) -> bool:
    """Whether one of the payloads that make up a body is more than a line."""
    if len(body) < LONG_LINE_BYTES * len(payloads):
        return count(body) != len(payloads)
    return any(LF in payload for payload in payloads)


def unpack(body: bytes) -> tuple[bytes, int]:
    """The lines alone, and how many: CR before LF is of the line end, empty lines are none."""
    if CR in body:
        body = body.replace(b"\r\n", LF)
    body = body.strip(LF)
    lines = count_long(body)
    if lines is None:
        lines = count(body)
        if not all(body.split(LF)):
            body = LF.join(filter(None, body.split(LF)))
            lines = count(body)
    return body, lines if body else 0


def count(body: bytes) -> int:
    """The number of lines, of which the last has no line end."""
    return len(body.replace(LF, b"\n\n")) - len(body) + 1


def count_long(body: bytes) -> int | None:
    """The number of lines, or None if they are short on average or one of them is empty."""
    most = len(body) // LONG_LINE_BYTES
    lines, at = 1, body.find(LF)
    while at >= 0:
        following = body.find(LF, at + 1)
        if lines > most or following == at + 1:
            return None
        lines, at = lines + 1, following
    return lines
