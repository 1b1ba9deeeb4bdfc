"""A real NATS server with JetStream: started, killed and started again."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from tests.support.needs import need
from tests.support.ports import free_port
from tests.support.real_server import RealServer, listens, program_of, running

PROGRAM = "nats-server"
USER, PASSWORD = "fleet", "password of a:test@"  # letters that a URL must escape
MAX_PAYLOAD = 100_000
ACK_WAIT_SECONDS = 2


class NatsServer(RealServer):
    """nats-server; it asks for a password if told to."""

    name = PROGRAM

    def __init__(
        self,
        directory: Path,
        guarded: bool = False,
        tls: tuple[Path, Path] | None = None,
        jetstream: bool = True,
        extra: str = "",
    ) -> None:
        super().__init__(directory)
        self.port = free_port()
        self._guarded = guarded
        self._config = directory / "server.conf"
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

    def command(self) -> list[str]:
        """See ``RealServer``."""
        program = program_of(PROGRAM)
        assert program is not None
        return [program, "-c", str(self._config)]

    def is_ready(self) -> bool:
        """See ``RealServer``."""
        return listens(f"127.0.0.1:{self.port}")


@contextlib.contextmanager
def running_nats(
    directory: Path,
    guarded: bool = False,
    tls: tuple[Path, Path] | None = None,
    jetstream: bool = True,
    extra: str = "",
) -> Iterator[NatsServer]:
    """A server of one's own; it is killed at the end."""
    need("nats-server (make servers)", program_of(PROGRAM) is not None)
    directory.mkdir(parents=True, exist_ok=True)
    with running(NatsServer(directory, guarded, tls, jetstream, extra)) as server:
        yield server
