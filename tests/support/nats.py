"""A real NATS server with JetStream: started, killed and started again."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from tests.support.broker import free_port
from tests.support.needs import need

START_SECONDS = 20.0
POLL_SECONDS = 0.02
USER, PASSWORD = "fleet", "password of a:test@"  # letters that a URL must escape
MAX_PAYLOAD = 100_000
ACK_WAIT_SECONDS = 2


def nats_server_path() -> str | None:
    """Where ``make servers`` leaves nats-server, or one that is installed."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    built = cache / "telemetry-servers" / "nats-server" / "nats-server"
    return str(built) if os.access(built, os.X_OK) else shutil.which("nats-server")


class NatsServer:
    """nats-server on a port and a directory that it keeps; it asks for a password if told to."""

    def __init__(
        self,
        directory: Path,
        guarded: bool = False,
        tls: tuple[Path, Path] | None = None,
        jetstream: bool = True,
        extra: str = "",
    ) -> None:
        self.port = free_port()
        self._directory = directory
        self._guarded = guarded
        self._config = directory / "server.conf"
        self._process: subprocess.Popen[bytes] | None = None
        lines = [
            f'listen: "127.0.0.1:{self.port}"',
            f"max_payload: {MAX_PAYLOAD}",
            extra,
        ]
        if jetstream:
            lines.append(f'jetstream {{ store_dir: "{directory}/data", sync_interval: always }}')
        if guarded:
            lines.append(f'authorization {{ user: "{USER}", password: "{PASSWORD}" }}')
        if tls is not None:
            lines.append(f'tls {{ cert_file: "{tls[0]}", key_file: "{tls[1]}" }}')
        self._config.write_text("\n".join(lines) + "\n")

    @property
    def plain_url(self) -> str:
        """Its address and no more."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Its address for clients of ours, which it knows."""
        who = f"{USER}:{quote(PASSWORD, safe='')}@" if self._guarded else ""
        return f"nats://{who}127.0.0.1:{self.port}"

    def with_credentials(self, user: str, password: str) -> str:
        """The address with a user and a password as they stand in a URL."""
        return f"nats://{user}:{password}@127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and return when it takes connections."""
        program = nats_server_path()
        assert program is not None
        with (self._directory / "log.txt").open("ab") as log:
            command = [program, "-c", str(self._config)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self._listens():
            assert self._process.poll() is None, "nats-server ended at its start"
            assert time.monotonic() < deadline, "nats-server is not ready"
            time.sleep(POLL_SECONDS)

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        """The process of the last start."""
        assert self._process is not None
        return self._process.pid

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


@contextlib.contextmanager
def running_nats(
    directory: Path,
    guarded: bool = False,
    tls: tuple[Path, Path] | None = None,
    jetstream: bool = True,
    extra: str = "",
) -> Iterator[NatsServer]:
    """A server of one's own; it is killed at the end."""
    need("nats-server (make servers)", nats_server_path() is not None)
    directory.mkdir(parents=True, exist_ok=True)
    server = NatsServer(directory, guarded, tls, jetstream, extra)
    try:
        server.start()
        yield server
    finally:
        server.kill()
