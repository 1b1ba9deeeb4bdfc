"""`telemetry run --once`: a file into the store, proven, and out."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from cli.books import Books, render
from cli.feed import Follower, file_feed
from cli.stack import StackPlan, open_stack
from cli.supervisor import StackError

EXIT_UNBALANCED = 1
EXIT_FAILED = 3


@dataclass(frozen=True)
class RunPlan:
    """A file, and the data directory it goes into."""

    data_dir: Path
    brokers: int
    csv: Path
    store: str = "sqlite"
    engine: str | None = None


def run_once(plan: RunPlan) -> int:
    """Run the stack until the file is stored; return the exit code, 0 only if books balance."""
    console = Console(highlight=False)
    try:
        books, restarts, where = asyncio.run(feed_file(plan, console))
    except StackError as error:
        console.print(f"error: {error}", style="red", markup=False)
        return EXIT_FAILED
    except KeyboardInterrupt:
        console.print("stopped before the end; what was published is kept and goes on next time")
        return EXIT_FAILED
    console.print(f"{plan.csv.name} is in {where}", soft_wrap=True)
    console.print(render(books), soft_wrap=True)
    for name, count in restarts.items():
        console.print(f"  {name} died and was restarted" + (f", {count} times" * (count > 1)))
    return 0 if books.balanced else EXIT_UNBALANCED


async def feed_file(plan: RunPlan, console: Console) -> tuple[Books, dict[str, int], str]:
    """The books of the file, who had to be restarted meanwhile, and where the points are."""
    summary = plan.data_dir / "streamer-summary.json"
    feed = file_feed(str(plan.csv), str(summary))
    wanted = StackPlan(plan.data_dir, plan.brokers, feed=feed, store=plan.store, engine=plan.engine)
    async with open_stack(wanted) as stack:
        await stack.start()
        books = await Follower(stack, console).follow()
        return books, stack.supervisor.restarts(), stack.store.place()
