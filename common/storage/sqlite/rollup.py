"""Rollups of a SQLite file: making them of an hour's points, reading them, deleting them."""

import time
from collections.abc import Iterator
from typing import NamedTuple

import apsw
import zstandard

from common.storage.aggregates import Part, Summary, join, summary_of
from common.storage.packing import Schemas
from common.storage.rollup import HOUR_MS, MINUTE_MS, MINUTES, Packed, pack
from common.storage.sqlite.rows import Run, SchemasOf, cut, read_runs
from common.storage.sqlite.schema import HOURS_A_GPU, STEP_SECONDS, ask

HOURS_AT_ONCE = 200
BLOBS_AT_ONCE = 24
ALL: frozenset[str] = frozenset()

_HOURS = """
SELECT json_group_array(hour) FROM (
  SELECT hour FROM hour_rollup AS rolled WHERE gpu = :gpu AND hour BETWEEN :first AND :last
    AND (hour < :expired OR NOT EXISTS (
      SELECT 1 FROM due WHERE due.hour = rolled.hour AND due.gpu = rolled.gpu))
  ORDER BY hour)
"""
_EXPIRED = "SELECT value FROM meta WHERE name = 'expired_hour'"
_READ_HOURS = """
SELECT json_group_array(json_array(hour, schema, hex(vals))) FROM (
  SELECT hour, schema, vals FROM hour_rollup WHERE gpu = ? AND hour BETWEEN ? AND ? ORDER BY hour)
"""
_READ_MINUTES = """
SELECT json_group_array(json_array(id, schema, hex(vals))) FROM (
  SELECT id, schema, vals FROM minute_rollup WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?)
"""
_DUE = """
SELECT json_group_array(json_array(gpu, hour)) FROM (
  SELECT gpu, hour FROM due WHERE hour < ? ORDER BY hour, gpu LIMIT ?)
"""
_SETTLE = "DELETE FROM due WHERE gpu = ? AND hour = ?"
_IS_ROLLED = "SELECT EXISTS (SELECT 1 FROM hour_rollup WHERE gpu = ? AND hour = ?)"
_SAVE_HOUR = "INSERT OR REPLACE INTO hour_rollup VALUES (?, ?, ?, ?)"
_SAVE_MINUTES = "INSERT OR REPLACE INTO minute_rollup VALUES (?, ?, ?)"

PackedRow = tuple[int, int, str]
Moment = tuple[int, dict[str, Part]]
"""The begin of an hour or minute, and what each metric comes to in it."""


class GpuHour(NamedTuple):
    """An hour of a GPU: its row in ``gpu``, and hours since 1970."""

    gpu: int
    hour: int

    @property
    def id(self) -> int:
        """Its id in ``minute_rollup``."""
        return self.gpu * HOURS_A_GPU + self.hour


def expired_hour(db: apsw.Connection) -> int:
    """Return the first hour whose points may still be there; rollups before it are final."""
    found: int | None = db.execute(_EXPIRED).get
    return found or 0


def rolled_hours(db: apsw.Connection, gpu: int, first: int, last: int) -> tuple[int, list[int]]:
    """Return the expired hour, and the hours of a range whose rollups are as their points are."""
    expired = expired_hour(db)
    given = {"gpu": gpu, "first": first, "last": last, "expired": expired}
    return expired, ask(db, _HOURS, given, list[int])


def roll_up_due(db: apsw.Connection, schemas: Schemas, before_hour: int) -> list[GpuHour]:
    """Roll up a step of the hours that are due, oldest first; return which."""
    stop = time.monotonic() + STEP_SECONDS
    done: list[GpuHour] = []
    expired = expired_hour(db)
    for which in ask(db, _DUE, (before_hour, HOURS_AT_ONCE), list[GpuHour]):
        final = which.hour < expired and db.execute(_IS_ROLLED, which).get
        if not final:
            roll_up(db, schemas, which)
        db.execute(_SETTLE, which)
        done.append(which)
        if time.monotonic() >= stop:
            break
    return done


def roll_up(db: apsw.Connection, schemas: Schemas, which: GpuHour) -> None:
    """Make or renew the rollups of an hour's points; none are made of none."""
    start = which.hour * HOUR_MS
    runs = list(read_runs(db, lambda _: schemas, which.gpu, start, start + HOUR_MS - 1))
    if not runs:
        return
    minutes = _summaries(runs, MINUTE_MS, which.hour * MINUTES)
    [hour] = _summaries(runs, HOUR_MS, which.hour).values()
    schema = schemas.of(tuple(sorted(hour)))
    packed = zstandard.compress(pack(schema.names, MINUTES, minutes))
    db.execute(_SAVE_HOUR, (*which, schema.id, pack(schema.names, 1, {0: hour})))
    db.execute(_SAVE_MINUTES, (which.id, schema.id, packed))


def _summaries(runs: list[Run], width: int, first: int) -> dict[int, dict[str, Summary]]:
    """Summarise windows by their number, counted from ``first``."""
    parts: dict[int, dict[str, Part]] = {}
    for window, more in cut(runs, width, ALL):
        known = parts.setdefault(window - first, {})
        for name, part in more.items():
            known[name] = join(known[name], part) if name in known else part
    return {
        slot: {name: summary_of(part) for name, part in by_name.items()}
        for slot, by_name in parts.items()
    }


def read_hours(
    db: apsw.Connection,
    schemas_of: SchemasOf,
    gpu: int,
    start: int,
    end: int,
    wanted: frozenset[str],
) -> Iterator[Moment]:
    """Yield the hours that a range touches, oldest first."""
    given = (gpu, start // HOUR_MS, end // HOUR_MS)
    rows = ask(db, _READ_HOURS, given, list[PackedRow])
    schemas = schemas_of({schema for _, schema, _ in rows})
    for hour, schema, vals in rows:
        packed = Packed(schemas[schema].names, 1, bytes.fromhex(vals))
        yield hour * HOUR_MS, packed.at(0, wanted)


def read_minutes(
    db: apsw.Connection,
    schemas_of: SchemasOf,
    gpu: int,
    start: int,
    end: int,
    wanted: frozenset[str],
) -> Iterator[Moment]:
    """Yield the minutes that a range touches, oldest first."""
    first, last = GpuHour(gpu, start // HOUR_MS).id, GpuHour(gpu, end // HOUR_MS).id
    unpack = zstandard.ZstdDecompressor().decompress
    while rows := ask(db, _READ_MINUTES, (first, last, BLOBS_AT_ONCE), list[PackedRow]):
        schemas = schemas_of({schema for _, schema, _ in rows})
        for row_id, schema, vals in rows:
            packed = Packed(schemas[schema].names, MINUTES, unpack(bytes.fromhex(vals)))
            begin = row_id % HOURS_A_GPU * HOUR_MS
            for minute in range(MINUTES):
                moment = begin + minute * MINUTE_MS
                if start < moment + MINUTE_MS and moment <= end:
                    yield moment, packed.at(minute, wanted)
        first = rows[-1][0] + 1
