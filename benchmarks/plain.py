"""The whole path as one would write it in an afternoon: csv, json, Redis Streams, sqlite3.

Two processes of the standard library and redis-py, no more than the job asks for: rows of a DCGM
CSV become samples of ten metrics, a hundred samples a message, and points in a table with a key.
Nothing is validated, spooled or dead-lettered. SQLite syncs each commit, as ours does.
"""

import csv
import json
import sqlite3
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

STREAM, GROUP = "telemetry", "writers"
SAMPLES_A_MESSAGE = 100
MESSAGES_A_PIPELINE = 10
READ_AT_ONCE = 50
WAIT_MS = 2000
IDENTITY = ("gpu_id", "uuid", "device", "modelName", "Hostname", "container", "pod", "namespace")
TABLE = """
CREATE TABLE point (
  gpu TEXT, ts INTEGER, metric TEXT, value REAL, PRIMARY KEY (gpu, ts, metric)
) WITHOUT ROWID
"""

Sample = dict[str, Any]


def main() -> None:
    """``produce CSV PORT`` or ``consume SQLITE PORT POINTS``."""
    act, path, port, *rest = sys.argv[1:]
    if act == "produce":
        produce(path, int(port))
    else:
        consume(path, int(port), int(rest[0]))


def produce(path: str, port: int) -> None:
    """Publish a file."""
    import redis

    client = redis.Redis(port=port)
    pipeline = client.pipeline(transaction=False)
    batch: list[Sample] = []
    for sample in samples_of(path):
        batch.append(sample)
        if len(batch) == SAMPLES_A_MESSAGE:
            pipeline.xadd(STREAM, {"p": json.dumps(batch)})
            batch = []
            if len(pipeline) == MESSAGES_A_PIPELINE:
                pipeline.execute()
    if batch:
        pipeline.xadd(STREAM, {"p": json.dumps(batch)})
    pipeline.execute()


def samples_of(path: str) -> Iterator[Sample]:
    """Rows of a moment by GPU."""
    moment, open_samples = "", dict[str, Sample]()
    with open(path, newline="") as file:  # noqa: PTH123  as one would write it
        for row in csv.DictReader(file):
            if row["timestamp"] != moment:
                yield from open_samples.values()
                moment, open_samples = row["timestamp"], {}
            sample = open_samples.get(row["uuid"])
            if sample is None:
                at = datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()
                identity = {name: row[name] for name in IDENTITY}
                sample = {"gpu": identity, "ts": int(at * 1000), "metrics": {}}
                open_samples[row["uuid"]] = sample
            sample["metrics"][row["metric_name"]] = float(row["value"])
    yield from open_samples.values()


def consume(path: str, port: int, points: int) -> None:
    """Store what comes until there are so many points."""
    import redis

    client = redis.Redis(port=port)
    client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(TABLE)
    stored = 0
    while stored < points:
        for _, messages in (
            client.xreadgroup(GROUP, "c", {STREAM: ">"}, READ_AT_ONCE, WAIT_MS) or []
        ):
            rows = [
                (sample["gpu"]["uuid"], sample["ts"], metric, value)
                for _, fields in messages
                for sample in json.loads(fields[b"p"])
                for metric, value in sample["metrics"].items()
            ]
            db.execute("BEGIN")
            db.executemany("INSERT OR REPLACE INTO point VALUES (?, ?, ?, ?)", rows)
            db.execute("COMMIT")
            client.xack(STREAM, GROUP, *[number for number, _ in messages])
            stored += len(rows)


if __name__ == "__main__":
    main()
