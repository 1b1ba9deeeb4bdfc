"""A real browser without internet, driven over the Chrome DevTools Protocol."""

import asyncio
import base64
import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

PROGRAM = "chromium"
START_SECONDS = 60.0
LOOK_SECONDS = 0.1
SOON_SECONDS = 30.0
MAX_MESSAGE_BYTES = 64 << 20
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--remote-debugging-port=0", "--window-size=1280,1600", "--no-proxy-server"),
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)


class Page:
    """One page: what it asked for, and what can be done on it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.requests: list[str] = []
        self.problems: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def listen(self) -> None:
        """Take what the browser says, until it is gone."""
        async for message in self._socket:
            said = msgspec.json.decode(message.data)
            if "id" in said:
                self._waiting.pop(said["id"]).set_result(said)
            elif said["method"] == "Network.requestWillBeSent":
                self.requests.append(said["params"]["request"]["url"])
            elif said["method"] == "Log.entryAdded":
                self.problems.append(said["params"]["entry"]["text"])

    async def do(self, method: str, **params: Any) -> dict[str, Any]:
        """One command and its result."""
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(SOON_SECONDS):
            answer = await self._waiting[number]
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    async def run(self, script: str) -> Any:
        """What a line of JavaScript comes to; its error fails the test."""
        found = await self.do("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def until(self, script: str) -> Any:
        """What it comes to as soon as that is true."""
        async with asyncio.timeout(SOON_SECONDS):
            while not (found := await self.run(script)):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)
        return found

    async def click(self, selector: str) -> None:
        """Click the first element of a selector, as soon as it is there."""
        found = f"document.querySelector({msgspec.json.encode(selector).decode()})"
        await self.until(f"!!{found}")
        await self.run(f"{found}.click()")

    async def picture(self, path: Path) -> None:
        """Write a PNG of what a person would see."""
        found = await self.do("Page.captureScreenshot", format="png")
        await asyncio.to_thread(path.write_bytes, base64.b64decode(found["data"]))


@contextlib.asynccontextmanager
async def browsing(directory: Path) -> AsyncIterator[Page]:
    """A browser with one empty page; leaving ends it."""
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        *FLAGS,
        f"--user-data-dir={directory}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        port = await port_of(directory / "DevToolsActivePort")
        async with aiohttp.ClientSession() as session:
            address = await first_page(session, port)
            async with session.ws_connect(address, max_msg_size=MAX_MESSAGE_BYTES) as socket:
                page = Page(socket)
                listening = asyncio.create_task(page.listen())
                for domain in ("Page", "Network", "Log", "Runtime"):
                    await page.do(f"{domain}.enable")
                yield page
                listening.cancel()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def port_of(file: Path) -> int:
    """Where a browser that has just begun listens: the first of the two lines it writes."""
    async with asyncio.timeout(START_SECONDS):
        while "\n" not in (text := await asyncio.to_thread(text_of, file)):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)
    return int(text.split()[0])


def text_of(file: Path) -> str:
    """What stands in a file by now."""
    return file.read_text() if file.exists() else ""


async def first_page(session: aiohttp.ClientSession, port: int) -> str:
    """The address of the page that the browser opens at its start, once it has."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                for target in await answer.json():
                    if target["type"] == "page":
                        return str(target["webSocketDebuggerUrl"])
            await asyncio.sleep(LOOK_SECONDS)
