"""Brokers that join and leave while the proxy serves."""

import contextlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import payload
from tests.support.proxy import Cluster, cluster, until


class Growing:
    """A cluster whose list of brokers is a file that a test writes."""

    def __init__(self, running: Cluster, path: Path) -> None:
        self.running = running
        self.client = running.client
        self._path = path

    def list(self, *brokers: str) -> None:
        """Put another list in the place of the old one."""
        new = self._path.with_suffix(".new")
        new.write_text(lines(self.running, brokers))
        new.replace(self._path)

    async def until_members(self, *brokers: str) -> None:
        """Return when the proxy knows these brokers and no others."""
        await until(lambda: {m.name for m in self.running.proxy.members} == set(brokers))

    async def rows(self) -> dict[str, Any]:
        """The brokers of ``GET /status`` by name."""
        return {row["broker"]: row for row in (await self.running.status())["brokers"]}


def lines(running: Cluster, brokers: Iterable[str]) -> str:
    return "\n".join(f"{name}={running.gates[name].url}" for name in brokers)


@contextlib.asynccontextmanager
async def growing(tmp_path: Path, *listed: str, **given: Any) -> AsyncIterator[Growing]:
    """Four brokers, of which the proxy knows some."""
    path = tmp_path / "brokers"
    async with cluster(
        tmp_path, 4, listed=listed, brokers_file=path, membership_seconds=0.02, **given
    ) as running:
        yield Growing(running, path)


async def test_a_broker_that_joins_owns_and_serves_at_once(tmp_path: Path) -> None:
    async with (
        growing(tmp_path, "broker-0", "broker-1") as it,
        it.client.consume("t") as events,
    ):
        it.list("broker-0", "broker-1", "broker-2")
        await it.until_members("broker-0", "broker-1", "broker-2")
        partition = await it.running.partition_of("broker-2")
        answer = await it.client.produce("t", b"to the new one", partition=partition)
        assert answer.json["id"].startswith("broker-2:")
        row = await events.message()
        assert payload(row) == b"to the new one"
        assert (await it.client.settle("t", row["receipt"])).json["acked"] == 1


async def test_a_stream_that_cannot_divide_further_asks_its_client_back(tmp_path: Path) -> None:
    async with growing(tmp_path, "broker-0", "broker-1") as it:
        async with it.client.consume("t", max_in_flight=2) as events:
            it.list("broker-0", "broker-1", "broker-2")
            event = await events.next()
            assert event.type == "goodbye"
            assert b"max_in_flight" in event.data[0]
        async with it.client.consume("t", max_in_flight=3):
            pass


async def test_in_flight_stays_within_its_bound_when_brokers_join(tmp_path: Path) -> None:
    async with growing(tmp_path, "broker-0") as it:
        for broker in it.running.brokers.values():
            for partition in range(8):
                lots = [b"x"] * 20
                await broker.client.produce_lines("t", *lots, partition=partition, partitions=8)
        async with it.client.consume("t", max_in_flight=40) as events:
            it.list(*it.running.brokers)
            await it.until_members(*it.running.brokers)
            await until(lambda: all(b.broker.streams for b in it.running.brokers.values()))
            seen = [row["id"].split(":")[0] for row in await events.messages(35 + 3 + 1 + 1)]
        assert set(seen) == set(it.running.brokers)


async def test_a_broker_off_the_list_gets_nothing_new_and_is_served_on(tmp_path: Path) -> None:
    async with growing(tmp_path, "broker-0", "broker-1") as it:
        partition = await it.running.partition_of("broker-1")
        await it.client.produce("t", b"left behind", partition=partition)
        it.list("broker-0")
        await until(lambda: len(it.running.proxy.members.listed()) == 1)
        assert not (await it.rows())["broker-1"]["listed"]
        moved = await it.client.produce("t", b"moved", partition=partition)
        assert moved.json["id"].startswith("broker-0:")
        async with it.client.consume("t") as events:
            rows = await events.messages(2)
            assert {payload(row) for row in rows} == {b"left behind", b"moved"}
            done = await it.client.settle("t", *(row["receipt"] for row in rows))
        assert (done.json["acked"], done.json["refused"]) == (2, {})


async def test_one_off_the_list_that_does_not_answer_is_let_go_in_time(tmp_path: Path) -> None:
    async with growing(tmp_path, "broker-0", "broker-1", member_expiry_seconds=0.2) as it:
        await it.running.gates["broker-1"].shut()
        it.list("broker-0")
        await it.until_members("broker-0")


async def test_who_is_listed_again_takes_its_place_again(tmp_path: Path) -> None:
    async with growing(tmp_path, "broker-0", "broker-1") as it:
        before = (await it.running.status())["owners"]
        it.list("broker-0")
        await until(lambda: len(it.running.proxy.members.listed()) == 1)
        it.list("broker-0", "broker-1")
        await until(lambda: len(it.running.proxy.members.listed()) == 2)
        assert (await it.running.status())["owners"] == before


@pytest.mark.parametrize("nonsense", ["", "# empty", "a=h1", "a=http://h,a=http://h2", "\x00"])
async def test_a_list_that_cannot_be_read_changes_nothing(tmp_path: Path, nonsense: str) -> None:
    async with growing(tmp_path, "broker-0", "broker-1") as it:
        (tmp_path / "brokers").write_text(nonsense)
        await until(lambda: bool(it.running.proxy.membership_problem))
        assert len(it.running.proxy.members.listed()) == 2
        assert (await it.running.status())["membership_problem"]
        it.list("broker-0", "broker-1", "broker-2")
        await it.until_members("broker-0", "broker-1", "broker-2")
        assert not it.running.proxy.membership_problem


async def test_a_broker_that_moved_is_found_at_its_new_address(tmp_path: Path) -> None:
    async with growing(tmp_path, "broker-0", "broker-1") as it:
        partition = await it.running.partition_of("broker-1")
        await it.running.gates["broker-1"].shut()
        text = lines(it.running, ["broker-0"])
        url = it.running.brokers["broker-1"].url
        (tmp_path / "brokers").write_text(f"{text}\nbroker-1={url}")
        await until(lambda: it.running.proxy.members.get("broker-1").url == url)
        await it.running.until_ready_is("broker-1", True)
        taken = await it.client.produce("t", b"x", partition=partition)
        assert taken.json["id"].startswith("broker-1:")
