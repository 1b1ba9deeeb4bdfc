"""Event streams (HTML Living Standard, section 9.2): written and read."""

from typing import NamedTuple

HEARTBEAT = b": still here\n\n"
STREAM_HEADERS: list[tuple[bytes, bytes]] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
_BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One event: its type, its id, and its data lines."""

    type: str
    id: str
    data: list[bytes]


class StreamTooLongError(Exception):
    """One event is larger than the reader is willing to hold."""


def encode(event_type: str, event_id: str, data: bytes) -> bytes:
    """One event. ``data`` holds no CR; each of its lines becomes a data line."""
    if "\n" in event_id or "\r" in event_id or "\0" in event_id:
        raise ValueError("an event id holds no line break and no NUL")
    lines = data.replace(b"\n", b"\ndata: ")
    return b"event: %b\nid: %b\ndata: %b\n\n" % (event_type.encode(), event_id.encode(), lines)


class Parser:
    """Turns chunks of a stream into events, wherever the chunks are cut.

    Holds at most ``limit_bytes`` of an event that has not ended.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._begun = False

    def feed(self, chunk: bytes) -> list[Event]:
        """Return the events that ended within ``chunk``."""
        if not chunk:
            return []
        if b"\r" in chunk or (self._held and b"\r" in self._held[-1][-1:]):
            return self._take(normalise(b"".join([*self._held, chunk])))
        if b"\n\n" not in (self._held[-1][-1:] if self._held else b"") + chunk:
            self._hold(chunk)
            return []
        return self._take(b"".join([*self._held, chunk]))

    def _take(self, buffer: bytes) -> list[Event]:
        if not self._begun:
            buffer, self._begun = buffer.removeprefix(_BOM), True
        whole, ended, rest = buffer.rpartition(b"\n\n")
        self._held, self._held_bytes = [], 0
        if rest:
            self._hold(rest)
        if not ended:
            return []
        return [event for block in whole.split(b"\n\n") if (event := parse_block(block))]

    def _hold(self, chunk: bytes) -> None:
        self._held.append(chunk)
        self._held_bytes += len(chunk)
        if self._held_bytes > self._limit_bytes:
            raise StreamTooLongError(f"an event is over {self._limit_bytes} bytes")


def normalise(buffer: bytes) -> bytes:
    """Make every line end an LF; a CR at the very end may be half of a CRLF and is kept."""
    tail = b"\r" if buffer.endswith(b"\r") else b""
    body = buffer[: len(buffer) - len(tail)]
    return body.replace(b"\r\n", b"\n").replace(b"\r", b"\n") + tail


def parse_block(block: bytes) -> Event | None:
    """Read the lines of one event; a block with no data line is no event."""
    event_type, event_id = "", ""
    data: list[bytes] = []
    for line in block.split(b"\n"):
        if line.startswith(b"data: "):
            data.append(line[6:])
            continue
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name == b"event":
            event_type = value.decode("utf-8", "replace")
        elif name == b"id":
            event_id = value.decode("utf-8", "replace")
    return Event(event_type or "message", event_id, data) if data else None
