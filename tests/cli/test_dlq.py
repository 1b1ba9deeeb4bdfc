"""`telemetry dlq` against a real cluster."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.cli.command import telemetry
from tests.support.client import TOKEN
from tests.support.proxy import Cluster, cluster
from tests.support.waiting import until_told


async def dlq(running: Cluster, *arguments: str) -> tuple[int, str]:
    """Run the command for the group g of the topic t; return exit code and output."""
    names = "--queue", running.url, "--topic", "t", "--group", "g"
    done = await asyncio.to_thread(telemetry, "dlq", *names, *arguments, SERVICE_TOKEN=TOKEN)
    return done.returncode, done.stdout + done.stderr


async def write(running: Cluster, *payloads: str) -> None:
    """A dead letter of each, a partition each."""
    for partition, payload in enumerate(payloads):
        letter = {"id": payload, "offset": 7, "attempts": 2, "error": "bad", "payload": payload}
        answer = await running.client.request(
            "POST",
            "/dlq",
            params={"topic": "t", "group": "g", "partition": str(partition)},
            json={"letters": [letter]},
        )
        assert answer.status == 200


async def test_letters_are_listed_with_where_they_come_from_and_why(tmp_path: Path) -> None:
    async with cluster(tmp_path, 2) as duo:
        await write(duo, "one", "x" * 200)
        code, text = await dlq(duo)
        listed = json.loads((await dlq(duo, "--json"))[1])["dead_letters"]
    assert code == 0
    assert "partition 0 offset 7" in text
    assert "2 deliveries, REJECTED\n  bad\n  'one'\n" in text
    assert f"  '{'x' * 100}'...\n" in text
    assert sorted(row["payload"] for row in listed) == ["one", "x" * 200]


async def test_letters_are_driven_again(tmp_path: Path) -> None:
    async with cluster(tmp_path, 2) as duo, duo.client.consume("t", group="g") as events:
        await write(duo, "one", "two")
        code, text = await dlq(duo, "--redrive", "--rate", "1000")
        messages = await events.messages(2)
    assert (code, sorted(message["payload"] for message in messages)) == (0, ["one", "two"])
    assert "redriving" in text


async def test_letters_are_thrown_away(tmp_path: Path) -> None:
    async with cluster(tmp_path, 2) as duo:
        await write(duo, "one", "two", "three")
        await dlq(duo, "--purge")

        async def gone() -> bool:
            return (await dlq(duo))[1] == "no dead letters\n"

        await until_told(gone)


@pytest.mark.parametrize(
    ("arguments", "code"), [(("--redrive", "--purge"), 2), (("--queue", "http://127.0.0.1:1"), 3)]
)
async def test_what_cannot_be_done_is_said(
    tmp_path: Path, arguments: tuple[str, ...], code: int
) -> None:
    async with cluster(tmp_path, 2) as duo:
        found, text = await dlq(duo, *arguments)
    assert found == code
    assert "error" in text.lower()
