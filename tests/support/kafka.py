"""A real Kafka broker: started, killed and started again."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.needs import need, need_programs
from tests.support.ports import free_port
from tests.support.real_server import CACHE, RealServer, listens, running

CLUSTER = "MkU3OEVBNTcwNTJENDM2Qg"
JARS = CACHE / "kafka" / "libs"
USER, PASSWORD = "fleet", "password of a:test@"  # letters that a URL must escape
LIMITED = "limited"  # has the rights that it is given, and the same password
SESSION_MS = 3000
SESSION = f"session.timeout.ms={SESSION_MS}&heartbeat.interval.ms=500"
RECORD_BYTES = 100_000
SECURITY = "PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL"
SMALL_AND_QUICK = {
    "num.network.threads": "1",
    "num.io.threads": "2",
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "broker.session.timeout.ms": "1500",  # one that was killed may come back after that
    "broker.heartbeat.interval.ms": "300",
    "auto.create.topics.enable": "false",
}


class KafkaServer(RealServer):
    """One node.

    A second port asks for a password, a third for TLS when it is given a certificate. Who comes
    through the first or third, and `USER`, may do everything.
    """

    name = "Kafka"

    def __init__(self, directory: Path, keystore: Path | None = None) -> None:
        super().__init__(directory)
        self.address = f"127.0.0.1:{free_port()}"
        self.tls_address = f"127.0.0.1:{free_port()}"
        self._keystore = keystore
        self.guarded_address = f"127.0.0.1:{free_port()}"
        self._settings = directory / "server.properties"

    @property
    def url(self) -> str:
        """Its address for clients of ours."""
        return f"kafka://{self.address}?{SESSION}"

    def guarded_url(self, user: str, password: str) -> str:
        """The address that asks who one is; user and password as they stand in a URL."""
        return f"kafka://{user}:{password}@{self.guarded_address}"

    def format(self) -> None:
        """Make its directory, once."""
        self._settings.write_text(self._properties())
        tool = ["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", str(self._settings)]
        subprocess.run(
            [*self._java(), *tool], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    def command(self) -> list[str]:
        """See ``RealServer``."""
        return [*self._java(), "kafka.Kafka", str(self._settings)]

    def is_ready(self) -> bool:
        """See ``RealServer``."""
        return listens(self.address)

    def _java(self) -> list[str]:
        quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"]
        return ["java", "-Xmx256m", *quick, "-cp", f"{JARS}/*"]

    def _properties(self) -> str:
        controller = f"127.0.0.1:{free_port()}"
        listeners = {
            "PLAINTEXT": self.address,
            "SASL_PLAINTEXT": self.guarded_address,
            "CONTROLLER": controller,
        }
        users = "".join(f' user_{name}="{PASSWORD}"' for name in (USER, LIMITED))
        login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        plain = "listener.name.sasl_plaintext.plain.sasl.jaas.config"
        given = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{controller}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": SECURITY,
            "sasl.enabled.mechanisms": "PLAIN",
            plain: f"{login}{users};",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:ANONYMOUS;User:{USER}",
            "log.dirs": str(self._directory / "log"),
            "message.max.bytes": str(RECORD_BYTES),
            **SMALL_AND_QUICK,
        }
        if self._keystore is not None:
            listeners["SSL"] = self.tls_address
            given |= {"ssl.keystore.type": "PEM", "ssl.keystore.location": str(self._keystore)}
        given["listeners"] = ",".join(f"{name}://{at}" for name, at in listeners.items())
        return "".join(f"{name}={value}\n" for name, value in given.items())


@contextlib.contextmanager
def running_kafka(directory: Path, keystore: Path | None = None) -> Iterator[KafkaServer]:
    """A broker of one's own; it is killed at the end."""
    need_programs("java")
    need("Kafka (make servers)", JARS.is_dir())
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    server = KafkaServer(directory, keystore)
    server.format()
    with running(server):
        yield server
