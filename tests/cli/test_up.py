"""`telemetry up`: the stack a person starts first."""

import contextlib
import json
import re
import stat
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import Started, children_of, started, telemetry
from tests.support.ports import free_port

OWNER_ONLY = 0o600


@contextlib.contextmanager
def serving(home: Path, *source: str) -> Iterator[Started]:
    """A stack that is up, with its data in ``home``."""
    arguments = ["up", *source, "--data-dir", str(home / "data")]
    ports = ["--api-port", str(free_port()), "--proxy-port", str(free_port())]
    with started(home, *arguments, *ports) as up:
        up.until(lambda: "Ctrl-C stops" in up.output())
        yield up


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the stack that tests share lives."""
    return tmp_path_factory.mktemp("up")


@pytest.fixture(scope="module")
def stack(home: Path, small_fleet: Path) -> Iterator[Started]:
    """A stack that has stored a file and goes on serving; no test changes that."""
    with serving(home, "--csv", str(small_fleet)) as up:
        yield up


def get(url: str, **headers: str) -> bytes:
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return bytes(answer.read())


def address(stack: Started, name: str) -> str:
    found = re.search(rf"^{name} +(http://\S+)", stack.output(), re.M)
    assert found is not None
    return found[1]


def test_the_query_it_prints_returns_telemetry(stack: Started) -> None:
    command = next(line for line in stack.output().splitlines() if "curl -H" in line)
    answer = subprocess.run(command, shell=True, capture_output=True, check=True, timeout=30)
    assert len(json.loads(answer.stdout)["points"]) == 5


def test_curl_alone_produces_consumes_and_acks(stack: Started, home: Path) -> None:
    token = (home / "data/secrets/service-token").read_text().strip()
    queue, secret = address(stack, "queue"), f"Authorization: Bearer {token}"

    def curl(*arguments: str) -> str:
        done = subprocess.run(
            ["curl", "-sN", *arguments], capture_output=True, text=True, check=False, timeout=30
        )
        return done.stdout

    assert '"offset":0' in curl("-H", secret, f"{queue}/produce?topic=demo", "-d", "hello")
    event = curl("-H", secret, "--max-time", "2", f"{queue}/consume?topic=demo&group=me")
    assert '"payload":"hello"' in event
    assert "UNAUTHORIZED" in curl(f"{queue}/produce?topic=demo", "-d", "hello")


def test_every_metric_on_the_page_is_exposed_and_the_other_way_round(stack: Started) -> None:
    root = Path(__file__).parents[2]
    named = set(re.findall(r"^\| `([a-z_]+)`", (root / "docs/metrics.md").read_text(), re.M))
    exposed: set[str] = set()
    for pid in children_of(stack.process.pid):
        environment = Path(f"/proc/{pid}/environ").read_text().split("\0")
        port = next(entry for entry in environment if entry.startswith("PORT=")).removeprefix(
            "PORT="
        )
        text = get(f"http://127.0.0.1:{port}/metrics").decode()
        exposed |= set(re.findall(r"^# TYPE ([a-z_]+) (?:counter|gauge|histogram)", text, re.M))
    own = {name for name in named if name.startswith("streamer_")}  # it has ended by now
    assert {name for name in exposed if not name.endswith("_created")} == named - own


def test_secrets_are_for_their_owner_alone(stack: Started, home: Path) -> None:
    for path in (home / "data/secrets").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == OWNER_ONLY, path
    key = (home / "data/secrets/api-key").read_text().strip()
    assert stack.output().count(key) == 1
    for log in (home / "data/logs").iterdir():
        assert key not in log.read_text()


def test_it_stops_without_a_traceback_and_starts_again_without_repair(
    tmp_path: Path, small_fleet: Path
) -> None:
    with serving(tmp_path, "--csv", str(small_fleet)) as first:
        assert first.end() == 0, first.output()
    with serving(tmp_path, "--gpus", "2") as again:
        assert "shown this once" not in again.output()
        assert again.end() == 0
    for log in (tmp_path / "data/logs").iterdir():
        text = log.read_text()
        assert "Traceback" not in text, log
        assert "torn" not in text, log


def test_a_second_stack_on_the_same_data_is_refused(stack: Started, home: Path) -> None:
    done = telemetry("up", "--gpus", "0", "--data-dir", str(home / "data"))
    assert done.returncode == 3
    assert "another stack" in done.stdout


def test_a_port_that_another_stack_has_is_said_at_once(stack: Started, tmp_path: Path) -> None:
    """Though that one answers there, and says that it is ready."""
    port = address(stack, "queue").rpartition(":")[2]
    done = telemetry(
        "up", "--gpus", "0", "--data-dir", str(tmp_path / "data"), "--proxy-port", port
    )
    assert done.returncode == 3
    assert f"proxy cannot have port {port}: address already in use" in done.stdout
