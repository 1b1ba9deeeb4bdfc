"""`telemetry up`: the whole stack on this machine until Ctrl-C."""

import asyncio
import signal
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from cli.books import render
from cli.feed import Follower, file_feed
from cli.stack import Stack, StackPlan, open_stack
from cli.supervisor import StackError
from cli.watchers import find_watchers
from common.queue.address import without_secrets

EXIT_FAILED = 3
DRAIN_LOOKS = 25
LOOK_SECONDS = 0.2
FIRST_POINT_LOOKS = 100
WATCHERS = ("prometheus", "grafana")


@dataclass(frozen=True)
class UpPlan:
    """What to run, and what to feed it: a file, or a synthetic live fleet."""

    data_dir: Path
    brokers: int
    csv: Path | None
    gpus: int
    api_port: int
    proxy_port: int
    store: str = "sqlite"
    engine: str | None = None
    grafana: bool | None = None
    prometheus: bool | None = None

    def stack(self) -> StackPlan:
        """The processes of this plan."""
        plan = StackPlan(
            self.data_dir,
            self.brokers,
            self.proxy_port,
            self.api_port,
            store=self.store,
            engine=self.engine,
            watchers=find_watchers(self.grafana, self.prometheus),
        )
        feed = None
        if self.csv is not None:
            feed = file_feed(str(self.csv.resolve()), str(plan.summary_path))
        elif self.gpus:
            feed = {"GENERATE_GPUS": str(self.gpus)}
        return replace(plan, feed=feed)


def run_up(plan: UpPlan) -> int:
    """Run until a signal; return the exit code."""
    console = Console(highlight=False)
    try:
        asyncio.run(Up(plan, console).run())
    except StackError as error:
        console.print(f"error: {error}", style="red", markup=False)
        return EXIT_FAILED
    return 0


class Up:
    """One run of the whole stack, as its user sees it."""

    def __init__(self, plan: UpPlan, console: Console) -> None:
        self._plan = plan
        self._console = console
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Start, feed, serve, drain, stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        async with open_stack(self._plan.stack()) as stack:
            serving = asyncio.create_task(self._serve(stack))
            stopping = asyncio.create_task(self._stop.wait())
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
            serving.cancel()
            self._say("stopping: what is under way is stored, then everything ends")
            await self._drain(stack)

    async def _serve(self, stack: Stack) -> None:
        await stack.start()
        self._say_where(stack)
        await self._feed(stack)
        await self._say_watchers(stack)
        self._say("Ctrl-C stops the stack")
        await self._stop.wait()

    def _say_where(self, stack: Stack) -> None:
        api = stack.child("api").plan.url
        self._say(f"API      {api}   docs {api}/docs")
        if stack.plan.engine is None:
            proxy = stack.child("proxy").plan.url
            self._say(f"queue    {proxy}   token in {stack.secrets.service_token}")
        else:
            self._say(f"queue    {without_secrets(stack.plan.engine)}")
        self._say(f"data     {stack.plan.data_dir}   logs in {stack.plan.data_dir / 'logs'}")
        if stack.secrets.new_api_key is not None:
            self._say(f"API key  {stack.secrets.new_api_key}   shown this once")
        self._say(f"API key  is kept in {stack.secrets.api_key}")

    async def _say_watchers(self, stack: Stack) -> None:
        """Where Prometheus and Grafana are; one that does not start keeps nothing from working."""
        if stack.plan.watchers.grafana is None and self._plan.grafana is None:
            self._say("Grafana  is not on the PATH and GRAFANA_BIN is not set: no dashboards")
        for name in (name for name in WATCHERS if name in stack.supervisor.children):
            child = stack.child(name)
            try:
                await child.wait_ready(stack.session)
            except StackError as error:
                self._say(f"warning: {error}")
            else:
                self._say(f"{name.capitalize():8} {child.plan.url}{login(stack, name)}")

    async def _feed(self, stack: Stack) -> None:
        if self._plan.csv is not None:
            books = await Follower(stack, self._console).follow()
            self._say(f"{self._plan.csv.name} is stored:")
            self._say(render(books))
            self._say_query(stack, next(iter(books.sent.manifest), None))
        elif self._plan.gpus:
            await stack.child("streamer").start()
            await first_point_stored(stack)
            self._say(f"feeding {self._plan.gpus} synthetic GPUs, one sample a second each")
            self._say_query(stack, None)

    def _say_query(self, stack: Stack, gpu_id: str | None) -> None:
        path = f"/api/v1/gpus/{gpu_id}/telemetry?limit=5" if gpu_id else "/api/v1/gpus?limit=5"
        url = stack.child("api").plan.url + path
        self._say("ask for it:")
        self._say(f'  curl -H "X-API-Key: $(cat {stack.secrets.api_key})" "{url}"')

    async def _drain(self, stack: Stack) -> None:
        """Stop the feed, then give the collector a moment to store what is on its way."""
        if stack.plan.feed is not None:
            await stack.child("streamer").stop()
        for _ in range(DRAIN_LOOKS):
            if await drained(stack):
                return
            await asyncio.sleep(LOOK_SECONDS)
        self._say("some messages are still on disk; they are stored at the next start")

    def _say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, markup=False)


def login(stack: Stack, name: str) -> str:
    """How one gets in."""
    password = stack.plan.data_dir / "secrets/grafana-password"
    return f"   user admin, password in {password}" if name == "grafana" else ""


async def first_point_stored(stack: Stack) -> None:
    """Return once there is something to ask for, or it takes too long."""
    for _ in range(FIRST_POINT_LOOKS):
        stats = await stack.stats("collector")
        if stats is not None and stats["telemetry_stored"]:
            return
        await asyncio.sleep(LOOK_SECONDS)


async def drained(stack: Stack) -> bool:
    """Whether everything published is stored."""
    stats = await stack.stats("collector")
    return await stack.undelivered() == 0 and stats is not None and not stats["spool_messages"]
