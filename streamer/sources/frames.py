"""Rows seen before, to recognise the next one without splitting it.

An export repeats the same rows at each moment, in the same order, with other values. A row is
therefore compared with the one that followed its predecessor the last time: when all bytes around
the timestamp and the value are equal, so is what they mean.
"""

from collections.abc import Sequence

from streamer.assemble import KnownGpu
from streamer.sources.columns import Columns
from streamer.sources.split import QUOTE

MAX_FRAMES = 1 << 16
MAX_FRAME_BYTES = 24 << 20
MAX_STRANGERS = 4 * MAX_FRAMES


class Frame:
    """The bytes of a row between timestamp and value and those behind the value.

    ``head`` is how many bytes stand before the value without the timestamp, and ``end`` where it
    ends, counted from the end of the row.
    """

    __slots__ = ("after", "before", "end", "gpu", "gpu_id", "head", "metric", "next")

    def __init__(self, before: bytes, after: bytes, gpu: KnownGpu, metric: str) -> None:
        self.before = before
        self.after = after
        self.head = len(before)
        self.end = -len(after) or None
        self.gpu = gpu
        self.gpu_id = gpu.id
        self.metric = metric
        self.next: Frame | None = None


class Frames:
    """Finds frames by what stands before the value; holds at most ``MAX_FRAMES``, of
    ``MAX_FRAME_BYTES`` in all.

    When full it keeps what it has, which serves a part of a larger fleet, until so many rows were
    strangers (``MAX_STRANGERS``) that it may hold the wrong ones; then it begins anew. It takes
    part only where the timestamp is the first column and the value comes later.
    """

    def __init__(self, columns: Columns) -> None:
        self.usable = columns.timestamp == 0 < columns.value
        self._value = columns.value
        self._delimiter = columns.delimiter
        self._frames: dict[bytes, Frame] = {}
        self._bytes = 0
        self._strangers = 0

    def learn(
        self, line: bytes, fields: Sequence[bytes], gpu: KnownGpu, metric: str
    ) -> Frame | None:
        """Return the frame of a row that was split into ``fields``, if it can have one."""
        cut = cut_row(line, fields, self._value, self._delimiter)
        if cut is None:
            return None
        before, after = cut
        frame = self._frames.get(before)
        if frame is None or frame.after != after or frame.gpu is not gpu:
            frame = self._remember(Frame(before, after, gpu, metric))
        return frame

    def _remember(self, frame: Frame) -> Frame | None:
        full = len(self._frames) >= MAX_FRAMES or self._bytes >= MAX_FRAME_BYTES
        if full and (frame.before not in self._frames or self._bytes >= MAX_FRAME_BYTES):
            self._strangers += 1
            if self._strangers < MAX_STRANGERS:
                return None
            self._frames.clear()
            self._bytes = 0
            self._strangers = 0
        self._frames[frame.before] = frame
        self._bytes += len(frame.before) + len(frame.after)
        return frame


def stamp_bytes(line: bytes, timestamp: bytes) -> int:
    """Return how many bytes of a row its timestamp takes, with an opening quote."""
    return len(timestamp) + (line[:1] == QUOTE)


def cut_row(
    line: bytes, fields: Sequence[bytes], value: int, delimiter: bytes
) -> tuple[bytes, bytes] | None:
    """Return the bytes between timestamp and value, and those behind the value.

    None unless every field up to the value is quoted, or none is, and none of them holds a quote:
    then another timestamp and number in their place mean just that.
    """
    quoted = line[:1] == QUOTE
    separator = QUOTE + delimiter + QUOTE if quoted else delimiter
    head = (QUOTE if quoted else b"") + separator.join(fields[:value]) + separator
    if head.count(QUOTE) != (2 * value + 1 if quoted else 0):
        return None
    end = len(head) + len(fields[value])
    if not line.startswith(head) or line[len(head) : end] != fields[value]:
        return None
    if line[end : end + 1] not in ((QUOTE,) if quoted else (delimiter, b"")):
        return None
    return head[stamp_bytes(line, fields[0]) :], line[end:]
