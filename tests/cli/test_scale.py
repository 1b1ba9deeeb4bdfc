"""`telemetry scale`: brokers emptied before they go, and at work again when they are back."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from cli.ping import ping
from cli.ping_options import PingOptions
from cli.scale import NotDoneError, Scaler
from cli.scale_options import ScaleOptions
from common.errors import TelemetryError
from proxy.membership import Address
from tests.support.broker import running_broker
from tests.support.client import TOKEN
from tests.support.clock import ManualClock
from tests.support.proxy import POLL_SECONDS, Cluster, cluster, until


def scaler(of: Cluster, count: int, clock: ManualClock | None = None, **given: Any) -> Scaler:
    """A scaler of a test cluster, whose brokers have addresses instead of names."""
    options = ScaleOptions(
        broker_service="broker", broker_count=count, service_token=SecretStr(TOKEN), **given
    )

    async def find() -> Sequence[Address]:
        return [Address(name, gate.url) for name, gate in of.gates.items()]

    return Scaler(options, clock or ManualClock(), lambda text: None, find)


async def let_time_pass(clock: ManualClock, work: asyncio.Task[None]) -> None:
    """Move the clock for as long as something is waited for; raises what the work raised."""
    while not work.done():
        clock.advance(1.0)
        await asyncio.wait({work}, timeout=POLL_SECONDS)
    await work


async def test_a_broker_that_is_to_go_is_emptied_by_its_consumers_first(tmp_path: Path) -> None:
    clock = ManualClock()
    async with cluster(tmp_path, 2) as duo:
        leaving = duo.brokers["broker-1"]
        partition = await duo.partition_of("broker-1")
        await duo.client.produce("t", b"wanted", partition=partition)
        scaling = asyncio.create_task(scaler(duo, 1, clock).run())
        await until(lambda: leaving.broker.draining)
        assert not scaling.done()
        async with duo.client.consume("t") as events:
            event = await events.next()
            await duo.client.settle("t", event.id)
            await let_time_pass(clock, scaling)
        assert leaving.broker.draining
        assert not duo.brokers["broker-0"].broker.draining


async def test_what_cannot_be_emptied_in_time_is_named_with_what_it_holds(tmp_path: Path) -> None:
    async with cluster(tmp_path, 2) as duo:
        partition = await duo.partition_of("broker-1")
        await duo.client.produce("t", b"nobody wants it", partition=partition)
        clock = ManualClock()
        work = asyncio.create_task(scaler(duo, 1, clock).run())
        with pytest.raises(NotDoneError, match="broker-1 still holds 1 messages and 0 dead"):
            await let_time_pass(clock, work)


async def test_a_broker_that_stays_takes_produces_again(tmp_path: Path) -> None:
    async with cluster(tmp_path, 2) as duo:
        await duo.brokers["broker-1"].client.request("POST", "/drain")
        await scaler(duo, 2, only="drain").run()
        assert duo.brokers["broker-1"].broker.draining
        await scaler(duo, 2).run()
        assert not duo.brokers["broker-1"].broker.draining


async def test_a_broker_that_does_not_answer_keeps_its_backlog_from_being_left(
    tmp_path: Path,
) -> None:
    async with cluster(tmp_path, 2) as duo:
        clock = ManualClock()
        await duo.gates["broker-1"].shut()
        work = asyncio.create_task(scaler(duo, 1, clock).run())
        with pytest.raises(NotDoneError, match="broker-1 at http://127"):
            await let_time_pass(clock, work)


async def test_a_ping_goes_there_and_back_and_leaves_no_topic(tmp_path: Path) -> None:
    async with cluster(tmp_path, 2) as duo:
        (line,) = await ping(
            PingOptions(queue_url=SecretStr(duo.url), service_token=SecretStr(TOKEN))
        )
        assert line.startswith("queue  a message there and back in ")
        topics = (await duo.client.request("GET", "/topics")).json["topics"]
        assert [topic["topic"] for topic in topics] == ["t"]


async def test_a_ping_says_that_the_api_is_not_ready(tmp_path: Path) -> None:
    """The API is acted by a service that is no broker of the cluster: they speak of it alike."""
    async with cluster(tmp_path, 1) as alone, running_broker(tmp_path / "api") as api:
        options = PingOptions(
            queue_url=SecretStr(alone.url), service_token=SecretStr(TOKEN), api=api.url
        )
        assert len(await ping(options)) == 2
        api.lifecycle.problems["store"] = "away"
        with pytest.raises(TelemetryError):
            await ping(options)
