"""Texts read as the files they would be."""

import io
from typing import Any

from common.models import Sample
from streamer.sources.arrival import FileTime
from streamer.sources.base import Progress
from streamer.sources.content import HEAD_BYTES, unwrap
from streamer.sources.layout import CsvSettings, Layout
from streamer.sources.reading import Reading, Way
from streamer.sources.understand import understand
from tests.streamer.fakes import WALL

MODIFIED_MS = int(WALL) * 1000
HOST = "node7"


def begin(text: bytes, **settings: Any) -> Reading:
    """Understand a text as a file `node7.csv` that was written at ``WALL``."""
    given = CsvSettings(**settings)
    inner, start, _ = unwrap(io.BytesIO(text))
    inner.seek(start)
    head = inner.read(HEAD_BYTES)
    layout = understand(head, start, HOST, given)
    return Reading(inner, Way(layout, given, FileTime(MODIFIED_MS)), head, Progress())


def layout_of(text: str | bytes, **settings: Any) -> Layout:
    return begin(text.encode() if isinstance(text, str) else text, **settings).way.layout


def read_bytes(text: bytes, **settings: Any) -> tuple[list[Sample], Progress]:
    reading = begin(text, **settings)
    samples: list[Sample] = []
    while (chunk := reading.next_chunk()) is not None:
        samples += chunk
    return samples + reading.last_chunk(), reading.progress


def read_text(text: str, **settings: Any) -> tuple[list[Sample], Progress]:
    return read_bytes(text.encode(), **settings)
