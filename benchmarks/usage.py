"""What a process holds of its machine, from /proc."""

import asyncio
import os
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Usage(NamedTuple):
    """Resident bytes, open descriptors, threads; tasks of the event loop, bytes of its logs."""

    rss: int
    descriptors: int
    threads: int
    tasks: int
    logs: int


async def usage_of(pid: int, url: str) -> Usage:
    """What a service process holds now."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/stats") as answer:
        stats: dict[str, Any] = await answer.json()
    held = await asyncio.to_thread(_from_proc, Path(f"/proc/{pid}"))
    return Usage(*held, stats["tasks"], stats["bytes"])


def _from_proc(process: Path) -> tuple[int, int, int]:
    rss = int((process / "statm").read_text().split()[1]) * PAGE_BYTES
    descriptors = len(list((process / "fd").iterdir()))
    return rss, descriptors, len(list((process / "task").iterdir()))
