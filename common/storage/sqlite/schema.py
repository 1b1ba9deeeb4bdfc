"""The SQLite file: its law, and opening it by that law.

The law of the file format
==========================

::

    gpu         rowid | id | identity fields | labels | older | first_seen last_seen | points
    schema      id | names: JSON array of metric names, sorted
    sample      gpu, ts | schema | vals                       one row per GPU and moment
                           |       '- little-endian float64, one per name of the schema
                           '- schema.id
    gpu_schema  gpu, schema                                   which schemas a GPU has had
    hour_rollup gpu, hour | schema | vals                     an hour's summaries: `rollup`, 1 slot
    minute_rollup  id | schema | vals                         those of its minutes, 60 slots, zstd
                   '- gpu * 2^21 + hour
    due         hour, gpu                                     hours with points not rolled up yet
    meta        name | value: running totals "points" and "samples"; "expired_hour"

- Times are whole milliseconds since 1970 UTC.
- A point is (gpu, ts, one name of the row's schema). A row that comes again for the same gpu
  and ts replaces the one there by the union of both, the newer value standing.
- ``gpu.older`` is a JSON object: for each identity field whose value was last confirmed before
  ``last_seen``, when that was. It lets samples arrive in any order with one outcome.
- An hour counts from 1970. A write makes the hours of its points due in its own transaction;
  rolling up an hour makes both its rollups anew and is what ends that. So the rollups of an hour
  that is not due say what its points say.
- Points before "expired_hour" may be deleted, an hour of a GPU only when it is not due. A rollup
  of such an hour is final: points that come later do not change it.
- The totals in ``meta`` and ``gpu.points`` change in the transaction that changes ``sample``
  and always equal what counting gives.
- Durability: WAL with synchronous=FULL. A commit has been fsynced. NORMAL loses the latest
  commits at a power cut.
- Corruption: a damaged file is never repaired or replaced by itself; every call on it fails.
- ``application_id`` says that the file is ours, ``user_version`` is the version of this law.
  To change the law: raise VERSION, add the step from the version before in one transaction,
  keep a file of the old version as a test. A newer file is refused and left untouched.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import apsw
import msgspec

from common.errors import StoreUnavailable
from common.journal.files import DiskFiles
from common.storage.base import StoreRefused
from common.storage.packing import Schemas

APPLICATION_ID = 0x5453_544B  # "TSTK"
VERSION = 2

FIRST_SAFE_SQLITE = (3, 51, 3)
"""From 3.7.0 to 3.51.2 a WAL reset that races with a checkpoint can corrupt the file."""

HOURS_A_GPU = 1 << 21
"""Ids of a GPU in ``minute_rollup``: hours until the year 2209."""

STEP_SECONDS = 0.01
"""How long a step of upkeep goes on beginning things; what it began and its commit come on top."""

BUSY_TIMEOUT_MS = 2_000
PAGE_BYTES = 4096
WRITER_CACHE_KIB = 32 * 1024
READER_CACHE_KIB = 8 * 1024

_TABLES = """
CREATE TABLE gpu(
  rowid INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
  uuid TEXT NOT NULL, hostname TEXT NOT NULL, gpu_id TEXT NOT NULL, device TEXT NOT NULL,
  model TEXT NOT NULL, namespace TEXT NOT NULL, pod TEXT NOT NULL, container TEXT NOT NULL,
  labels TEXT NOT NULL, older TEXT NOT NULL,
  first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL, points INTEGER NOT NULL);
CREATE TABLE schema(id INTEGER PRIMARY KEY, names TEXT NOT NULL UNIQUE);
CREATE TABLE sample(
  gpu INTEGER, ts INTEGER, schema INTEGER NOT NULL, vals BLOB NOT NULL,
  PRIMARY KEY(gpu, ts)) WITHOUT ROWID;
CREATE TABLE gpu_schema(gpu INTEGER, schema INTEGER, PRIMARY KEY(gpu, schema)) WITHOUT ROWID;
CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('points', 0), ('samples', 0);
"""
_ROLLUP_TABLES = """
CREATE TABLE hour_rollup(
  gpu INTEGER, hour INTEGER, schema INTEGER NOT NULL, vals BLOB NOT NULL,
  PRIMARY KEY(gpu, hour)) WITHOUT ROWID;
CREATE TABLE minute_rollup(id INTEGER PRIMARY KEY, schema INTEGER NOT NULL, vals BLOB NOT NULL);
CREATE TABLE due(hour INTEGER, gpu INTEGER, PRIMARY KEY(hour, gpu)) WITHOUT ROWID;
INSERT INTO meta VALUES ('expired_hour', 0);
"""
# Everything is due. Hours are found by seeking from each to the next, not by reading all rows.
_EVERYTHING_IS_DUE = """
WITH RECURSIVE filled(gpu, hour) AS (
  SELECT rowid, (SELECT min(ts) FROM sample WHERE gpu = gpu.rowid) / 3600000 FROM gpu
  UNION ALL
  SELECT gpu, (SELECT min(ts) FROM sample AS next
               WHERE next.gpu = filled.gpu AND next.ts >= (filled.hour + 1) * 3600000) / 3600000
  FROM filled WHERE hour IS NOT NULL)
INSERT INTO due SELECT hour, gpu FROM filled WHERE hour IS NOT NULL;
"""
STEPS = (_TABLES, _ROLLUP_TABLES + _EVERYTHING_IS_DUE)
"""``STEPS[n]`` brings a file of version n to the next; a file that is new has version 0."""

GPU_JSON = """json_object('uuid', uuid, 'hostname', hostname, 'gpu_id', gpu_id,
  'device', device, 'model', model, 'namespace', namespace, 'pod', pod, 'container', container,
  'labels', json(labels))"""
"""A row of ``gpu`` as a `common.models.Gpu`."""

_SCHEMAS = "SELECT json_group_array(json_array(id, json(names))) FROM schema"

T = TypeVar("T")


def ask(db: apsw.Connection, sql: str, given: Any, shape: type[T]) -> T:
    """Return the one JSON value that a statement answers with, as ``shape``.

    One value, whatever its size: SQLite is left and entered once a row, and each time another
    thread may hold the interpreter for 5 ms.
    """
    return msgspec.json.decode(db.execute(sql, given).get, type=shape)


def load_schemas(db: apsw.Connection) -> Schemas:
    """Read all schemas of the file."""
    return Schemas(ask(db, _SCHEMAS, (), list[tuple[int, tuple[str, ...]]]))


def open_for_writing(path: Path) -> apsw.Connection:
    """Open the file, or make it; raises StoreRefused for one that is not ours to write."""
    refuse_unsafe_library()
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    with _alone_in(path.parent):
        for ending in ("", "-journal", "-wal", "-shm"):
            draft.with_name(draft.name + ending).unlink(missing_ok=True)
        if path.exists() and path.stat().st_size:
            _refuse_foreign(path)
        else:
            _make(path, draft)
    return _connect(path)


@contextlib.contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Let no other writer make a file here: both would write to the same draft."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _make(path: Path, draft: Path) -> None:
    """Make the file beside its place and put it there whole.

    Killed in between, SQLite would leave a journal that only a writer can roll back, beside a file
    that does not say yet whose it is.
    """
    _connect(draft).close()
    if path.exists() and not path.stat().st_size:
        path.unlink()
    with contextlib.suppress(FileExistsError):  # another writer was first
        path.hardlink_to(draft)
    draft.unlink()
    DiskFiles().sync_directory(path.parent)


def _connect(path: Path) -> apsw.Connection:
    """A writing connection to a file of today's format, brought to it if it is not."""
    db = apsw.Connection(str(path))
    db.set_busy_timeout(BUSY_TIMEOUT_MS)
    db.pragma("page_size", PAGE_BYTES)
    db.pragma("auto_vacuum", "incremental")  # heeded while the file is empty
    db.pragma("journal_mode", "wal")
    db.pragma("synchronous", "full")
    db.pragma("cache_size", -WRITER_CACHE_KIB)
    # a statement of many rows keeps the old pages aside: in memory, not in a file of its own
    db.pragma("temp_store", "memory")
    _bring_up_to_date(db)
    return db


def open_for_reading(path: Path) -> apsw.Connection:
    """Open a file that is there, never changing it.

    Raises StoreRefused if it is not ours, StoreUnavailable if a writer has yet to bring it to
    the format of today.
    """
    refuse_unsafe_library()
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        db.set_busy_timeout(BUSY_TIMEOUT_MS)
        version = _version(db, path)
        if version < VERSION:
            raise StoreUnavailable(
                f"{path} has format {version}; the next start of a collector brings it to {VERSION}"
            )
        db.pragma("cache_size", -READER_CACHE_KIB)
    except BaseException:
        db.close()
        raise
    return db


def refuse_unsafe_library(version: str = apsw.sqlite_lib_version()) -> None:
    """Raise StoreRefused for a SQLite library that can corrupt a file in WAL mode."""
    if tuple(map(int, version.split("."))) < FIRST_SAFE_SQLITE:
        needed = ".".join(map(str, FIRST_SAFE_SQLITE))
        raise StoreRefused(f"SQLite {version} can corrupt its files; {needed} or later is needed")


def _refuse_foreign(path: Path) -> None:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        db.set_busy_timeout(BUSY_TIMEOUT_MS)
        _version(db, path)
    finally:
        db.close()


def _version(db: apsw.Connection, path: Path) -> int:
    """Return the file's version; raises StoreRefused if it is not ours or too new."""
    try:
        application, version = db.pragma("application_id"), db.pragma("user_version")
    except apsw.NotADBError as error:
        raise StoreRefused(f"{path} is not a SQLite file; it was left untouched") from error
    if application != APPLICATION_ID:
        raise StoreRefused(f"{path} is not a telemetry store; it was left untouched")
    if version > VERSION:
        raise StoreRefused(
            f"{path} has format {version}, made by a newer release; this one knows formats "
            f"up to {VERSION}. It was left untouched"
        )
    return int(version)


def _bring_up_to_date(db: apsw.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        version = db.pragma("user_version")
        for step in STEPS[version:]:
            db.execute(step)
        if version < VERSION:
            db.pragma("application_id", APPLICATION_ID)
            db.pragma("user_version", VERSION)
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
