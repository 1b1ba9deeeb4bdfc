"""`telemetry dlq`: what could not be stored, and again with it once the reason is gone."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from cli.queue import open_queue
from common.errors import TelemetryError
from common.queue.http import request

EXIT_FAILED = 3
SHOWN_CHARACTERS = 100


@dataclass(frozen=True)
class DlqPlan:
    """Whose dead letters, and what is done with them: ``act`` is list, redrive or purge.

    ``limit`` is of letters listed of a broker, ``rate`` of letters a second driven again.
    """

    data_dir: Path
    queue_url: str | None
    topic: str
    group: str
    act: str
    limit: int
    rate: float
    as_json: bool


def run_dlq(plan: DlqPlan) -> int:
    """Do it and print what came of it; return the exit code."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        answer = asyncio.run(ask(plan))
    except (TelemetryError, OSError) as error:
        Console(stderr=True, highlight=False).print(f"error: {error}", style="red", markup=False)
        return EXIT_FAILED
    if plan.as_json:
        print(msgspec.json.encode(answer).decode())
        return 0
    for line in render(answer):
        console.print(line, markup=False)
    return 0


async def ask(plan: DlqPlan) -> Any:
    """One request to the proxy."""
    session = open_queue(plan.data_dir, plan.queue_url)
    group = {"topic": plan.topic, "group": plan.group}
    try:
        if plan.act == "redrive":
            body = msgspec.json.encode({"rate": plan.rate})
            return await request(session, "POST", "/dlq/redrive", params=group, data=body)
        if plan.act == "purge":
            return await request(session, "DELETE", "/dlq", params=group)
        page = group | {"limit": str(plan.limit)}
        return await request(session, "GET", "/dlq", params=page)
    finally:
        await session.close()


def render(answer: Any) -> list[str]:
    """An answer as text for people."""
    if "dead_letters" not in answer:
        return [
            f"{broker}: {word} {count}"
            for broker, said in answer["brokers"].items()
            for word, count in said.items()
        ]
    lines = [text for row in answer["dead_letters"] for text in render_letter(row)]
    lines += [f"no answer from {broker}" for broker in answer.get("missing", ())]
    return lines or ["no dead letters"]


def render_letter(row: dict[str, Any]) -> list[str]:
    """One letter: where it comes from, why it is here, how it begins."""
    content = row["payload"] if row["payload"] is not None else f"base64 {row['payload_base64']}"
    more = "..." if len(content) > SHOWN_CHARACTERS else ""
    return [
        f"{row['broker']} partition {row['partition']} offset {row['offset']}, {row['dead_at']}, "
        f"{row['attempts']} deliveries, {row['reason']}",
        f"  {row['error'] or 'no word on it'}",
        f"  {content[:SHOWN_CHARACTERS]!r}{more}",
    ]
