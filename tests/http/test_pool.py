"""What a client keeps open between its requests."""

import asyncio

import aiohttp

from common.http.pool import ConnectionPool
from tests.http.test_cut import open_descriptors
from tests.http.test_service import ROUTES, Sample, serving

AT_ONCE = 20
KEPT_SECONDS = 0.3  # longer than it takes to use each connection of the burst once


async def test_the_connections_of_a_burst_close_though_requests_go_on() -> None:
    async with (
        serving(Sample(), ROUTES) as url,
        aiohttp.ClientSession(connector=ConnectionPool(None, KEPT_SECONDS)) as session,
    ):
        before = open_descriptors()
        await asyncio.gather(*(ask(session, url) for _ in range(AT_ONCE)))
        assert open_descriptors() >= before + AT_ONCE  # the server's ends are among them
        async with asyncio.timeout(20):
            while open_descriptors() > before + 2:
                await ask(session, url)


async def ask(session: aiohttp.ClientSession, url: str) -> None:
    """One request, answered whole."""
    async with session.get(url + "/health") as answer:
        assert answer.status == 200
        await answer.read()
