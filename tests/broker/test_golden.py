"""A data directory of format 1, kept as it was written: it must open, and deliver.

``make`` wrote it: ``python -m tests.broker.test_golden DIRECTORY`` makes one anew, for when the
format changes and the old one must go on opening.
"""

import asyncio
import shutil
import sys
from pathlib import Path

from tests.support.broker import running_broker
from tests.support.client import BrokerClient, payload
from tests.support.waiting import until

GOLDEN = Path(__file__).with_name("golden") / "format-1"
AGES_SECONDS = 1e10
WAITING = [b"2", b"3", b"\xff\x00", b"keyed"]


async def make(directory: Path) -> None:
    """Lines, raw bytes, key and headers, an idempotency key, acks with a hole, a dead letter."""
    async with running_broker(directory, topics=("t:1",), segment_bytes=4096) as broker:
        client = broker.client
        await client.produce_lines("t", b"0", b"1", b"2", b"3")
        await client.produce("t", b"\xff\x00", headers={"Idempotency-Key": "once"})
        await client.produce("t", b"keyed", key="gpu", headers={"X-Message-Unit": "W"})
        await client.produce("t", b"x" * 4096)
        async with client.consume("t") as events:
            messages = await events.messages(7)
            await client.settle("t", messages[0]["receipt"], messages[6]["receipt"])
            await reject(client, messages[1]["receipt"])
            await until(lambda: broker.broker.topics.get("t").dead)
            await until(lambda: broker.broker.topics.get("t").dead["default"].depth)


async def reject(client: BrokerClient, receipt: str) -> None:
    body = {"id": receipt, "mode": "reject", "reason": "bad"}
    await client.request("POST", "/nack", params={"topic": "t"}, json=body)


async def test_a_directory_of_format_1_opens_and_delivers(tmp_path: Path) -> None:
    await check(shutil.copytree(GOLDEN, tmp_path / "data"))


async def test_a_directory_made_now_is_like_it(tmp_path: Path) -> None:
    await make(tmp_path)
    named_since = ["broker"]  # a directory that no broker has put its name on may be taken
    assert names(tmp_path) == named_since + names(GOLDEN)
    await check(tmp_path)


async def check(directory: Path) -> None:
    """Everything that ``make`` left is there."""
    async with running_broker(directory, idempotency_seconds=AGES_SECONDS) as broker:
        async with broker.client.consume("t") as events:
            found = await events.messages(len(WAITING))
        assert [payload(message) for message in found] == WAITING
        assert (found[3]["key"], found[3]["headers"]) == ("gpu", {"unit": "W"})
        await check_rest(broker.client)


async def check_rest(client: BrokerClient) -> None:
    row = await client.books("t")
    assert (row["acked"], row["dead"], row["lost"]) == (2, 1, 0)
    dead = (await client.request("GET", "/dlq", params={"topic": "t"})).json["dead_letters"]
    assert [(row["payload"], row["error"]) for row in dead] == [("1", "bad")]
    again = await client.produce("t", b"?", headers={"Idempotency-Key": "once"})
    assert (again.json["offset"], again.json["duplicate"]) == (4, True)


def names(directory: Path) -> list[str]:
    """Every file, by its path within the directory."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return sorted(str(path.relative_to(directory)) for path in files if path.name != "lock")


if __name__ == "__main__":
    asyncio.run(make(Path(sys.argv[1])))
