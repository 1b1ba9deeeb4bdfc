"""A real InfluxDB 2 server: started, paused, killed and asked as an operator would."""

import contextlib
import itertools
import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from tests.support.needs import need
from tests.support.ports import free_port
from tests.support.real_server import RealServer, program_of, running

ORG = "fleet"
TOKEN = "operator-token-of-a-test"
PROGRAM = "influxd"
ANSWER_SECONDS = 60.0

_buckets = itertools.count()


class InfluxServer(RealServer):
    """influxd; a new one is set up with an organisation."""

    name = PROGRAM

    def __init__(
        self,
        directory: Path,
        tls: tuple[Path, Path] | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        """``tls`` are a certificate chain and its key; then `ask` trusts anybody."""
        super().__init__(directory)
        self._address = f"{host}:{free_port()}"
        self.url = f"{'https' if tls else 'http'}://{self._address}"
        self._tls = tls

    def command(self) -> list[str]:
        """See ``RealServer``."""
        program = program_of(PROGRAM)
        assert program is not None
        places = {"--bolt-path": "bolt", "--engine-path": "engine", "--sqlite-path": "sqlite"}
        command = [program, "--reporting-disabled", "--ui-disabled", "--log-level=error"]
        command += [f"{flag}={self._directory / name}" for flag, name in places.items()]
        command.append(f"--http-bind-address={self._address}")
        if self._tls is not None:
            command += [f"--tls-cert={self._tls[0]}", f"--tls-key={self._tls[1]}"]
        return command

    def is_ready(self) -> bool:
        """See ``RealServer``."""
        with contextlib.suppress(OSError):
            self.ask("GET", "/ready")
            return True
        return False

    def start(self) -> None:
        """See ``RealServer``."""
        super().start()
        if self.ask("GET", "/api/v2/setup")["allowed"]:
            who = {"username": "operator", "password": "password-of-a-test", "token": TOKEN}
            self.ask("POST", "/api/v2/setup", {**who, "org": ORG, "bucket": "first"})

    def cpu_seconds(self) -> float:
        """The CPU time it has used since its start."""
        stat = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def ask(self, method: str, path: str, body: Any = None, content: str = "json") -> Any:
        """A request with the operator's token; the answer is decoded JSON, or text."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        request.add_header("Authorization", f"Token {TOKEN}")
        request.add_header("Content-Type", f"application/{content}")
        with urllib.request.urlopen(
            request, timeout=ANSWER_SECONDS, context=self._trust()
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


@contextlib.contextmanager
def running_influxd(
    directory: Path, tls: tuple[Path, Path] | None = None, host: str = "127.0.0.1"
) -> Iterator[InfluxServer]:
    """A server of one's own; it is killed at the end."""
    need("influxd (make servers)", program_of(PROGRAM) is not None)
    directory.mkdir(parents=True, exist_ok=True)
    with running(InfluxServer(directory, tls, host)) as server:
        yield server


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
