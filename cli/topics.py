"""`telemetry topics`: what lies where, and what another number of brokers would move."""

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from cli.queue import open_queue
from common.errors import TelemetryError
from common.queue.http import request
from proxy.ring import Ring

EXIT_FAILED = 3

_ORDINAL = re.compile(r"(.*?)(\d+)")


@dataclass(frozen=True)
class TopicsPlan:
    """What is asked: of which proxy, with whose token, and for how many brokers."""

    data_dir: Path
    queue_url: str | None
    plan: bool
    brokers: int | None
    as_json: bool


class NamesError(Exception):
    """The brokers have no names that could be counted on."""


class Moves(msgspec.Struct):
    """What would become of one topic's partitions."""

    topic: str
    partitions: int
    moves: list[tuple[int, str, str]]
    before: dict[str, int]
    after: dict[str, int]


def run_topics(plan: TopicsPlan) -> int:
    """Print the list or the plan; return the exit code."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        status, topics = asyncio.run(ask(plan))
        found: Any = moves_of(status, plan.brokers) if plan.brokers else rows_of(status, topics)
    except (TelemetryError, NamesError, OSError) as error:
        Console(stderr=True, highlight=False).print(f"error: {error}", style="red", markup=False)
        return EXIT_FAILED
    if plan.as_json:
        print(msgspec.json.encode(found).decode())
        return 0
    for text in map(render_moves, found) if plan.brokers else render_rows(status, found):
        console.print(text, markup=False)
    return 0


async def ask(plan: TopicsPlan) -> tuple[Any, Any]:
    """``GET /status`` and ``GET /topics`` of the proxy."""
    session = open_queue(plan.data_dir, plan.queue_url)
    try:
        return await request(session, "GET", "/status"), await request(session, "GET", "/topics")
    finally:
        await session.close()


def rows_of(status: Any, topics: Any) -> list[dict[str, Any]]:
    """Every partition: its owner, the messages some group needs, and those elsewhere."""
    depth: Counter[tuple[str, int]] = Counter()
    for topic in topics["topics"]:
        for part in topic["partitions"]:
            depth[topic["topic"], part["partition"]] += part["depth"]
    astray: dict[tuple[str, int], dict[str, int]] = {}
    for row in status["strays"]:
        astray.setdefault((row["topic"], row["partition"]), {})[row["broker"]] = row["messages"]
    return [
        {
            "topic": topic,
            "partition": number,
            "owner": owner,
            "depth": depth[topic, number],
            "elsewhere": astray.get((topic, number), {}),
        }
        for topic, owners in status["owners"].items()
        for number, owner in enumerate(owners)
    ]


def moves_of(status: Any, brokers: int) -> list[Moves]:
    """What moves when the cluster has another number of brokers, by the proxy's own ring."""
    now = [row["broker"] for row in status["brokers"] if row["listed"] and not row["draining"]]
    nodes = status["virtual_nodes"]
    old, new = Ring(now, nodes), Ring(names_for(now, brokers), nodes)
    found = []
    for topic, owners in status["owners"].items():
        pairs = zip(old.owners(topic, len(owners)), new.owners(topic, len(owners)), strict=True)
        moves = [(at, one, other) for at, (one, other) in enumerate(pairs) if one != other]
        before, after = (count(ring, topic, len(owners)) for ring in (old, new))
        found.append(Moves(topic, len(owners), moves, before, after))
    return found


def names_for(names: Sequence[str], brokers: int) -> list[str]:
    """The names of a cluster that was scaled as a StatefulSet is: by the highest numbers."""
    ordered = list(Ring(names, 1).names)
    if brokers <= len(ordered):
        return ordered[:brokers]
    numbered = [_ORDINAL.fullmatch(name) for name in ordered]
    prefixes = {found[1] if found else None for found in numbered}
    if len(prefixes) != 1 or None in prefixes:
        raise NamesError("the brokers' names do not count up: nobody knows who would join")
    (prefix,) = prefixes
    highest = max(int(found[2]) for found in numbered if found)
    more = range(highest + 1, highest + 1 + brokers - len(ordered))
    return ordered + [f"{prefix}{number}" for number in more]


def count(ring: Ring, topic: str, partitions: int) -> dict[str, int]:
    """Partitions of a topic by broker."""
    owned = Counter(ring.owners(topic, partitions))
    return {name: owned[name] for name in ring.names}


def render_rows(status: Any, rows: list[dict[str, Any]]) -> list[str]:
    """The list as text for people."""
    lines = [f"{row['broker']:<24} {health_of(row):<10} {row['url']}" for row in status["brokers"]]
    lines.append(f"\n{'topic':<24} {'partition':>9} {'owner':<20} {'depth':>10}  elsewhere")
    for row in rows:
        elsewhere = ", ".join(f"{name}: {messages}" for name, messages in row["elsewhere"].items())
        lines.append(
            f"{row['topic']:<24} {row['partition']:>9} {row['owner']:<20} {row['depth']:>10}"
            f"  {elsewhere}".rstrip()
        )
    return lines


def health_of(row: dict[str, Any]) -> str:
    """How a broker is, in a word."""
    if not row["ready"]:
        return "away"
    if row["draining"] or not row["listed"]:
        return "empty" if row["empty"] else "draining"
    return "ready"


def render_moves(moves: Moves) -> str:
    """One topic's plan as text for people."""
    part = len(moves.moves) / moves.partitions
    lines = [
        f"topic {moves.topic}: {len(moves.moves)} of {moves.partitions} partitions move "
        f"({part:.0%}), {len(moves.before)} -> {len(moves.after)} brokers"
    ]
    before, after = moves.before, moves.after
    lines += [
        f"  {name:<24} {before.get(name, 0):>4} -> {after.get(name, 0):>4}"
        for name in sorted(before.keys() | after.keys())
    ]
    lines += [f"  partition {at:>3}  {one} -> {other}" for at, one, other in moves.moves]
    return "\n".join(lines)
