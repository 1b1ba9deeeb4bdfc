"""What is true of the store of plain files alone: its lines, its limits, its crashes."""

import itertools
import json
import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import StoreUnavailable
from common.models import Gpu, Sample
from common.storage.base import GpuFilter, Point, StoreRefused, WindowQuery
from common.storage.jsonl import write as jsonl_write
from common.storage.jsonl.store import JsonlLimits, JsonlStore
from tests.storage.processes import GPUS, POINTS_A_CALL, kill, start_writer
from tests.storage.samples import T0, Model, pages, points, sample, windows, windows_by_hand
from tests.storage.test_windows import HOUR, expire

LIMITS = JsonlLimits(file_bytes=4096, files=100, entries=1000, gpus=1000)

directories = itertools.count()


def open_jsonl(directory: Path, *, writable: bool = True, **limits: int) -> JsonlStore:
    return JsonlStore(directory, msgspec.structs.replace(LIMITS, **limits), writable=writable)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "jsonl"


@pytest.fixture
def store(directory: Path) -> JsonlStore:
    return open_jsonl(directory)


def files_of(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.jsonl"))


class TestFiles:
    def test_a_line_is_a_sample_that_any_tool_reads(
        self, store: JsonlStore, directory: Path
    ) -> None:
        store.write([sample("a", 0, util=1), sample("b", 0, util=2), sample("a", 1, util=3)])
        first, second = files_of(directory)
        assert first.name.startswith("GPU-a-")
        header, *lines = map(json.loads, first.read_text().splitlines())
        assert header == {"format": 1, "id": "GPU-a", "known": None}
        assert lines == [
            {"gpu": {"uuid": "GPU-a"}, "timestamp": T0, "metrics": {"util": 1}},
            {"gpu": {"uuid": "GPU-a"}, "timestamp": T0 + 1000, "metrics": {"util": 3}},
        ]
        assert len(second.read_text().splitlines()) == 2

    @pytest.mark.parametrize("name", ["../../etc/passwd", "é/\0", "." * 300, "a b", "A B"])
    def test_any_id_has_a_file_of_its_own_in_the_directory(
        self, store: JsonlStore, directory: Path, name: str
    ) -> None:
        store.write([Sample(Gpu(uuid=name), T0, {"util": 1}), sample("a", 0, util=2)])
        assert points(store, name) == [Point(T0, "util", 1)]
        assert len(files_of(directory)) == 2

    def test_a_full_file_is_followed_by_another(self, store: JsonlStore, directory: Path) -> None:
        for at in range(200):
            store.write([sample("a", at, util=at)])
        sizes = [path.stat().st_size for path in files_of(directory)]
        assert len(sizes) > 3
        assert all(4096 <= size < 2 * 4096 for size in sizes[:-1])
        assert [p.value for p in points(open_jsonl(directory), "GPU-a")] == list(range(200))

    def test_above_the_number_of_files_the_oldest_goes(self, directory: Path) -> None:
        store = open_jsonl(directory, files=2)
        about = Gpu(uuid="GPU-a", model="H100")
        store.write([Sample(about, T0 - 1000, {"first": 1})])
        for at in range(300):
            store.write([sample("a", at, util=at)])
        kept = points(store, "GPU-a")
        assert len(files_of(directory)) == 2
        assert [p.value for p in kept] == list(range(300 - len(kept), 300))
        for each in (store, open_jsonl(directory, files=2)):
            record = each.gpu("GPU-a")
            assert record is not None
            assert (record.points, record.gpu.model) == (len(kept), "H100")
            assert (record.first_seen, record.last_seen) == (T0 - 1000, T0 + 299_000)
            assert each.stats().oldest_ms == kept[0].timestamp
            assert each.gpu_metrics("GPU-a") == ["first", "util"]

    def test_only_the_newest_rows_are_in_memory(self, directory: Path) -> None:
        store = open_jsonl(directory, entries=10, gpus=2)
        for name in "abc":
            store.write([sample(name, at, util=at) for at in range(100)])
        held = {gpu.member.id: len(gpu.newest()) for gpu in store._gpus.values() if gpu.member}
        assert held == {"GPU-a": 0, "GPU-b": 10, "GPU-c": 10}
        assert len(points(store, "GPU-a")) == 100

    @settings(max_examples=80, deadline=None, suppress_health_check=[*HealthCheck])
    @given(
        writes=st.lists(
            st.lists(
                st.tuples(
                    st.sampled_from("ab"), st.integers(0, 30), st.sampled_from(["x", "y", "z"])
                ),
                max_size=10,
            ),
            max_size=12,
        ),
        entries=st.integers(1, 5),
        gpus=st.integers(1, 2),
    )
    def test_whatever_is_in_memory_the_answers_are_the_models(
        self, tmp_path: Path, writes: list[list[tuple[str, int, str]]], entries: int, gpus: int
    ) -> None:
        directory, model = tmp_path / str(next(directories)), Model()
        store = open_jsonl(directory, entries=entries, gpus=gpus)
        reader = open_jsonl(directory, writable=False, entries=entries, gpus=gpus)
        values = itertools.count()
        for write in writes:
            batch = [sample(name, at, **{metric: next(values)}) for name, at, metric in write]
            assert store.write(batch).new_points == model.write(batch)
            for each in (store, reader):
                assert each.stats().points == len(model.points)
        for gpu_id in {key[0] for key in model.points}:
            expected = model.of(gpu_id)
            assert points(store, gpu_id) == points(reader, gpu_id) == expected
            newest_first = sorted(expected, key=lambda p: (-p.timestamp, p.metric))
            assert pages(reader, gpu_id, 3, descending=True) == newest_first
            late = [p for p in expected if p.timestamp >= T0 + 15_000]
            assert points(reader, gpu_id, start_ms=T0 + 15_000) == late
            query = WindowQuery(gpu_id, 7_000, "mean", 4)
            assert windows(reader, query) == windows_by_hand(expected, query)
        store.close()
        reader.close()


class TestRetention:
    def test_what_it_said_of_the_gpu_outlives_the_lines(
        self, store: JsonlStore, directory: Path
    ) -> None:
        chance = random.Random(1)
        about = Gpu(uuid="GPU-a", model="H100", pod="old")
        many = [sample("a", at, util=at) for at in range(0, 10 * 3600, 60)]
        chance.shuffle(many)
        for first in range(0, len(many), 20):
            if first == len(many) // 2:
                store.write([Sample(about, T0 - HOUR, {"early": 1})])
            store.write(many[first : first + 20])
        before = len(files_of(directory))
        cut = (T0 + 7 * HOUR) // HOUR * HOUR
        expire(store, cut)
        assert len(files_of(directory)) <= before
        for each in (store, open_jsonl(directory)):
            record = each.gpu("GPU-a")
            assert record is not None
            assert (record.gpu.model, record.gpu.pod) == ("H100", "old")
            assert record.first_seen == T0 - HOUR
            assert each.gpu_metrics("GPU-a") == ["early", "util"]
            kept = points(each, "GPU-a")
            assert [p.timestamp for p in kept] == sorted(
                s.timestamp for s in many if s.timestamp >= cut
            )
            assert record.points == len(kept)

    def test_a_reader_goes_on_over_files_that_are_rewritten(
        self, store: JsonlStore, directory: Path
    ) -> None:
        store.write([sample("a", at * 60, util=at) for at in range(300)])
        reader = open_jsonl(directory, writable=False)
        assert reader.stats().points == 300
        expire(store, T0 + 4 * HOUR)
        assert reader.stats() == store.stats()
        store.write([sample("a", 300 * 60, util=300)])
        assert points(reader, "GPU-a") == points(store, "GPU-a")


class TestDamage:
    def test_a_line_that_was_cut_off_anywhere_is_passed_over_and_cut_away(
        self, store: JsonlStore, directory: Path
    ) -> None:
        store.write([sample("a", 0, util=0)])
        [path] = files_of(directory)
        whole = path.read_bytes()
        store.write([sample("a", 1, util=1)])
        longer = path.read_bytes()
        for size in range(len(whole), len(longer)):
            path.write_bytes(longer[:size])
            reader = open_jsonl(directory, writable=False)
            assert [p.value for p in points(reader, "GPU-a")] == [0]
            again = open_jsonl(directory)
            assert again.write([sample("a", 1, util=1)]).new_points == 1
            assert path.read_bytes() == longer

    def test_a_header_that_was_cut_off_is_written_again(
        self, store: JsonlStore, directory: Path
    ) -> None:
        store.write([sample("a", 0, util=0)])
        [path] = files_of(directory)
        whole = path.read_bytes()
        for size in range(whole.index(b"\n") + 1):
            path.write_bytes(whole[:size])
            again = open_jsonl(directory)
            assert again.stats().gpus == 0
            assert again.write([sample("a", 0, util=0)]).new_points == 1
            assert path.read_bytes() == whole

    def test_a_damaged_line_is_an_error_as_long_as_it_is_there(
        self, store: JsonlStore, directory: Path
    ) -> None:
        store.write([sample("a", at, util=at) for at in range(3)])
        [path] = files_of(directory)
        whole = path.read_bytes()
        path.write_bytes(whole.replace(b'"util":1', b'"util":x'))
        reader = open_jsonl(directory, writable=False)
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="damaged"):
                reader.stats()
        with pytest.raises(StoreUnavailable, match="damaged"):
            open_jsonl(directory)
        path.write_bytes(whole)
        assert reader.stats().points == open_jsonl(directory).stats().points == 3

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            (b'{"format": 2, "id": "x", "known": null}\n', "made by a newer release"),
            (b"timestamp,metric_name\n", "not a file of this store"),
        ],
    )
    def test_a_file_not_ours_is_refused_untouched(
        self, directory: Path, line: bytes, words: str
    ) -> None:
        directory.mkdir()
        path = directory / "GPU-x.000001.jsonl"
        path.write_bytes(line)
        with pytest.raises(StoreRefused, match=words):
            open_jsonl(directory)
        assert path.read_bytes() == line

    def test_a_write_that_fails_halfway_is_in_effect_written_once(
        self, store: JsonlStore, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.write([sample("a", 0, util=0)])
        batch = [sample(name, 1, util=1) for name in "abc"]

        def fail(path: Path) -> None:
            raise OSError(28, "No space left on device", str(path))

        with monkeypatch.context() as full:
            full.setattr(jsonl_write._FILES, "sync_directory", fail)
            with pytest.raises(StoreUnavailable, match="No space left"):
                store.write(batch)
        store.write(batch)
        assert store.stats().points == 4
        assert open_jsonl(directory).stats().points == 4


class TestAbsence:
    def test_a_reader_waits_for_the_directory_and_makes_none(self, directory: Path) -> None:
        reader = open_jsonl(directory, writable=False)
        with pytest.raises(StoreUnavailable):
            reader.gpus(GpuFilter(), 10)
        assert not directory.exists()
        open_jsonl(directory).write([sample("a", 0, util=1)])
        assert reader.stats().points == 1


class TestProcesses:
    @pytest.mark.parametrize("calls", [0, 30])
    def test_kill_9_loses_nothing_that_was_answered(self, directory: Path, calls: int) -> None:
        writer, heard = start_writer(open_jsonl, directory)
        for _ in range(calls + 1):
            heard.recv()
        last = max(calls, kill(writer, heard))
        reader = open_jsonl(directory, writable=False)
        stored = reader.stats().points
        assert POINTS_A_CALL * (last + 1) <= stored <= POINTS_A_CALL * (last + 2)
        again = open_jsonl(directory)
        again.write([sample(name, last + 1, util=last + 1, temp=1) for name in GPUS])
        assert again.stats().points == POINTS_A_CALL * (last + 2)
        assert len(points(reader, "GPU-h")) == 2 * (last + 2)

    def test_another_process_writes_while_this_one_reads(self, directory: Path) -> None:
        writer, heard = start_writer(open_jsonl, directory)
        heard.recv()
        reader = open_jsonl(directory, writable=False)
        for _ in range(20):
            call = heard.recv()
            stored = reader.stats().points
            assert stored >= POINTS_A_CALL * (call + 1)
            assert stored % POINTS_A_CALL == 0
        kill(writer, heard)
