"""A real Redis server: started, killed and asked as an operator would."""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import redis
from pydantic import SecretStr

from common.queue.address import QueueAddress
from tests.support.certificates import Certificates
from tests.support.client import TOKEN
from tests.support.needs import need
from tests.support.ports import free_port
from tests.support.real_server import RealServer, running

PASSWORD = "a password: of/a?test@"
QUOTED = "a%20password%3A%20of%2Fa%3Ftest%40"
PROGRAM = "redis-server"


class RedisServer(RealServer):
    """redis-server; it syncs every write before it answers, unless ``settings`` say otherwise."""

    name = PROGRAM

    def __init__(
        self,
        directory: Path,
        certificates: Certificates | None = None,
        settings: Sequence[str] = ("--appendonly", "yes", "--appendfsync", "always"),
    ) -> None:
        super().__init__(directory)
        self.port = free_port()
        self._certificates = certificates
        self._settings = settings

    def url(self, password: str = QUOTED, parameters: str = "") -> str:
        """Where it is; ``parameters`` stand after a question mark."""
        scheme = "rediss" if self._certificates else "redis"
        query = f"?{parameters}" if parameters else ""
        return f"{scheme}://:{password}@127.0.0.1:{self.port}/0{query}"

    def address(self, password: str = QUOTED, parameters: str = "") -> QueueAddress:
        """The same for a client of ours."""
        ca_file = self._certificates.ca_file if self._certificates else None
        return QueueAddress(self.url(password, parameters), SecretStr(TOKEN), ca_file)

    def command(self) -> list[str]:
        """See ``RealServer``."""
        command = [PROGRAM, "--dir", str(self._directory), "--save", ""]
        command += ["--requirepass", PASSWORD, "--bind", "127.0.0.1", *self._settings]
        if self._certificates:
            files = self._certificates
            command += ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"]
            command += ["--tls-cert-file", str(files.cert_file), "--tls-key-file"]
            command += [str(files.key_file), "--tls-ca-cert-file", str(files.ca_file)]
        else:
            command += ["--port", str(self.port)]
        return command

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

    def is_ready(self) -> bool:
        """See ``RealServer``."""
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
    need(PROGRAM, shutil.which(PROGRAM) is not None)
    directory.mkdir(parents=True, exist_ok=True)
    with running(RedisServer(directory, certificates, settings)) as server:
        yield server
