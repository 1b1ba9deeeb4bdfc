"""A real VictoriaMetrics: started, paused, killed and asked as an operator would."""

import contextlib
import itertools
import json
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.broker import free_port
from tests.support.needs import need_programs

PROGRAM = "victoria-metrics"
START_SECONDS = 30.0
POLL_SECONDS = 0.02
EVERYTHING = '{__name__!=""}'
RETENTION = "-retentionPeriod=100y"

_dbs = itertools.count()


class VictoriaMetrics:
    """A server on a port and a directory that it keeps over its restarts."""

    def __init__(self, directory: Path, *flags: str, scheme: str = "http") -> None:
        """``flags`` are added to those that keep points of any age."""
        self._directory = directory
        self._flags = flags
        self._address = f"127.0.0.1:{free_port()}"
        self.url = f"{scheme}://{self._address}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and return when it answers."""
        command = [PROGRAM, f"-storageDataPath={self._directory}", RETENTION]
        command += [f"-httpListenAddr={self._address}", "-loggerLevel=ERROR", *self._flags]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(command, stdout=quiet, stderr=quiet)
        deadline = time.monotonic() + START_SECONDS
        while not self.is_ready():
            assert self._process.poll() is None, "VictoriaMetrics ended at its start"
            assert time.monotonic() < deadline, "VictoriaMetrics is not ready"
            time.sleep(POLL_SECONDS)

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """SIGSTOP: it accepts and says nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def is_ready(self) -> bool:
        """Whether it answers; what it says of credentials is an answer."""
        try:
            self.ask("/health")
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def write(self, lines: bytes) -> None:
        """Store lines with times in milliseconds, as InfluxDB 2 would."""
        self.ask("/api/v2/write?precision=ms", lines)

    def series(self, selector: str) -> list[dict[str, Any]]:
        """All points of some series, as they lie there."""
        self.ask("/internal/force_flush")
        query = urllib.parse.urlencode({"match[]": selector})
        lines = self.ask(f"/api/v1/export?{query}").splitlines()
        return [json.loads(line) for line in lines]

    def count(self, selector: str = EVERYTHING) -> dict[str, int]:
        """How many points each name has, of some series together."""
        found: dict[str, int] = {}
        for series in self.series(selector):
            name = series["metric"]["__name__"]
            found[name] = found.get(name, 0) + len(series["values"])
        return found

    def question(self, text: str, at_seconds: float) -> list[dict[str, Any]]:
        """What it answers to a question in MetricsQL."""
        given = {"query": text, "time": str(at_seconds), "nocache": "1"}
        answer = self.ask(f"/api/v1/query?{urllib.parse.urlencode(given)}")
        found: list[dict[str, Any]] = json.loads(answer)["data"]["result"]
        return found

    def ask(self, path: str, body: bytes | None = None) -> bytes:
        """A request as anybody may send it."""
        trust = ssl._create_unverified_context() if self.url.startswith("https") else None
        with urllib.request.urlopen(
            self.url + path, body, timeout=START_SECONDS, context=trust
        ) as answer:
            return bytes(answer.read())


@contextlib.contextmanager
def running_victoria(
    directory: Path, *flags: str, scheme: str = "http"
) -> Iterator[VictoriaMetrics]:
    """A server of one's own; it is killed at the end."""
    need_programs(PROGRAM)
    server = VictoriaMetrics(directory, *flags, scheme=scheme)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def victoria_options(server: VictoriaMetrics, db: str) -> dict[str, Any]:
    """The options of a store in a server."""
    return {"victoriametrics_url": server.url, "victoriametrics_db": db}


def new_db() -> str:
    """A name that no test of this process has used."""
    return f"db-{next(_dbs)}"
