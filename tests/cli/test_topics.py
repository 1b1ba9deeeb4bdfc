"""`telemetry topics` against a real cluster."""

import asyncio
import json
from pathlib import Path

import pytest

from cli.topics import NamesError, moves_of, names_for
from proxy.ring import Ring
from tests.cli.command import telemetry
from tests.support.client import TOKEN
from tests.support.proxy import Cluster, cluster, until


async def topics(*arguments: str, token: str = TOKEN) -> tuple[int, str, str]:
    """Run the command; return exit code, output and errors."""
    done = await asyncio.to_thread(telemetry, "topics", *arguments, SERVICE_TOKEN=token)
    return done.returncode, done.stdout, done.stderr


async def fill(running: Cluster) -> None:
    for partition in range(8):
        await running.client.produce("t", b"x", partition=partition)


async def test_the_list_names_owner_and_depth_of_every_partition(tmp_path: Path) -> None:
    async with cluster(tmp_path, 2) as duo:
        await fill(duo)
        owners = (await duo.status())["owners"]["t"]
        stray = owners.index("broker-0")
        await duo.brokers["broker-1"].client.produce("t", b"x", partition=stray)
        code, output, _ = await topics("--queue", duo.url, "--json")
        text = (await topics("--queue", duo.url))[1]
    rows = json.loads(output)
    assert code == 0
    assert [(row["topic"], row["partition"], row["owner"]) for row in rows] == [
        ("t", number, owner) for number, owner in enumerate(owners)
    ]
    assert [row["depth"] for row in rows] == [2 if n == stray else 1 for n in range(8)]
    assert rows[stray]["elsewhere"] == {"broker-1": 1}
    assert "broker-1: 1" in text
    assert all(f"{name:<24} ready" in text for name in duo.brokers)


async def test_a_plan_says_what_then_happens(tmp_path: Path) -> None:
    path = tmp_path / "brokers"
    async with cluster(
        tmp_path, 3, listed=["broker-0", "broker-1"], brokers_file=path, membership_seconds=0.02
    ) as trio:
        before = (await trio.status())["owners"]["t"]
        asked = ["--queue", trio.url, "--plan", "--brokers", "3"]
        ((plan,), text) = (
            json.loads((await topics(*asked, "--json"))[1]),
            (await topics(*asked))[1],
        )
        assert (await trio.status())["owners"]["t"] == before
        gates = trio.gates.items()
        path.write_text("\n".join(f"{name}={gate.url}" for name, gate in gates))
        await until(lambda: len(trio.proxy.members) == 3)
        after = (await trio.status())["owners"]["t"]
    moved = [[n, old, new] for n, (old, new) in enumerate(zip(before, after, strict=True))]
    assert plan["moves"] == [move for move in moved if move[1] != move[2]] != []
    assert f"topic t: {len(plan['moves'])} of 8 partitions move" in text


async def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    code, _, errors = await topics("--queue", "http://127.0.0.1:1")
    assert (code, errors.startswith("error: ")) == (3, True)
    async with cluster(tmp_path, 1) as one:
        code, _, errors = await topics("--queue", one.url, token="a-token-that-nobody-knows")
    assert (code, "token" in errors) == (3, True)
    assert (await topics("--plan"))[0] == 2


def test_a_cluster_grows_and_shrinks_by_its_highest_numbers() -> None:
    names = [f"broker-{n}" for n in range(10)]
    assert names_for(names, 12) == [*names, "broker-10", "broker-11"]
    assert names_for([*names, "broker-10"], 10) == names


@pytest.mark.parametrize("names", [["a", "b"], ["a-0", "b-1"], ["10.0.0.1-7070", "h-7070"]])
def test_names_that_do_not_count_up_cannot_be_planned_for(names: list[str]) -> None:
    with pytest.raises(NamesError):
        names_for(names, 3)


def test_a_broker_that_drains_is_counted_out() -> None:
    rows = [
        {"broker": f"b-{n}", "listed": True, "draining": n == 2, "empty": False} for n in range(3)
    ]
    status = {"virtual_nodes": 150, "brokers": rows, "owners": {"t": ["b-0"] * 64}}
    (moves,) = moves_of(status, 2)
    assert moves.moves == []
    assert moves.before == {
        name: Ring(["b-0", "b-1"], 150).owners("t", 64).count(name) for name in ("b-0", "b-1")
    }
