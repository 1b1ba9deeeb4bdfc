"""Changing the files of the store `jsonl`. The caller holds the directory's lock."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from common import logs
from common.journal.files import DiskFiles
from common.models import Sample
from common.storage.inventory import Member
from common.storage.jsonl.files import (
    header_line,
    key_of,
    path_of,
    read_header,
    read_lines,
    read_sample,
    sample_line,
)
from common.storage.jsonl.gpu import JsonlGpu, Segment

log = logs.get("storage.jsonl")

FILES_AT_ONCE = 100
UNFINISHED = ".unfinished"

_FILES = DiskFiles()


def append(
    directory: Path,
    gpus: Mapping[str, JsonlGpu],
    by_id: Mapping[str, Sequence[Sample]],
    file_bytes: int,
) -> None:
    """Append samples to their GPUs' files; they are durable when it returns."""
    ids, begun = iter(by_id), False
    while some := list(islice(ids, FILES_AT_ONCE)):
        with ExitStack() as opened:
            files = []
            for gpu_id in some:
                path, before = _place(directory, gpus.get(key_of(gpu_id)), gpu_id, file_bytes)
                begun = begun or bool(before)
                file = _FILES.append_to(path)
                opened.callback(file.close)
                file.write([*before, *map(sample_line, by_id[gpu_id])])
                files.append(file)
            for file in files:
                file.sync()
    if begun:
        _FILES.sync_directory(directory)


def _place(
    directory: Path, gpu: JsonlGpu | None, gpu_id: str, file_bytes: int
) -> tuple[Path, list[bytes]]:
    """Return the file that takes a GPU's next lines, and what must stand before them."""
    known = None if gpu is None else gpu.member
    if gpu is None or not gpu.segments:
        return path_of(directory, key_of(gpu_id), 1), [header_line(gpu_id, known)]
    last = gpu.segments[-1]
    if last.read >= file_bytes:
        return path_of(directory, key_of(gpu_id), last.number + 1), [header_line(gpu_id, known)]
    if last.path.stat().st_size > last.read:
        _cut(last)
    return last.path, [] if last.read else [header_line(gpu_id, known)]


def _cut(segment: Segment) -> None:
    """Take away the begin of a line that was never finished."""
    file = _FILES.append_to(segment.path)
    try:
        file.truncate(segment.read)
    finally:
        file.close()


def rotate_out(gpus: Mapping[str, JsonlGpu], keys: Iterable[str], files: int) -> bool:
    """Delete a GPU's oldest files above the number that is kept; True when there were any."""
    gone = [segment for key in keys for segment in gpus[key].segments[:-files]]
    for segment in gone:
        segment.path.unlink()
        log.info("oldest file deleted", file=segment.path.name, newest_ms=segment.newest)
    return bool(gone)


def expire_gpu(gpu: JsonlGpu, before_ms: int) -> None:
    """Rewrite a GPU's files without what is older; those with nothing else go, but for the last."""
    for segment in gpu.segments:
        if segment.oldest is None or segment.newest is None or segment.oldest >= before_ms:
            continue
        if segment.newest < before_ms and segment is not gpu.segments[-1]:
            segment.path.unlink()
        else:
            _rewrite(segment, before_ms)


def _rewrite(segment: Segment, before_ms: int) -> None:
    """Leave out old lines; the header takes in what they said of the GPU."""
    lines, _ = read_lines(segment.path, 0)
    header = read_header(segment.path, lines[0])
    known, kept = header.known, []
    for line in lines[1:]:
        sample = read_sample(segment.path, line)
        if sample.timestamp >= before_ms:
            kept.append(line + b"\n")
            continue
        if known is None:
            known = Member(header.id, sample.gpu, sample.timestamp, sample.timestamp, {})
        known.see(sample.gpu, sample.timestamp)
        known.metrics.update(sample.metrics)
    unfinished = segment.path.with_suffix(UNFINISHED)
    unfinished.unlink(missing_ok=True)
    file = _FILES.append_to(unfinished)
    try:
        file.write([header_line(header.id, known), *kept])
        file.sync()
    finally:
        file.close()
    _FILES.replace(unfinished, segment.path)
    _FILES.sync_directory(segment.path.parent)
