"""Deletes what is too old, a little at a time, so that nobody waits long for the file."""

import time
from collections.abc import Sequence

import apsw

from common.storage.packing import VALUE_BYTES

STEP_SECONDS = 0.025
"""How long a step goes on beginning deletions; its commit comes on top."""
ROWS_AT_ONCE = 1_000
GPUS_AT_ONCE = 200

_END = "SELECT ts FROM sample WHERE gpu = ? AND ts < ? ORDER BY ts LIMIT 1 OFFSET ?"
_COUNT = """
SELECT count(*), coalesce(sum(length(vals)), 0) FROM sample WHERE gpu = ? AND ts < ?
"""
_DELETE = "DELETE FROM sample WHERE gpu = ? AND ts < ?"
_LESS = "UPDATE gpu SET points = points - ? WHERE rowid = ?"
_TOTALS = "UPDATE meta SET value = value - CASE name WHEN 'points' THEN ? ELSE ? END"


def delete_step(db: apsw.Connection, gpus: Sequence[int], before_ms: int) -> int:
    """Delete points of some GPUs that are older than ``before_ms``; return how many went.

    One transaction, of about `STEP_SECONDS`. A GPU that has none left stays in the inventory.
    """
    points = samples = 0
    db.execute("BEGIN IMMEDIATE")
    try:
        stop = time.monotonic() + STEP_SECONDS
        for gpu in gpus:
            rows = ROWS_AT_ONCE
            while rows == ROWS_AT_ONCE and time.monotonic() < stop:
                rows, held = _delete_rows(db, gpu, before_ms)
                samples += rows
                points += held
        db.execute(_TOTALS, (points, samples))
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return points


def _delete_rows(db: apsw.Connection, gpu: int, before_ms: int) -> tuple[int, int]:
    """Delete a GPU's oldest rows; return how many, and how many points they held."""
    end = db.execute(_END, (gpu, before_ms, ROWS_AT_ONCE)).get
    if end is None:
        end = before_ms
    rows, size = db.execute(_COUNT, (gpu, end)).get
    points = size // VALUE_BYTES
    if rows:
        db.execute(_DELETE, (gpu, end))
        db.execute(_LESS, (points, gpu))
    return rows, points
