"""`--dry-run`: what is understood of a file, with nothing sent and no queue."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from common.clock import SystemClock, to_rfc3339
from common.models import Sample
from common.options import EXIT_BAD_OPTIONS
from streamer.manifest import Manifest
from streamer.sources.arrival import FileTime
from streamer.sources.base import Progress, SourceError
from streamer.sources.content import Content, naming
from streamer.sources.csv_files import begin_file
from streamer.sources.csv_options import CsvOptions
from streamer.sources.csv_stdin import NAME, STDIN, begin_stdin
from streamer.sources.layout import Column, Layout
from streamer.sources.paths import STDIN as DASH
from streamer.sources.paths import expand
from streamer.sources.pipe import Pipe
from streamer.sources.reading import Reading

SAMPLES_SHOWN = 3
LINES_SHOWN = 10
NAMES_SHOWN = 5


class Findings:
    """What is read of one file."""

    def __init__(self) -> None:
        self.progress = Progress()
        self.manifest = Manifest()
        self.first: list[Sample] = []

    def take(self, samples: list[Sample]) -> None:
        """Count samples, and keep the first of them."""
        self.first += samples[: SAMPLES_SHOWN - len(self.first)]
        self.manifest.add(samples)


def dry_run(flags: Mapping[str, Any]) -> int | None:
    """Write the report and return the exit code, or None when no dry run is asked for.

    It needs the options of the file alone: no token, no queue.
    """
    known = {name: value for name, value in flags.items() if name in CsvOptions.model_fields}
    options = CsvOptions.load(known)
    if not options.dry_run:
        return None
    try:
        for line in report(options):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
    except SourceError as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_BAD_OPTIONS
    return 0


def report(options: CsvOptions) -> Iterator[str]:
    """What is understood of each file, line by line; raises SourceError."""
    if options.csv_path is None:
        raise SourceError("DRY_RUN needs CSV_PATH")
    if options.csv_path == DASH:
        findings = Findings()
        with naming(NAME):
            reading = begin_stdin(Pipe(STDIN), options.settings(), SystemClock(), findings.progress)
            yield from examine(NAME, reading, "", findings)
        return
    for path in expand(options.csv_path):
        with naming(path):
            yield from examine_file(path, options)


def examine_file(path: Path, options: CsvOptions) -> Iterator[str]:
    """What is understood of one file."""
    content = Content(path)
    try:
        findings = Findings()
        reading = begin_file(content, options.settings(), findings.progress)
        wrapping = f", {content.wrapping}" if content.wrapping else ""
        yield from examine(str(path), reading, f"{wrapping}, {content.size:,} bytes", findings)
    finally:
        content.close()


def examine(name: str, reading: Reading, about: str, findings: Findings) -> Iterator[str]:
    """Read to the end and say what was found."""
    layout = reading.way.layout
    yield f"{name}: {layout.format}{about}"
    yield from describe_columns(layout, isinstance(reading.way.untimed, FileTime))
    while (samples := reading.next_chunk()) is not None:
        findings.take(samples)
    findings.take(reading.last_chunk())
    yield from describe_rows(findings)


def describe_columns(layout: Layout, on_disk: bool) -> Iterator[str]:
    """Each column and what it becomes, and what is filled in for those that are not there."""
    width = max(len(column.title) for column in layout.columns)
    for column in layout.columns:
        yield f"  {column.title:<{width}}  {describe_column(column)}".rstrip()
    roles = {(column.role, column.becomes) for column in layout.columns}
    if not any(role == "time" for role, _ in roles):
        when = "the file was written, and a millisecond a line" if on_disk else "it is read"
        yield f"  no time column: a row has the time {when}"
    if not {("identity", "hostname"), ("identity", "uuid")} & roles:
        yield f"  no host column: the host is {layout.hostname} (CSV_HOSTNAME names another)"
    if not any(role == "identity" for role, _ in roles):
        yield "  no column names a GPU: all rows are of GPU 0"


def describe_column(column: Column) -> str:
    """What one column becomes."""
    if column.role == "metric":
        return f"metric {column.becomes}" + (f" in {column.unit}" if column.unit else "")
    return f"{column.role} {column.becomes}" if column.becomes else column.role


def describe_rows(findings: Findings) -> Iterator[str]:
    """The numbers, the first samples, and what was refused."""
    progress, manifest = findings.progress, findings.manifest
    entries = manifest.gpus.values()
    yield (
        f"  {progress.rows_read:,} rows: {manifest.samples:,} samples, {manifest.points:,} points, "
        f"{progress.missing:,} missing values, {progress.duplicates:,} repeated"
    )
    if entries:
        last = max(entry.last for entry in entries)
        yield f"  from {to_rfc3339(min(e.first for e in entries))} to {to_rfc3339(last)}"
    yield f"  {len(manifest.gpus):,} GPUs{some(manifest.gpus)}"
    yield f"  {len(manifest.hosts):,} hosts{some(sorted(manifest.hosts))}"
    for sample in findings.first:
        values = ", ".join(f"{name} {value:.10g}" for name, value in sample.metrics.items())
        yield f"  sample {sample.gpu.id} at {to_rfc3339(sample.timestamp)}: {values}"
    yield from describe_rejects(progress)


def describe_rejects(progress: Progress) -> Iterator[str]:
    """What was refused: why, how many, and where."""
    if not progress.rejects.total:
        yield "  nothing rejected"
    for reason, found in progress.rejects.report().items():
        lines = [str(number) for number in found["lines"][:LINES_SHOWN]]
        more = ", ..." if found["count"] > len(lines) else ""
        yield f"  rejected {found['count']:,} {reason}: line {', '.join(lines)}{more}"


def some(names: Any) -> str:
    """The first of some names, in brackets."""
    shown = ", ".join(list(names)[:NAMES_SHOWN])
    return f" ({shown}{', ...' if len(names) > NAMES_SHOWN else ''})" if shown else ""
