"""Event streams (HTML Living Standard, section 9.2): written and read."""

from typing import NamedTuple

MEDIA_TYPE = "text/event-stream"
HEARTBEAT = b": still here\n\n"
STREAM_HEADERS: list[tuple[bytes, bytes]] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
_BOM = b"\xef\xbb\xbf"
_DATA = b"data: "
_ID = b"id: "


class Event(NamedTuple):
    """One event: its type, its id, and its data lines."""

    type: str
    id: str
    data: list[bytes]


class StreamTooLongError(Exception):
    """One event is larger than the reader is willing to hold."""


def encode(event_type: str, event_id: str, *data: bytes) -> bytes:
    """One event. ``data`` holds no CR; each line of each part becomes a data line.

    A part is copied once, and once more when it has several lines.
    """
    if "\n" in event_id or "\r" in event_id or "\0" in event_id:
        raise ValueError("an event id holds no line break and no NUL")
    pieces = [b"event: %b\nid: %b\n" % (event_type.encode(), event_id.encode())]
    for part in data:
        pieces += (_DATA, part.replace(b"\n", b"\n" + _DATA), b"\n")
    pieces.append(b"\n")
    return b"".join(pieces)


class Parser:
    """Turns chunks of a stream into events, wherever the chunks are cut.

    Holds at most ``limit_bytes`` of an event that has not ended, and one chunk. A data line is
    copied once, out of the chunk that it came in.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._unended = 0
        self._cut_line: list[bytes] = []
        self._after_cr = False
        self._begun = False
        self._type = self._id = ""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[Event]:
        """Return the events that ended within ``chunk``."""
        if not chunk:
            return []
        if self._after_cr or b"\r" in chunk:
            chunk = self._with_plain_ends(chunk)
        events: list[Event] = []
        start = 0
        while (stop := chunk.find(b"\n", start)) >= 0:
            if self._cut_line or not self._begun:
                self._take(self._whole(chunk[start:stop]), events)
            elif chunk.startswith(_DATA, start):
                self._data.append(chunk[start + len(_DATA) : stop])
            elif chunk.startswith(_ID, start):
                self._id = chunk[start + len(_ID) : stop].decode("utf-8", "replace")
            else:
                self._take(chunk[start:stop], events)
            start = stop + 1
        if start < len(chunk):
            self._cut_line.append(chunk[start:] if start else chunk)
        self._check_size(len(chunk) - start if events else self._unended + len(chunk))
        return events

    def _with_plain_ends(self, chunk: bytes) -> bytes:
        """Make every line end an LF; an LF after the CR that ended the last chunk is its half."""
        if self._after_cr:
            chunk = chunk.removeprefix(b"\n")
        self._after_cr = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _whole(self, end: bytes) -> bytes:
        """The line that ends with these bytes."""
        line = b"".join([*self._cut_line, end]) if self._cut_line else end
        self._cut_line.clear()
        if not self._begun:
            line, self._begun = line.removeprefix(_BOM), True
        return line

    def _take(self, line: bytes, events: list[Event]) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            self._end(events)
        elif name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._type = value.decode("utf-8", "replace")
        elif name == b"id":
            self._id = value.decode("utf-8", "replace")

    def _end(self, events: list[Event]) -> None:
        """An empty line ends an event; one without data is none."""
        if self._data:
            events.append(Event(self._type or "message", self._id, self._data))
            self._data = []
        self._type = self._id = ""

    def _check_size(self, unended: int) -> None:
        self._unended = unended
        if unended > self._limit_bytes:
            raise StreamTooLongError(f"an event is over {self._limit_bytes} bytes")
