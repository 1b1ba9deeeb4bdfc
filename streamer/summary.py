"""What a run has done, for people and for a verifier."""

import os
from pathlib import Path
from typing import Any

import msgspec

from streamer.feed import Feed
from streamer.publish import Publisher
from streamer.sources.outcomes import TargetState


def describe(
    feed: Feed, publisher: Publisher | None, seconds: float, finished: bool
) -> dict[str, Any]:
    """The numbers of a run, since this start of the process.

    Without loss ``values_read`` is points, duplicates, rejects and what was left out of points by
    the choice of hosts. ``lag_points`` were read and are not confirmed yet.
    """
    progress, manifest = feed.source.progress, feed.manifest
    published = publisher.points_published if publisher else 0
    return {
        "rows_read": progress.rows_read,
        "values_read": progress.values_read,
        "missing": progress.missing,
        "samples": manifest.samples,
        "points": manifest.points,
        "points_published": published,
        "points_left_out": feed.selection.points_left_out,
        "lag_points": manifest.points - published,
        "buffered_batches": publisher.buffered_batches if publisher else 0,
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
        "targets": {name: describe_target(each) for name, each in progress.targets.items()},
    }


def describe_target(state: TargetState) -> dict[str, Any]:
    """How a target fares."""
    return {"up": state.up, **msgspec.structs.asdict(state)}


def write_summary(path: Path, summary: dict[str, Any], feed: Feed) -> None:
    """Write the numbers and the manifest as JSON, whole or not at all; raises OSError."""
    text = msgspec.json.format(msgspec.json.encode({**summary, "manifest": feed.manifest.gpus}))
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(text + b"\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
