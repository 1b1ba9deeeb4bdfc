"""The same work on queues that others run: Kafka, Redis Streams, NATS JetStream.

Each through its usual Python client, durable, with every message acked. ``make servers`` gets Kafka
and NATS; Redis is Debian's ``redis-server``. The clients are the extra ``bench``.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import Contender
from benchmarks.ours import free_port
from cli.bench.drive import Gate, Server, Work

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "telemetry-servers"
KAFKA_JARS = CACHE / "kafka" / "libs"
NATS = CACHE / "nats-server" / "nats-server"
START_SECONDS = 60.0
REDIS_PIPELINE = 100
READ_AT_ONCE = 500
NATS_IN_FLIGHT = 512
KAFKA_READ_AT_ONCE = 1000
KAFKA_CLUSTER = "MkU3OEVBNTcwNTJENDM2Qg"
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


# -- Redis Streams


def redis_produce(address: str, work: Work, gate: Gate) -> None:
    """``XADD`` in pipelines."""
    import redis

    client, body = redis.Redis(port=int(address)), work.payload()
    client.ping()
    gate()
    for first in range(0, work.messages, REDIS_PIPELINE):
        pipeline = client.pipeline(transaction=False)
        for _ in range(min(REDIS_PIPELINE, work.messages - first)):
            pipeline.xadd("t", {"p": body})
        pipeline.execute()


def redis_consume(address: str, work: Work, gate: Gate) -> None:
    """``XREADGROUP`` and one ``XACK`` for what it brought."""
    import redis

    client, got = redis.Redis(port=int(address)), 0
    client.xgroup_create("t", "g", id="0", mkstream=True)
    gate()
    while got < work.messages:
        for _, messages in client.xreadgroup("g", "c", {"t": ">"}, READ_AT_ONCE, 2000) or []:
            client.xack("t", "g", *[number for number, _ in messages])
            got += len(messages)


@contextlib.contextmanager
def start_redis(directory: Path) -> Iterator[Server]:
    """``appendfsync everysec``: up to a second of answered messages is lost by a power cut."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--save", "", "--appendonly", "yes"]
    command += ["--appendfsync", "everysec", "--dir", str(directory)]
    with _process(command, port) as pid:
        yield Server(str(port), (pid,))


# -- NATS JetStream


def nats_produce(address: str, work: Work, gate: Gate) -> None:
    """Published with many in flight, each confirmed."""
    asyncio.run(_nats_produce(address, work, gate))


async def _nats_produce(address: str, work: Work, gate: Gate) -> None:
    import nats

    client = await nats.connect(f"nats://127.0.0.1:{address}")
    stream, body = client.jetstream(), work.payload()
    gate()

    async def lane(first: int) -> None:
        for _ in range(first, work.messages, NATS_IN_FLIGHT):
            await stream.publish("t", body)

    await asyncio.gather(*(lane(first) for first in range(NATS_IN_FLIGHT)))
    await client.close()


def nats_consume(address: str, work: Work, gate: Gate) -> None:
    """A durable pull consumer that acks each message."""
    asyncio.run(_nats_consume(address, work, gate))


async def _nats_consume(address: str, work: Work, gate: Gate) -> None:
    import nats

    client = await nats.connect(f"nats://127.0.0.1:{address}")
    stream, got = client.jetstream(), 0
    await stream.add_stream(name="T", subjects=["t"])
    subscription = await stream.pull_subscribe("t", durable="g")
    gate()
    while got < work.messages:
        with contextlib.suppress(TimeoutError, nats.errors.TimeoutError):
            for message in await subscription.fetch(READ_AT_ONCE, timeout=2):
                await message.ack()
                got += 1
    await client.flush()
    await client.close()


@contextlib.contextmanager
def start_nats(directory: Path) -> Iterator[Server]:
    """File storage, synced by the server every two minutes."""
    port = free_port()
    command = [str(NATS), "-js", "-sd", str(directory), "-a", "127.0.0.1", "-p", str(port)]
    with _process(command, port) as pid:
        yield Server(str(port), (pid,))


# -- Kafka


def kafka_produce(address: str, work: Work, gate: Gate) -> None:
    """``acks=all``, idempotent."""
    from confluent_kafka import Producer

    settings = {"acks": "all", "enable.idempotence": True, "linger.ms": 5}
    client = Producer({"bootstrap.servers": f"127.0.0.1:{address}", "log_level": 2, **settings})
    failed: list[object] = []

    def delivered(error: object, _: object) -> None:
        failed.extend([error] if error else [])

    body = work.payload()
    client.list_topics("t", timeout=START_SECONDS)
    gate()
    for number in range(work.messages):
        while True:
            try:
                client.produce("t", body, on_delivery=delivered)
                break
            except BufferError:
                client.poll(0.01)
        if number % KAFKA_READ_AT_ONCE == 0:
            client.poll(0)
    client.flush()
    if failed:
        raise RuntimeError(str(failed[0]))


def kafka_consume(address: str, work: Work, gate: Gate) -> None:
    """A group of one that commits what it read."""
    from confluent_kafka import Consumer, KafkaError, KafkaException

    settings = {"group.id": "g", "auto.offset.reset": "earliest", "enable.auto.commit": False}
    client = Consumer({"bootstrap.servers": f"127.0.0.1:{address}", "log_level": 2, **settings})
    client.subscribe(["t"])
    while not client.assignment():
        client.poll(0.1)
    gate()
    got = 0
    while got < work.messages:
        messages = client.consume(KAFKA_READ_AT_ONCE, timeout=1.0)
        got += len(messages)
        if messages:
            client.commit(asynchronous=True)
    try:
        client.commit(asynchronous=False)
    except KafkaException as error:
        if error.args[0].code() != KafkaError._NO_OFFSET:  # everything is committed already
            raise
    client.close()


@contextlib.contextmanager
def start_kafka(directory: Path) -> Iterator[Server]:
    """One node with its defaults: what is acknowledged is in the page cache, not yet synced."""
    from confluent_kafka.admin import AdminClient, NewTopic

    port, voter = free_port(), free_port()
    java = ["java", "-Xmx1g", "-cp", f"{KAFKA_JARS}/*"]
    settings = directory / "server.properties"
    settings.write_text(kafka_settings(directory, port, voter))
    tool = ["kafka.tools.StorageTool", "format", "-t", KAFKA_CLUSTER, "-c", str(settings)]
    subprocess.run([*java, *tool], check=True, **QUIET)  # type: ignore[call-overload]
    with _process([*java, "kafka.Kafka", str(settings)], port) as pid:
        admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}"})
        for done in admin.create_topics([NewTopic("t", 4, 1)]).values():
            done.result()
        yield Server(str(port), (pid,))


def kafka_settings(directory: Path, port: int, voter: int) -> str:
    """The least that one node needs."""
    return f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{voter}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{voter}
controller.listener.names=CONTROLLER
log.dirs={directory}/log
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
"""


@contextlib.contextmanager
def _process(command: list[str], port: int) -> Iterator[int]:
    """A server process that listens on a port; its process id."""
    process = subprocess.Popen(command, **QUIET)  # type: ignore[call-overload]
    try:
        until = time.monotonic() + START_SECONDS
        while not _listens(port):
            if time.monotonic() > until or process.poll() is not None:
                raise TimeoutError(f"{command[0]} does not listen")
            time.sleep(0.1)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


PEERS = {
    "kafka": Contender("Kafka, acks=all", start_kafka, kafka_produce, kafka_consume),
    "redis": Contender("Redis Streams, everysec", start_redis, redis_produce, redis_consume),
    "nats": Contender("NATS JetStream, file", start_nats, nats_produce, nats_consume),
}


def is_here(peer: str) -> bool:
    """Whether the server of a peer, and its client, can be used on this machine."""
    places = {"kafka": KAFKA_JARS.is_dir(), "nats": NATS.is_file()}
    return places.get(peer, shutil.which("redis-server") is not None)
