"""The brokers' books, added up from one scrape each."""

import re
from collections import defaultdict

import aiohttp

IN = "messages_produced_total"
OUT = (
    "group_ready",
    "group_in_flight",
    "messages_consumed_total",
    "messages_dead_lettered_total",
    "messages_lost_total",
    "messages_dropped_total",
)
SCRAPE_SECONDS = 2.0

_ROW = re.compile(r"^([a-z_]+)\{(.*)\} ([0-9.e+]+)$", re.M)
_LABEL = re.compile(r'(\w+)="([^"]*)"')

Place = tuple[str, str, str]


async def scrape(url: str) -> str | None:
    """A broker's metrics, None while it is away."""
    timeout = aiohttp.ClientTimeout(total=SCRAPE_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{url}/metrics") as answer,
        ):
            return await answer.text() if answer.status == 200 else None
    except (aiohttp.ClientError, TimeoutError, ConnectionError):
        return None


def imbalances(text: str) -> list[str]:
    """Groups and partitions whose messages do not add up to what was produced."""
    produced, parts = read(text)
    return [
        f"{place}: {produced[place[:2]]} produced, {dict(rows)}"
        for place, rows in parts.items()
        if produced[place[:2]] != sum(rows.values())
    ]


def left(text: str, topic: str, group: str) -> int:
    """Messages of a topic that a group has not settled; all of them where it is not known."""
    produced, parts = read(text)
    total = 0
    for (of_topic, partition), count in produced.items():
        if of_topic == topic:
            rows = parts.get((topic, partition, group))
            total += count if rows is None else rows["group_ready"] + rows["group_in_flight"]
    return total


def given_up(text: str) -> dict[str, int]:
    """Messages that groups will never get although nobody said so: dead, lost or dropped."""
    found: defaultdict[str, int] = defaultdict(int)
    for (topic, _, group), rows in read(text)[1].items():
        for name in OUT[3:]:
            if rows.get(name):
                found[f"{topic}/{group} {name}"] += rows[name]
    return dict(found)


def read(text: str) -> tuple[dict[tuple[str, str], int], dict[Place, dict[str, int]]]:
    """Messages produced by partition, and what became of them by partition and group."""
    produced: dict[tuple[str, str], int] = {}
    parts: defaultdict[Place, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for name, labels, value in _ROW.findall(text):
        given = dict(_LABEL.findall(labels))
        if name == IN:
            produced[given["topic"], given["partition"]] = int(float(value))
        elif name in OUT:
            place = (given["topic"], given["partition"], given["group"])
            parts[place][name] += int(float(value))
    return produced, {place: dict(rows) for place, rows in parts.items()}
