"""What a run has done, for people and for a verifier."""

import os
from pathlib import Path
from typing import Any

import msgspec

from streamer.feed import Feed


def describe(feed: Feed, points_published: int, seconds: float, finished: bool) -> dict[str, Any]:
    """The numbers of a run. Without loss ``rows_read`` is points, duplicates and rejected rows."""
    progress, manifest = feed.source.progress, feed.manifest
    return {
        "rows_read": progress.rows_read,
        "samples": manifest.samples,
        "points": manifest.points,
        "points_published": points_published,
        "duplicates": progress.duplicates,
        "rejected": progress.rejects.report(),
        "gpus": len(manifest.gpus),
        "hosts": len(manifest.hosts),
        "metrics": len(manifest.metrics),
        "passes": feed.passes,
        "finished": finished,
        "seconds": round(seconds, 3),
        "bytes_read": progress.bytes_read,
        "bytes_total": progress.bytes_total,
    }


def write_summary(path: Path, summary: dict[str, Any], feed: Feed) -> None:
    """Write the numbers and the manifest as JSON, whole or not at all; raises OSError."""
    text = msgspec.json.format(msgspec.json.encode({**summary, "manifest": feed.manifest.gpus}))
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(text + b"\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
