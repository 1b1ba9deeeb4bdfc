"""A streamer and a collector that go straight to the brokers, as processes."""

import asyncio
from pathlib import Path
from typing import Any

from tests.support.client import BrokerClient
from tests.support.ports import free_port
from tests.support.process import ServiceProcess
from tests.support.proxy import cluster

STORED = 40


async def stats(process: ServiceProcess) -> Any:
    async with BrokerClient(process.url) as client:
        return (await client.request("GET", "/stats")).json


async def test_points_reach_the_store_and_not_by_way_of_the_proxy(tmp_path: Path) -> None:
    async with cluster(tmp_path, 2, topic="telemetry") as duo:
        queue = {"MSG_QUEUE_ADDR": duo.url, "MSG_QUEUE_DIRECT": "true"}
        feed = {"GENERATE_GPUS": "8", "LINGER": "50ms"}
        store = {"SQLITE_PATH": str(tmp_path / "points.sqlite"), "FLUSH_INTERVAL": "50ms"}
        streamer = ServiceProcess("streamer", tmp_path / "streamer", free_port(), queue | feed)
        collector = ServiceProcess("collector", tmp_path / "collector", free_port(), queue | store)
        try:
            await collector.start()
            await streamer.start()
            while (await stats(collector))["telemetry_stored"] < STORED:
                assert streamer.alive
                assert collector.alive
                await asyncio.sleep(0.05)
            assert duo.proxy.upstream.verbs["produce"] == 0
            assert duo.proxy.upstream.verbs["ack"] == 0
        finally:
            await streamer.kill()
            await collector.kill()
