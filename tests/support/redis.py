"""A real Redis server: started, killed and asked as an operator would."""

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import redis
from pydantic import SecretStr

from common.queue.address import QueueAddress
from tests.support.broker import free_port
from tests.support.certificates import Certificates
from tests.support.client import TOKEN
from tests.support.needs import need

PASSWORD = "a password: of/a?test@"
QUOTED = "a%20password%3A%20of%2Fa%3Ftest%40"
START_SECONDS = 20.0
POLL_SECONDS = 0.01


class RedisServer:
    """redis-server on a port and a directory that it keeps over its restarts.

    It syncs every write before it answers, unless ``settings`` say otherwise.
    """

    def __init__(
        self,
        directory: Path,
        certificates: Certificates | None = None,
        settings: Sequence[str] = ("--appendonly", "yes", "--appendfsync", "always"),
    ) -> None:
        self.port = free_port()
        self._directory = directory
        self._certificates = certificates
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, password: str = QUOTED, parameters: str = "") -> str:
        """Where it is; ``parameters`` stand after a question mark."""
        scheme = "rediss" if self._certificates else "redis"
        query = f"?{parameters}" if parameters else ""
        return f"{scheme}://:{password}@127.0.0.1:{self.port}/0{query}"

    def address(self, password: str = QUOTED, parameters: str = "") -> QueueAddress:
        """The same for a client of ours."""
        ca_file = self._certificates.ca_file if self._certificates else None
        return QueueAddress(self.url(password, parameters), SecretStr(TOKEN), ca_file)

    def start(self) -> None:
        """Start it and return when it answers."""
        command = ["redis-server", "--dir", str(self._directory), "--save", ""]
        command += ["--requirepass", PASSWORD, "--bind", "127.0.0.1", *self._settings]
        if self._certificates:
            files = self._certificates
            command += ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"]
            command += ["--tls-cert-file", str(files.cert_file), "--tls-key-file"]
            command += [str(files.key_file), "--tls-ca-cert-file", str(files.ca_file)]
        else:
            command += ["--port", str(self.port)]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, "redis-server ended at its start"
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(POLL_SECONDS)

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextlib.contextmanager
    def operator(self) -> Iterator["redis.Redis"]:
        """A client of somebody else's."""
        files = self._certificates
        tls = {"ssl": True, "ssl_ca_certs": str(files.ca_file)} if files else {}
        client = redis.Redis(port=self.port, password=PASSWORD, protocol=2, **tls)
        try:
            yield client
        finally:
            client.close()

    def _answers(self) -> bool:
        with self.operator() as client:
            try:
                return bool(client.ping())
            except redis.exceptions.ConnectionError:  # loading its data is one of them
                return False


@contextlib.contextmanager
def running_redis(
    directory: Path,
    certificates: Certificates | None = None,
    settings: Sequence[str] = ("--appendonly", "yes", "--appendfsync", "always"),
) -> Iterator[RedisServer]:
    """A server of one's own; it is killed at the end."""
    need("redis-server", shutil.which("redis-server") is not None)
    directory.mkdir(parents=True, exist_ok=True)
    server = RedisServer(directory, certificates, settings)
    try:
        server.start()
        yield server
    finally:
        server.kill()
