"""A real VictoriaMetrics: started, paused, killed and asked as an operator would."""

import contextlib
import itertools
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.needs import need_programs
from tests.support.ports import free_port
from tests.support.real_server import RealServer, running

PROGRAM = "victoria-metrics"
ANSWER_SECONDS = 30.0
EVERYTHING = '{__name__!=""}'
RETENTION = "-retentionPeriod=100y"

_dbs = itertools.count()


class VictoriaMetrics(RealServer):
    """A single server."""

    name = PROGRAM

    def __init__(self, directory: Path, *flags: str, scheme: str = "http") -> None:
        """``flags`` are added to those that keep points of any age."""
        super().__init__(directory)
        self._flags = flags
        self._address = f"127.0.0.1:{free_port()}"
        self.url = f"{scheme}://{self._address}"

    def command(self) -> list[str]:
        """See ``RealServer``."""
        command = [PROGRAM, f"-storageDataPath={self._directory}", RETENTION]
        return [*command, f"-httpListenAddr={self._address}", "-loggerLevel=ERROR", *self._flags]

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
            self.url + path, body, timeout=ANSWER_SECONDS, context=trust
        ) as answer:
            return bytes(answer.read())


@contextlib.contextmanager
def running_victoria(
    directory: Path, *flags: str, scheme: str = "http"
) -> Iterator[VictoriaMetrics]:
    """A server of one's own; it is killed at the end."""
    need_programs(PROGRAM)
    with running(VictoriaMetrics(directory, *flags, scheme=scheme)) as server:
        yield server


def victoria_options(server: VictoriaMetrics, db: str) -> dict[str, Any]:
    """The options of a store in a server."""
    return {"victoriametrics_url": server.url, "victoriametrics_db": db}


def new_db() -> str:
    """A name that no test of this process has used."""
    return f"db-{next(_dbs)}"
