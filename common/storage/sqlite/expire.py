"""Deletes what is too old, a little at a time, so that nobody waits long for the file.

Points go by whole hours, and only once their hour is rolled up.
"""

import time

import apsw

from common.storage.packing import VALUE_BYTES
from common.storage.rollup import HOUR_MS
from common.storage.sqlite.schema import HOURS_A_GPU, STEP_SECONDS, ask

ROWS_AT_ONCE = 1_000
ROLLUPS_AT_ONCE = 100
FREE_SHARE = 0.25
"""Share of a file that may lie free for what comes next; above it, room is given back."""
FREE_PAGES = 4_096
"""Pages that may lie free in any case."""
PAGES_AT_ONCE = 16

_EXPIRE = "UPDATE meta SET value = max(value, ?) WHERE name = 'expired_hour'"
_DUE = "SELECT json_group_array(DISTINCT gpu) FROM due WHERE hour < ?"
_END = "SELECT ts FROM sample WHERE gpu = ? AND ts < ? ORDER BY ts LIMIT 1 OFFSET ?"
_COUNT = """
SELECT count(*), coalesce(sum(length(vals)), 0) FROM sample WHERE gpu = ? AND ts < ?
"""
_DELETE = "DELETE FROM sample WHERE gpu = ? AND ts < ?"
_LESS = "UPDATE gpu SET points = points - ? WHERE rowid = ?"
_TOTALS = """
UPDATE meta SET value = value - CASE name WHEN 'points' THEN ? ELSE ? END
WHERE name IN ('points', 'samples')
"""
_OLD_ROLLUPS = """
SELECT json_group_array(hour) FROM (
  SELECT hour FROM hour_rollup WHERE gpu = ? AND hour < ? ORDER BY hour LIMIT ?)
"""
_DELETE_HOURS = "DELETE FROM hour_rollup WHERE gpu = ? AND hour <= ?"
_DELETE_MINUTES = "DELETE FROM minute_rollup WHERE id BETWEEN ? AND ?"


def expire_points(db: apsw.Connection, gpus: list[int], before_hour: int) -> int:
    """Delete a step of the points that some GPUs have from before an hour; return how many went.

    A GPU with hours that are due before that is passed over.
    """
    db.execute(_EXPIRE, (before_hour,))
    due = set(ask(db, _DUE, (before_hour,), list[int]))
    stop = time.monotonic() + STEP_SECONDS
    points = samples = 0
    for gpu in gpus:
        rows = 0 if gpu in due else ROWS_AT_ONCE
        while rows == ROWS_AT_ONCE and time.monotonic() < stop:
            rows, held = _delete_rows(db, gpu, before_hour * HOUR_MS)
            samples += rows
            points += held
    db.execute(_TOTALS, (points, samples))
    return points


def expire_rollups(db: apsw.Connection, gpus: list[int], before_hour: int) -> int:
    """Delete a step of the rollups that some GPUs have from before an hour; return how many."""
    stop = time.monotonic() + STEP_SECONDS
    gone = 0
    for gpu in gpus:
        if time.monotonic() >= stop:
            break
        hours = ask(db, _OLD_ROLLUPS, (gpu, before_hour, ROLLUPS_AT_ONCE), list[int])
        if hours:
            first = gpu * HOURS_A_GPU
            db.execute(_DELETE_HOURS, (gpu, hours[-1]))
            db.execute(_DELETE_MINUTES, (first, first + hours[-1]))
            gone += len(hours)
    return gone


def give_back(db: apsw.Connection) -> None:
    """Give a step of the room that lies free in the file back to the disk, if that is too much.

    A file that was made with format 1 gives nothing back: what is free in it is used again.
    """
    stop = time.monotonic() + STEP_SECONDS
    may_be_free = max(FREE_PAGES, FREE_SHARE * db.pragma("page_count"))
    while db.pragma("freelist_count") > may_be_free and time.monotonic() < stop:
        for _ in db.execute(f"PRAGMA incremental_vacuum({PAGES_AT_ONCE})"):
            pass  # each row is a page


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
