"""A real VictoriaMetrics, which takes InfluxDB's line protocol too."""

import contextlib
import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.support.broker import free_port
from tests.support.needs import need_programs

PROGRAM = "victoria-metrics"
START_SECONDS = 30.0
POLL_SECONDS = 0.05
EVERYTHING = urllib.parse.quote('{__name__!=""}')


class VictoriaMetrics:
    """A server that keeps points of any age."""

    def __init__(self, url: str) -> None:
        self._url = url

    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            self._ask("/health")
        except OSError:
            return False
        return True

    def write(self, lines: bytes) -> None:
        """Store lines with times in milliseconds, as InfluxDB 2 would."""
        self._ask("/api/v2/write?precision=ms", lines)

    def count(self) -> dict[str, int]:
        """How many points each name has, of all series together."""
        self._ask("/internal/force_flush")
        found: dict[str, int] = {}
        for line in self._ask(f"/api/v1/export?match[]={EVERYTHING}").splitlines():
            series = json.loads(line)
            name = series["metric"]["__name__"]
            found[name] = found.get(name, 0) + len(series["values"])
        return found

    def _ask(self, path: str, body: bytes | None = None) -> bytes:
        with urllib.request.urlopen(self._url + path, body, timeout=START_SECONDS) as answer:
            return bytes(answer.read())


@contextlib.contextmanager
def running_victoria(directory: Path) -> Iterator[VictoriaMetrics]:
    """A server of one's own; it is killed at the end."""
    need_programs(PROGRAM)
    port = free_port()
    command = [PROGRAM, f"-storageDataPath={directory}", "-retentionPeriod=100y"]
    command += [f"-httpListenAddr=127.0.0.1:{port}", "-loggerLevel=ERROR"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        server = VictoriaMetrics(f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + START_SECONDS
        while not server.is_ready():
            assert process.poll() is None, "VictoriaMetrics ended at its start"
            assert time.monotonic() < deadline, "VictoriaMetrics is not ready"
            time.sleep(POLL_SECONDS)
        yield server
    finally:
        process.kill()
        process.wait()
