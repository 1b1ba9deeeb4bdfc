"""What the streamer reads."""

from pathlib import Path

from cli.doctor.finding import Ward
from streamer.options import StreamerOptions
from streamer.sources.base import SourceError
from streamer.sources.content import Content, naming
from streamer.sources.paths import STDIN, expand, plain_stem
from streamer.sources.understand import understand


def check_source(ward: Ward, options: StreamerOptions) -> None:
    """Whether its files are there and can be understood."""
    if options.csv_path is None or options.csv_path == STDIN:
        return
    try:
        for path in expand(options.csv_path):
            ward.ok("source", f"CSV_PATH: {path}: {format_of(path, options)}")
    except SourceError as error:
        ward.fail(
            "source",
            f"CSV_PATH: {error}",
            f"telemetry streamer --dry-run --csv {options.csv_path} shows what is understood",
        )


def format_of(path: Path, options: StreamerOptions) -> str:
    """What a file is; raises SourceError."""
    with naming(path):
        content = Content(path)
        try:
            name = plain_stem(content.path.name)
            return understand(content.head, content.start, name, options.settings()).format
        finally:
            content.close()
