"""Servers that take no more connections, and leave none half taken."""

import asyncio
from collections.abc import Sequence


async def stop_listening(servers: Sequence[asyncio.Server]) -> None:
    """Close servers; who was on the way in is let in before.

    A connection that asyncio has accepted and not yet given a transport is never closed when its
    server is closed in between: the garbage collector finds it, in whatever test runs by then.
    """
    loop = asyncio.get_running_loop()
    for server in servers:
        for listener in server.sockets:
            loop.remove_reader(listener.fileno())
    await asyncio.sleep(0)
    for server in servers:
        server.close()
