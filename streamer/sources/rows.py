"""Rows of a DCGM CSV into the assembler: the hot loop."""

from streamer.assemble import Assembler
from streamer.sources.base import Progress
from streamer.sources.columns import Columns
from streamer.sources.fields import Remembered, parse_metric, parse_moment, parse_value
from streamer.sources.frames import Frame, Frames, stamp_bytes
from streamer.sources.identity import Identities
from streamer.sources.lines import BOM, LineBlock
from streamer.sources.rejects import RowError
from streamer.sources.split import RowSplitter, check_bytes


class RowReader:
    """Hands every good row to the assembler and counts the others by reason.

    ``_last`` is the frame of the row before, ``_stamp`` the bytes of its timestamp and
    ``_moment`` what they mean.
    """

    def __init__(
        self, columns: Columns, header: bytes, assembler: Assembler, progress: Progress
    ) -> None:
        self._columns = columns
        self._header = header.lower()
        self._add = assembler.add
        self._progress = progress
        self._split = RowSplitter(columns.width, columns.labels_raw == columns.width - 1).split
        self._find = Identities(columns).find
        self._moments = Remembered(parse_moment)
        self._metrics = Remembered(parse_metric)
        self._values = Remembered(parse_value)
        self._frames = Frames(columns)
        self._last: Frame | None = None
        self._stamp = b""
        self._moment = 0

    def read(self, block: LineBlock) -> None:
        """Read the rows of a block; blank lines are no rows."""
        clean = block.clean
        rows = 0
        for number, line in enumerate(block.lines, block.first):
            if not line:
                continue
            rows += 1
            try:
                if self._recognise(line):
                    continue
                if not clean:
                    check_bytes(line)
                self._take(line)
            except RowError as error:
                self._reject(line, number, error)
        self._progress.rows_read += rows

    def _recognise(self, line: bytes) -> bool:
        """Take a row that is what followed the row before the last time, and say if it was."""
        last = self._last
        if last is None or (frame := last.next) is None:
            return False
        stamp = self._stamp
        before, after = frame.before, frame.after
        if not (
            line.startswith(stamp) and line.startswith(before, len(stamp)) and line.endswith(after)
        ):
            return False
        try:
            value = self._values[line[len(stamp) + len(before) : len(line) - len(after)]]
        except RowError:
            return False  # what is wrong with it shows when it is split
        self._add(frame.gpu, self._moment, frame.metric, value)
        self._last = frame
        return True

    def _take(self, line: bytes) -> None:
        """Take a row by its fields; raises RowError."""
        fields = self._split(line)
        columns = self._columns
        gpu = self._find(fields, line)
        moment = self._moments[fields[columns.timestamp]]
        metric = self._metrics[fields[columns.metric]]
        self._add(gpu, moment, metric, self._values[fields[columns.value]])
        if self._frames.usable:
            frame = self._frames.learn(line, fields, gpu, metric)
            if self._last is not None:
                self._last.next = frame
            self._last = frame
            self._stamp = line[: stamp_bytes(line, fields[0])]
            self._moment = moment

    def _reject(self, line: bytes, number: int, error: RowError) -> None:
        repeated = line.removeprefix(BOM).lower() == self._header
        self._progress.rejects.add("repeated_header" if repeated else error.reason, number)
