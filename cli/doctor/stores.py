"""The store: ours, reachable, and with room for what is to be kept."""

import shutil
from pathlib import Path

from cli.doctor.disk import nearest, size
from cli.doctor.finding import Ward
from common.errors import StoreUnavailable
from common.storage.base import StoreRefused, StoreStats
from common.storage.factory import open_store
from common.storage.options import StoreOptions

MS_PER_DAY = 86_400_000
ENOUGH_TO_TELL_MS = 60 * 60 * 1000  # of data, before a growth is told from it


def check_store(ward: Ward, options: StoreOptions) -> None:
    """Ask it as a reader would."""
    if options.store == "sqlite" and not options.sqlite_path.exists():
        ward.ok("store", f"SQLITE_PATH: {options.sqlite_path} is not there yet; it is made")
        return
    try:
        store = open_store(options, writable=False)
        try:
            store.check()
            stats = store.stats()
        finally:
            store.close()
    except StoreRefused as error:
        ward.fail("store", error.message, remedy_for(options))
        return
    except StoreUnavailable as error:
        ward.fail("store", error.message, remedy_for(options))
        return
    ward.ok("store", f"{options.store} answers: {stats.points} points of {stats.gpus} GPUs")
    if options.store == "sqlite":
        check_growth(ward, options.sqlite_path, stats, options.retention_seconds)


def remedy_for(options: StoreOptions) -> str:
    """What to look at, by the kind of store."""
    if options.store == "influxdb":
        return "look at INFLUXDB_URL, INFLUXDB_TOKEN, INFLUXDB_ORG and INFLUXDB_BUCKET"
    if options.store == "victoriametrics":
        return "look at VICTORIAMETRICS_URL, its credentials, and the flags of the server"
    return "name another file in SQLITE_PATH, or put back the one that belongs there"


def check_growth(ward: Ward, path: Path, stats: StoreStats, retention_seconds: float) -> None:
    """Whether the disk holds what is to be kept, at the pace of what is stored now."""
    if stats.oldest_ms is None or stats.newest_ms is None:
        return
    span_ms = stats.newest_ms - stats.oldest_ms
    if span_ms < ENOUGH_TO_TELL_MS:
        return
    used = path.stat().st_size
    per_day = used / span_ms * MS_PER_DAY
    free = shutil.disk_usage(nearest(path)).free
    if retention_seconds:
        days = retention_seconds / 86_400
        more = per_day * days - used
        if more > free:
            ward.fail(
                "retention",
                f"STORE_RETENTION of {days:.0f} days needs {size(more)} more under {path}, "
                f"{size(free)} are free",
                "keep points for a shorter time, or grow the volume",
            )
            return
        ward.ok("retention", f"{size(per_day)} a day for {days:.0f} days fit under {path}")
    else:
        ward.warn(
            "retention",
            f"points are kept for ever: {size(per_day)} a day, room for {free / per_day:.0f} days",
            "set STORE_RETENTION",
        )
