"""`telemetry dlq`: what could not be stored, and again with it once the reason is gone."""

import asyncio
import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from cli.queue import find_queue, open_queue
from common.clock import SystemClock, to_rfc3339
from common.errors import TelemetryError
from common.queue.address import QueueAddress, scheme_of
from common.queue.base import DeadLetter
from common.queue.factory import open_dead_letters
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
    """What the queue answers: our brokers each for itself, another engine as one."""
    where = find_queue(plan.data_dir, plan.queue_url)
    if where.engine is not None:
        return await ask_engine(plan, where)
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


async def ask_engine(plan: DlqPlan, where: QueueAddress) -> Any:
    """The same of an engine, in the words of our brokers; a redrive is over when it answers."""
    engine = scheme_of(where.url)
    letters = open_dead_letters(where, plan.topic, plan.group, SystemClock())
    try:
        if plan.act == "redrive":
            return {"brokers": {engine: {"redriven": await letters.redrive(plan.rate)}}}
        if plan.act == "purge":
            return {"brokers": {engine: {"purged": await letters.purge()}}}
        rows = [row_of(engine, plan, letter) for letter in await letters.page(plan.limit)]
        return {"dead_letters": rows, "missing": []}
    finally:
        await letters.close()


def row_of(engine: str, plan: DlqPlan, letter: DeadLetter) -> dict[str, Any]:
    """A letter as our brokers show theirs."""
    row: dict[str, Any] = {"broker": engine, "topic": plan.topic, "group": plan.group}
    row |= msgspec.structs.asdict(letter) | {"dead_at": to_rfc3339(letter.dead_at)}
    try:
        return row | {"payload": letter.payload.decode()}
    except UnicodeDecodeError:
        encoded = base64.b64encode(letter.payload).decode()
        return row | {"payload": None, "payload_base64": encoded}


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
