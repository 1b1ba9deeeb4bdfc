"""What is true of the SQLite store alone: its file, its versions, its crashes."""

import threading
from pathlib import Path

import apsw
import pytest

from common.errors import InvalidParameter, StoreUnavailable
from common.models import LATEST_MS, Sample
from common.storage import aggregates
from common.storage.base import Aggregate, StoreRefused, WindowQuery
from common.storage.sqlite import checkpoint
from common.storage.sqlite import expire as expiring
from common.storage.sqlite.schema import APPLICATION_ID, VERSION, refuse_unsafe_library
from common.storage.sqlite.store import SqliteStore
from tests.storage.processes import GPUS, POINTS_A_CALL, kill, start_writer
from tests.storage.samples import T0, gpu, points, sample
from tests.storage.test_windows import HOUR, expire


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def set_version(path: Path, application_id: int, version: int) -> bytes:
    """Make a file of some other program or release; return its bytes."""
    db = apsw.Connection(str(path))
    db.execute("CREATE TABLE theirs(x)")
    db.pragma("application_id", application_id)
    db.pragma("user_version", version)
    db.close()
    return path.read_bytes()


class TestFile:
    def test_it_says_what_it_is(self, path: Path) -> None:
        SqliteStore(path).close()
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        assert db.pragma("application_id") == APPLICATION_ID
        assert db.pragma("user_version") == VERSION
        assert db.pragma("journal_mode") == "wal"
        db.close()

    def test_a_row_holds_a_moment_and_not_a_point(self, path: Path) -> None:
        store = SqliteStore(path)
        metrics = {f"m{i}": float(i) for i in range(10)}
        store.write([sample("a", at, **metrics) for at in range(1_000)])
        store.close()
        assert path.stat().st_size < 16 * 10_000

    def test_room_that_lies_free_is_given_back_and_the_rest_is_used_again(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(expiring, "FREE_PAGES", 10)
        store = SqliteStore(path)
        metrics = {f"m{i}": float(i) for i in range(10)}
        many = [sample("a", at, **metrics) for at in range(0, 36_000, 2)]
        store.write(many)
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        before = db.pragma("page_count")
        expire(store, T0 + 9 * HOUR)
        kept = points(store, "GPU-a")
        steps = 0
        while db.pragma("freelist_count") > 0.25 * db.pragma("page_count"):
            assert store.expire(T0 + 9 * HOUR) == 0
            steps += 1
        assert steps <= before / expiring.PAGES_AT_ONCE
        after = db.pragma("page_count")
        assert after < before / 2
        assert db.pragma("integrity_check") == "ok"
        assert points(store, "GPU-a") == kept
        free = db.pragma("freelist_count")
        store.write([sample("b", at, **metrics) for at in range(free * 10)])
        assert db.pragma("page_count") == after
        db.close()

    @pytest.mark.parametrize("writable", [True, False])
    @pytest.mark.parametrize(
        ("application_id", "version", "words"),
        [
            (APPLICATION_ID, VERSION + 1, f"format {VERSION + 1}, made by a newer release"),
            (0, 0, "not a telemetry store"),
            (7, VERSION, "not a telemetry store"),
        ],
    )
    def test_a_file_not_ours_is_refused_untouched(
        self, path: Path, writable: bool, application_id: int, version: int, words: str
    ) -> None:
        before = set_version(path, application_id, version)
        with pytest.raises(StoreRefused, match=words):
            SqliteStore(path, writable=writable).check()
        assert path.read_bytes() == before
        assert [each.name for each in path.parent.iterdir()] == [path.name]

    @pytest.mark.parametrize("writable", [True, False])
    def test_a_file_of_something_else_is_refused_untouched(
        self, path: Path, writable: bool
    ) -> None:
        path.write_bytes(b"timestamp,metric_name,gpu_id\n" * 1_000)
        before = path.read_bytes()
        with pytest.raises(StoreRefused, match="not a SQLite file"):
            SqliteStore(path, writable=writable).check()
        assert path.read_bytes() == before

    @pytest.mark.parametrize("version", ["3.40.1", "3.51.2", "3.7.0"])
    def test_a_library_that_corrupts_is_refused(self, version: str) -> None:
        with pytest.raises(StoreRefused, match=r"3\.51\.3 or later"):
            refuse_unsafe_library(version)

    def test_a_safe_library_is_taken(self) -> None:
        refuse_unsafe_library("3.51.3")
        refuse_unsafe_library("4.0.0")
        refuse_unsafe_library()


class TestBounds:
    def test_the_wal_begins_anew_while_others_write_and_read(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(checkpoint, "CHECKPOINT_PAGES", 100)
        store = SqliteStore(path)

        def write(name: str) -> None:
            for call in range(150):
                store.write([sample(name, call * 100 + at, m=at) for at in range(100)])
                store.stats()

        writers = [threading.Thread(target=write, args=(name,)) for name in "abc"]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        wal = path.with_name(path.name + "-wal")
        assert path.stat().st_size > 45_000 * 15
        assert wal.stat().st_size < 1_000 * 4096
        store.close()

    def test_a_window_of_too_many_points_is_refused_unless_rollups_answer(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(aggregates, "MAX_WINDOW_POINTS", 12_000)
        store = SqliteStore(path)
        day = T0 - T0 % (24 * HOUR)
        store.write([Sample(gpu(), day + at * 1_000, {"m": at}) for at in range(24_000)])
        some: tuple[Aggregate, ...] = ("mean", "p95", "max")
        for aggregate in some:
            with pytest.raises(InvalidParameter, match="over 12,000 points"):
                store.windows(WindowQuery("GPU-a", 24 * HOUR, aggregate, 10))
        while store.roll_up(LATEST_MS):
            pass
        page = store.windows(WindowQuery("GPU-a", 24 * HOUR, "max", 10))
        assert page is not None
        assert [p.value for p in page.points] == [23_999]


class TestAbsence:
    def test_a_reader_waits_for_the_file_and_makes_none(self, path: Path) -> None:
        reader = SqliteStore(path, writable=False)
        with pytest.raises(StoreUnavailable, match="no store at"):
            reader.stats()
        assert not path.exists()
        SqliteStore(path).write([sample("a", 0, util=1)])
        assert reader.stats().points == 1

    def test_a_file_that_was_taken_away_is_noticed(self, path: Path) -> None:
        writer, reader = SqliteStore(path), SqliteStore(path, writable=False)
        writer.write([sample("a", 0, util=1)])
        assert reader.stats().points == 1
        path.unlink()
        with pytest.raises(StoreUnavailable, match="no store at"):
            reader.stats()
        writer.write([sample("a", 0, util=1), sample("a", 1, util=1)])
        assert reader.stats().points == 2

    def test_a_damaged_file_is_an_error_and_not_an_empty_answer(self, path: Path) -> None:
        writer = SqliteStore(path)
        writer.write([sample("a", at, util=at) for at in range(5_000)])
        writer.close()
        whole = path.read_bytes()
        path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
        reader = SqliteStore(path, writable=False)
        with pytest.raises(StoreUnavailable):
            reader.check()
        with pytest.raises(StoreUnavailable):
            reader.stats()

    def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(StoreUnavailable):
            SqliteStore(tmp_path / "file" / "store.db")

    def test_a_writer_goes_on_after_a_failure(self, path: Path) -> None:
        store = SqliteStore(path)
        store.write([sample("a", 0, util=1)])
        blocker = apsw.Connection(str(path))
        blocker.execute("DROP TABLE meta")
        with pytest.raises(StoreUnavailable, match="meta"):
            store.write([sample("a", 1, util=1)])
        blocker.execute(
            "CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
            "INSERT INTO meta VALUES ('points', 1), ('samples', 1)"
        )
        blocker.close()
        assert store.write([sample("a", 1, util=1)]).new_points == 1
        assert store.stats().points == 2


class TestProcesses:
    def test_another_process_writes_while_this_one_reads(self, path: Path) -> None:
        writer, heard = start_writer(SqliteStore, path)
        reader = SqliteStore(path, writable=False)
        for _ in range(20):
            call = heard.recv()
            assert reader.stats().points >= POINTS_A_CALL * (call + 1)
            assert len(points(reader, "GPU-h", end_ms=points(reader, "GPU-h")[-1].timestamp)) > call
        kill(writer, heard)
        reader.close()

    @pytest.mark.parametrize("calls", [0, 1, 30])
    @pytest.mark.parametrize("shared_memory_stays", [True, False])
    def test_kill_9_loses_nothing_and_halves_nothing(
        self, path: Path, calls: int, shared_memory_stays: bool
    ) -> None:
        writer, heard = start_writer(SqliteStore, path)
        for _ in range(calls + 1):
            heard.recv()
        last = max(calls, kill(writer, heard))
        if not shared_memory_stays:
            path.with_name(path.name + "-shm").unlink()
        reader = SqliteStore(path, writable=False)
        stats = reader.stats()
        assert stats.samples in (8 * (last + 1), 8 * (last + 2))
        assert stats.points == 2 * stats.samples
        for name in GPUS:
            assert len(points(reader, f"GPU-{name}")) == stats.points // 8
        reader.close()
        again = SqliteStore(path)
        assert again.write([sample("a", 0, util=0, temp=1)]).new_points == 0
        again.close()
        db = apsw.Connection(str(path))
        assert db.pragma("integrity_check") == "ok"
        db.close()
