"""Rows of a long CSV into the assembler: the hot loop."""

from functools import partial

from common.models import MAX_METRICS, Gpu
from streamer.assemble import Assembler, KnownGpu
from streamer.sources.base import Progress
from streamer.sources.columns import Columns
from streamer.sources.fields import (
    Remembered,
    parse_metric,
    parse_moment,
    parse_value,
    parse_value_with_comma,
)
from streamer.sources.frames import Frame, Frames, stamp_bytes
from streamer.sources.identity import Identities
from streamer.sources.layout import CsvSettings, Layout
from streamer.sources.lines import LineBlock
from streamer.sources.rejects import RowError
from streamer.sources.split import RowSplitter, check_bytes


class RowReader:
    """Hands every good row to the assembler and counts the others by reason.

    ``_last`` is the frame of the row before, ``_stamp`` the bytes of its timestamp and
    ``_moment`` what they mean.
    """

    def __init__(
        self,
        layout: Layout,
        columns: Columns,
        settings: CsvSettings,
        assembler: Assembler,
        progress: Progress,
    ) -> None:
        self._columns = columns
        self._header = layout.header.lower()
        self._add = assembler.add
        self._samples = assembler.open
        self._progress = progress
        raw_last = columns.labels_raw == columns.width - 1
        self._split = RowSplitter(columns.width, raw_last, columns.delimiter).split
        self._find = Identities(columns, layout.hostname).find
        self._moments = Remembered(partial(parse_moment, zone=settings.zone))
        self._metrics = Remembered(parse_metric)
        comma = columns.delimiter == b";"
        self._values = Remembered(parse_value_with_comma if comma else parse_value)
        self._frames = Frames(columns)
        self._last = nowhere()
        self._stamp = b""
        self._moment = 0

    def read(self, block: LineBlock) -> None:
        """Read the rows of a block; blank lines are no rows.

        A row that is what followed the row before the last time is taken here, without a call;
        this loop is where the time of a whole streamer goes.
        """
        values, samples, add = self._values, self._samples, self._add
        last, stamp, moment = self._last, self._stamp, self._moment
        begin, blank = len(stamp), 0
        for number, line in enumerate(block.lines, block.first):
            frame = last.next
            if (
                frame is not None
                and line.startswith(stamp)
                and line.startswith(frame.before, begin)
                and line.endswith(frame.after)
                and (value := values.get(line[begin + frame.head : frame.end])) is not None
            ):
                sample = samples.get(frame.gpu_id)
                if sample is None or sample.timestamp != moment:
                    add(frame.gpu, moment, frame.metric, value)
                else:
                    metrics = sample.metrics
                    if frame.metric in metrics or len(metrics) == MAX_METRICS:
                        add(frame.gpu, moment, frame.metric, value)
                    else:
                        metrics[frame.metric] = value
                last = frame
            elif line:
                self._last = last
                self._take_new(line, number, block.clean)
                last, stamp, moment = self._last, self._stamp, self._moment
                begin = len(stamp)
            else:
                blank += 1
        self._last = last
        rows = len(block.lines) - blank
        self._progress.rows_read += rows
        self._progress.values_read += rows

    def _take_new(self, line: bytes, number: int, clean: bool) -> None:
        """Take a row that is not known by all its bytes."""
        try:
            if self._recognise(line):
                return
            if not clean:
                check_bytes(line)
            self._take(line)
        except RowError as error:
            self._reject(line, number, error)

    def _recognise(self, line: bytes) -> bool:
        """Take the row that was expected, with a value not seen before, and say if it was."""
        frame, stamp = self._last.next, self._stamp
        if frame is None or not (
            line.startswith(stamp)
            and line.startswith(frame.before, len(stamp))
            and line.endswith(frame.after)
        ):
            return False
        try:
            value = self._values[line[len(stamp) + frame.head : frame.end]]
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
            self._last.next = frame
            self._last = frame or nowhere()
            self._stamp = line[: stamp_bytes(line, fields[0])]
            self._moment = moment

    def _reject(self, line: bytes, number: int, error: RowError) -> None:
        repeated = line.lower() == self._header
        self._progress.rejects.add("repeated_header" if repeated else error.reason, number)


def nowhere() -> Frame:
    """What stands before a row when the one before it is not known."""
    return Frame(b"", b"", KnownGpu("", Gpu()), "")
