"""A whole stack that runs under load, and a real Prometheus that scrapes it."""

import contextlib
import json
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.cli.command import Started, children_of, started
from tests.observed.pages import ALERTS
from tests.support.ports import free_port

SERVICES = ("broker", "proxy", "collector", "api", "streamer")
LIMIT_SECONDS = 60.0
LOOK_SECONDS = 0.1


class LiveStack:
    """The processes of ``telemetry up``, with a feed."""

    def __init__(self, started: Started, directory: Path) -> None:
        self._started = started
        self._secrets = directory / "data/secrets"

    def address(self, name: str) -> str:
        """Where the API, or the queue, is."""
        found = re.search(rf"^{name} +(http://\S+)", self._started.output(), re.M)
        assert found is not None
        return found[1]

    def targets(self) -> dict[str, list[str]]:
        """Addresses of every service's processes."""
        found: dict[str, list[str]] = {name: [] for name in SERVICES}
        for pid in children_of(self._started.process.pid):
            service = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[3]
            environment = Path(f"/proc/{pid}/environ").read_text().split("\0")
            (port,) = [row[5:] for row in environment if row.startswith("PORT=")]
            found[service].append(f"127.0.0.1:{port}")
        return found

    def exposition(self, service: str) -> str:
        """What one process of a service shows."""
        return get(f"http://{self.targets()[service][0]}/metrics").decode()

    def ask(self, path: str) -> int:
        """Ask the API with its key; return the status."""
        key = (self._secrets / "api-key").read_text().strip()
        return status_of(self.address("API") + path, {"X-API-Key": key})

    def queue(self, path: str) -> int:
        """Ask the proxy with the token; return the status."""
        token = (self._secrets / "service-token").read_text().strip()
        return status_of(self.address("queue") + path, {"Authorization": f"Bearer {token}"})


@contextlib.contextmanager
def live_stack(directory: Path) -> Iterator[LiveStack]:
    """A stack that stores synthetic GPUs, and whose API is asked now and then."""
    arguments = ["--gpus", "8", "--data-dir", str(directory / "data")]
    ports = ["--api-port", str(free_port()), "--proxy-port", str(free_port())]
    with started(directory, "up", *arguments, *ports) as up:
        up.until(lambda: "Ctrl-C stops" in up.output())
        yield LiveStack(up, directory)


class Prometheus:
    """The real one, asked over its API."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ready(self) -> bool:
        """Whether it answers."""
        try:
            return status_of(f"{self._url}/-/ready", {}) == 200
        except OSError:
            return False

    def query(self, text: str) -> list[Any]:
        """The series an instant query finds; fails when it does not parse."""
        found: list[Any] = self._get("query", query=text)["result"]
        return found

    def alerting_rules(self) -> list[Any]:
        """Every rule it has evaluated, with its health."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def _get(self, path: str, **given: str) -> Any:
        text = urllib.parse.urlencode(given)
        answer = json.loads(get(f"{self._url}/api/v1/{path}?{text}"))
        assert answer["status"] == "success", answer
        return answer["data"]


@contextlib.contextmanager
def prometheus(directory: Path, targets: dict[str, list[str]]) -> Iterator[Prometheus]:
    """Prometheus over these targets, a job a service, with the alerts loaded."""
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(ALERTS)],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": addresses}]}
            for job, addresses in targets.items()
        ],
    }
    path = directory / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    port = free_port()
    command = [
        "prometheus",
        f"--config.file={path}",
        f"--storage.tsdb.path={directory / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        server = Prometheus(f"http://127.0.0.1:{port}")
        until(server.ready)
        yield server
    finally:
        process.terminate()
        process.wait(LIMIT_SECONDS)


def until(holds: Callable[[], bool], seconds: float = LIMIT_SECONDS) -> None:
    """Look until something is so."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(LOOK_SECONDS)


def get(url: str) -> bytes:
    """The body of a GET; an error answer is returned as any other."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        return error.read()


def status_of(url: str, headers: dict[str, str]) -> int:
    """The status of a GET."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as it:
            it.read()
            return int(it.status)
    except urllib.error.HTTPError as error:
        return error.code
