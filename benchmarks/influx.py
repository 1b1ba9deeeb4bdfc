"""An InfluxDB 2 server for measurements: ``make servers`` gets it."""

import contextlib
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.ours import free_port
from benchmarks.peers import CACHE, QUIET
from cli.bench.drive import Server

ORG, BUCKET, TOKEN = "bench", "telemetry", "a-token-for-benchmarks-only"
START_SECONDS = 60.0
LOOK_SECONDS = 0.1


def influxd() -> str | None:
    """The program, if it is on this machine."""
    built = CACHE / "influxd" / "influxd"
    return str(built) if os.access(built, os.X_OK) else shutil.which("influxd")


@contextlib.contextmanager
def start_influxd(directory: Path) -> Iterator[Server]:
    """A server with an organisation, and a token that may do anything there."""
    program, port = influxd(), free_port()
    if program is None:
        raise FileNotFoundError("influxd is not on this machine; make servers gets it")
    command = [program, "--reporting-disabled", "--ui-disabled", "--log-level=error"]
    home = directory / "influxd"
    home.mkdir()
    command += [f"--{place}-path={home / place}" for place in ("bolt", "engine", "sqlite")]
    command.append(f"--http-bind-address=127.0.0.1:{port}")
    process = subprocess.Popen(command, **QUIET)  # type: ignore[call-overload]
    try:
        server = Server(f"http://127.0.0.1:{port}", (process.pid,))
        set_up(server)
        yield server
    finally:
        process.terminate()
        process.wait()


def set_up(server: Server) -> None:
    """Wait for it, then make the organisation."""
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            ask(server, "GET", "/ready")
            break
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(LOOK_SECONDS)
    who = {"username": "bench", "password": TOKEN, "token": TOKEN, "org": ORG, "bucket": "first"}
    ask(server, "POST", "/api/v2/setup", who)


def ask(server: Server, method: str, path: str, body: Any = None) -> None:
    """One request that must go well."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.address + path, data, method=method)
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=START_SECONDS):
        pass


def influxdb_environment(server: Server) -> dict[str, str]:
    """The options of a collector that writes there."""
    return {
        "STORE": "influxdb",
        "INFLUXDB_URL": server.address,
        "INFLUXDB_TOKEN": TOKEN,
        "INFLUXDB_ORG": ORG,
        "INFLUXDB_BUCKET": BUCKET,
    }
