"""Files whose fsyncs are timed."""

import time
from collections.abc import Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, Histogram

from common.journal.files import AppendFile, Files

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class MeteredFiles:
    """``Files`` as they are, but for how long each fsync of a log or state file takes."""

    def __init__(self, files: Files, registry: CollectorRegistry) -> None:
        self._files = files
        self._duration = Histogram(
            "fsync_duration_seconds",
            "Time of an fsync of a log or state file.",
            buckets=_BUCKETS,
            registry=registry,
        )
        self._free = Gauge(
            "disk_free_bytes",
            "Free bytes of the data directory's file system, as of the last commit.",
            registry=registry,
        )
        self.names = files.names
        self.size = files.size
        self.read = files.read
        self.replace = files.replace
        self.remove = files.remove
        self.remove_tree = files.remove_tree
        self.sync_directory = files.sync_directory

    def free(self, directory: Path) -> int:
        """See ``Files``; what was found is what the gauge says until the next time."""
        found = self._files.free(directory)
        self._free.set(found)
        return found

    def append_to(self, path: Path) -> AppendFile:
        """See ``Files``."""
        return MeteredFile(self._files.append_to(path), self._duration)


class MeteredFile:
    """An ``AppendFile`` of ``MeteredFiles``."""

    def __init__(self, file: AppendFile, duration: Histogram) -> None:
        self._file = file
        self._duration = duration
        self.truncate = file.truncate
        self.close = file.close

    def write(self, buffers: Sequence[bytes]) -> None:
        """See ``AppendFile``."""
        self._file.write(buffers)

    def sync(self) -> None:
        """See ``AppendFile``."""
        began = time.perf_counter()
        self._file.sync()
        self._duration.observe(time.perf_counter() - began)
