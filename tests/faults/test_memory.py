"""A broker that is given little memory and much to keep."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tests.support.broker import broker_process
from tests.support.client import BrokerClient
from tests.support.needs import need, need_root

CGROUPS = Path("/sys/fs/cgroup/memory")
MIB = 1 << 20
ROOM_BYTES = 64 * MIB
BACKLOG_BYTES = 128 * MIB
BODY = b"\n".join([b"x" * 999] * 1000)


@contextlib.contextmanager
def memory_bounded(pid: int, room_bytes: int) -> Iterator[None]:
    """Kill a process that needs so much more than it has now: what it has stays where it counts."""
    need_root()
    need("memory cgroups of version 1", (CGROUPS / "memory.limit_in_bytes").exists())
    group = CGROUPS / f"telemetry-tests-{os.getpid()}-{pid}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(room_bytes))
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        for line in (group / "cgroup.procs").read_text().split():
            (CGROUPS / "cgroup.procs").write_text(line)
        group.rmdir()


async def test_a_backlog_larger_than_its_memory_does_not_kill_the_broker(tmp_path: Path) -> None:
    small = {"QUEUE_BYTES": "1MiB", "PENDING_BYTES": "4MiB"}
    async with (
        broker_process(tmp_path / "data", environment=small) as broker,
        BrokerClient(broker.url) as client,
    ):
        with memory_bounded(broker.process.pid, ROOM_BYTES):
            headers = {"Content-Type": "application/x-ndjson"}
            for number in range(BACKLOG_BYTES // len(BODY)):
                answer = await client.produce("t", BODY, partition=number % 4, headers=headers)
                assert answer.status == 200
            count = 0
            async with client.consume("t", batch=1000, max_in_flight=10_000) as events:
                while count < answer.json["count"] * (BACKLOG_BYTES // len(BODY)):
                    head, payloads = await events.batch()
                    count += len(payloads)
                    await client.settle("t", head["receipt"])
            assert broker.process.returncode is None
