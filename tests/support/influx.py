"""A real InfluxDB 2 server: started, paused, killed and asked as an operator would."""

import contextlib
import itertools
import json
import os
import shutil
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from tests.support.broker import free_port
from tests.support.needs import need

ORG = "fleet"
TOKEN = "operator-token-of-a-test"
START_SECONDS = 60.0
POLL_SECONDS = 0.05

_buckets = itertools.count()


def influxd_path() -> str | None:
    """Where ``make servers`` leaves influxd, or one that is installed."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    built = cache / "telemetry-servers" / "influxd" / "influxd"
    return str(built) if os.access(built, os.X_OK) else shutil.which("influxd")


class InfluxServer:
    """influxd on a port and a directory that it keeps over its restarts."""

    def __init__(
        self,
        directory: Path,
        tls: tuple[Path, Path] | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        """``tls`` are a certificate chain and its key; then `ask` trusts anybody."""
        self._address = f"{host}:{free_port()}"
        self.url = f"{'https' if tls else 'http'}://{self._address}"
        self._directory = directory
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and return when it answers; a new one is set up with an organisation."""
        program = influxd_path()
        assert program is not None
        places = {"--bolt-path": "bolt", "--engine-path": "engine", "--sqlite-path": "sqlite"}
        command = [program, "--reporting-disabled", "--ui-disabled", "--log-level=error"]
        command += [f"{flag}={self._directory / name}" for flag, name in places.items()]
        command.append(f"--http-bind-address={self._address}")
        if self._tls is not None:
            command += [f"--tls-cert={self._tls[0]}", f"--tls-key={self._tls[1]}"]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self._wait_until_ready()
        if self.ask("GET", "/api/v2/setup")["allowed"]:
            who = {"username": "operator", "password": "password-of-a-test", "token": TOKEN}
            self.ask("POST", "/api/v2/setup", {**who, "org": ORG, "bucket": "first"})

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """SIGSTOP: it accepts and says nothing."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def cpu_seconds(self) -> float:
        """The CPU time it has used since its start."""
        assert self._process is not None
        stat = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def ask(self, method: str, path: str, body: Any = None, content: str = "json") -> Any:
        """A request with the operator's token; the answer is decoded JSON, or text."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        request.add_header("Authorization", f"Token {TOKEN}")
        request.add_header("Content-Type", f"application/{content}")
        with urllib.request.urlopen(
            request, timeout=START_SECONDS, context=self._trust()
        ) as answer:
            text = answer.read().decode()
        with contextlib.suppress(json.JSONDecodeError):
            return json.loads(text)
        return text

    def flux(self, text: str) -> str:
        """What it answers to a question in Flux, as CSV."""
        path = f"/api/v2/query?org={ORG}"
        return str(self.ask("POST", path, text.encode(), content="vnd.flux"))

    def write(self, bucket: str, lines: str) -> None:
        """Lines of somebody else's, in milliseconds."""
        path = f"/api/v2/write?org={ORG}&bucket={bucket}&precision=ms"
        self.ask("POST", path, lines.encode())

    def bucket(self, name: str) -> dict[str, Any] | None:
        """A bucket as the server describes it."""
        found = self.ask("GET", f"/api/v2/buckets?org={ORG}&limit=100")["buckets"]
        return next((bucket for bucket in found if bucket["name"] == name), None)

    def drop_bucket(self, name: str) -> None:
        """Delete a bucket and all that is in it, if it is there."""
        bucket = self.bucket(name)
        if bucket is not None:
            self.ask("DELETE", f"/api/v2/buckets/{bucket['id']}")

    def make_token(self, *permissions: dict[str, Any]) -> tuple[str, str]:
        """A token that may do some things only; its id and itself."""
        org_id = self.ask("GET", f"/api/v2/orgs?org={ORG}")["orgs"][0]["id"]
        body = {"orgID": org_id, "permissions": list(permissions)}
        made = self.ask("POST", "/api/v2/authorizations", body)
        return made["id"], made["token"]

    def drop_token(self, token_id: str) -> None:
        """Revoke a token."""
        self.ask("DELETE", f"/api/v2/authorizations/{token_id}")

    def _trust(self) -> ssl.SSLContext | None:
        """It is ours, whatever it shows."""
        if self._tls is None:
            return None
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                self.ask("GET", "/ready")
                return
            assert self._process is not None
            assert self._process.poll() is None, "influxd ended at its start"
            time.sleep(POLL_SECONDS)
        raise TimeoutError("influxd is not ready")


@contextlib.contextmanager
def running_influxd(
    directory: Path, tls: tuple[Path, Path] | None = None, host: str = "127.0.0.1"
) -> Iterator[InfluxServer]:
    """A server of one's own; it is killed at the end."""
    need("influxd (make servers)", influxd_path() is not None)
    directory.mkdir(parents=True, exist_ok=True)
    server = InfluxServer(directory, tls, host)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def influxdb_options(server: InfluxServer, bucket: str) -> dict[str, Any]:
    """The options of a store in a bucket."""
    return {
        "influxdb_url": server.url,
        "influxdb_token": SecretStr(TOKEN),
        "influxdb_org": ORG,
        "influxdb_bucket": bucket,
    }


def new_bucket() -> str:
    """A name that no test of this process has used."""
    return f"bucket-{next(_buckets)}"
