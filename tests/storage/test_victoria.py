"""What lies in a VictoriaMetrics server, and what is the server's own."""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from pydantic import SecretStr

from common.errors import StoreUnavailable
from common.models import Gpu, Sample
from common.storage.base import (
    GpuFilter,
    Point,
    Store,
    StoreRefused,
    TelemetryQuery,
    WriteRefused,
)
from common.storage.victoria.link import Link, Places
from common.storage.victoria.read import Reader
from common.storage.victoria.write import VISIBLE_SECONDS, Writer
from tests.storage.samples import T0, gpu, pages, points, sample
from tests.storage.test_influx_tls import certificate
from tests.support.front import front
from tests.support.stores import OpenStore, opening_db
from tests.support.victoria import VictoriaMetrics, new_db, running_victoria

ANY = GpuFilter()
DAY_MS = 86_400_000
BY_ITSELF_SECONDS = 2.5
"""After which a server has written out by itself which series there are."""


def one_of(server: VictoriaMetrics, **given: object) -> Store:
    """A store in a server of the test's own; the server ends, and with it what is open."""
    opened = opening_db(server, "telemetry")
    return next(opened)(**given)


class TestLayout:
    @pytest.fixture
    def db(self) -> str:
        return new_db()

    @pytest.fixture
    def open_it(self, victoria: VictoriaMetrics, db: str) -> Iterator[OpenStore]:
        yield from opening_db(victoria, db)

    def test_a_metric_is_a_series_of_its_own_name(
        self, victoria: VictoriaMetrics, db: str, open_it: OpenStore
    ) -> None:
        about = Gpu(uuid="GPU-a", hostname="h", pod="p", labels={"rack": "7"})
        values = {"temp": 41.5, "energy": 5e12, "odd": 1 / 3}
        open_it().write([Sample(about, T0, values)])
        own = {"db": db, "gpu": "GPU-a"}
        found = {
            msgspec.json.encode(each.pop("metric"), order="sorted"): each
            for each in (victoria.series(all_of(db)))
        }
        expected = {
            "temp": (41.5, {}),
            "energy": (5e12, {"wide": "1"}),
            "_seen": (T0, {}),
            "_first_seen": (T0, {}),
            "_info": (T0, {"uuid": "GPU-a", "hostname": "h", "pod": "p", "labels": '{"rack":"7"}'}),
        }
        for name, (value, labels) in expected.items():
            key = msgspec.json.encode({"__name__": name, **own, **labels}, order="sorted")
            assert found.pop(key) == {"values": [value], "timestamps": [T0]}
        assert sorted(map(msgspec.json.decode, found), key=str) == [
            {"__name__": "_bits", **own, "metric": "odd", "half": half} for half in ("high", "low")
        ]

    def test_the_question_of_the_documentation_names_the_host(
        self, victoria: VictoriaMetrics, db: str, open_it: OpenStore
    ) -> None:
        text = (Path(__file__).parents[2] / "docs" / "stores.md").read_text(encoding="utf-8")
        question = text.split("```promql\n")[1].split("```")[0]
        about = Gpu(uuid="GPU-a", hostname="h")
        open_it().write([Sample(about, T0, {"DCGM_FI_DEV_GPU_UTIL": 97.0})])
        (found,) = victoria.question(question.replace("telemetry", db), T0 / 1000 + 60)
        assert (found["metric"]["hostname"], found["value"][1]) == ("h", "97")

    def test_what_is_there_is_not_written_again(
        self, victoria: VictoriaMetrics, db: str, open_it: OpenStore
    ) -> None:
        samples = [sample("a", at, util=at, temp=0.1 + 0.2) for at in range(5)]
        store = open_it()
        store.write(samples)
        before = victoria.count(all_of(db))
        store.write(samples)
        open_it().write(samples)  # a collector that was started anew
        after = victoria.count(all_of(db))
        assert {name: after[name] for name in ("util", "_bits", "_seen")} == {
            name: before[name] for name in ("util", "_bits", "_seen")
        }

    def test_the_value_that_was_written_last_stands_whoever_writes(
        self, victoria: VictoriaMetrics, db: str, open_it: OpenStore
    ) -> None:
        one, other = open_it(), open_it()
        for store, value in ((one, 3.0), (other, 1.0), (one, 2.0), (other, 1 / 3), (one, -0.0)):
            store.write([sample("a", 0, m=value), sample("a", 1, m=7)])
            assert [p.value.hex() for p in points(store, "GPU-a")] == [value.hex(), (7.0).hex()]
        assert other.stats().points == 2

    def test_points_that_lie_there_twice_count_once(
        self, victoria: VictoriaMetrics, db: str, open_it: OpenStore
    ) -> None:
        store = open_it()
        store.write([sample("a", at, util=at, odd=at / 3) for at in range(5)])
        before, found = store.stats(), points(store, "GPU-a")
        victoria.ask("/api/v1/import", export(victoria, db))
        assert victoria.count(all_of(db))["util"] == 10
        assert store.stats() == before
        assert points(store, "GPU-a") == found
        record = store.gpu("GPU-a")
        assert record is not None
        assert record.points == 10 == store.count_points("GPU-a", T0, T0 + 4000)


class TestCounting:
    def test_a_server_that_drops_repeats_counts_itself_and_the_same(self, tmp_path: Path) -> None:
        with running_victoria(tmp_path, "-dedup.minScrapeInterval=1ms") as server:
            store = one_of(server)
            store.write([sample("a", at, util=at, odd=at / 3, big=1e12) for at in range(5)])
            store.write([sample("b", at, util=at) for at in range(3)])
            server.ask("/api/v1/import", export(server))
            store.write([sample("a", 0, util=9, odd=1 / 7, big=0)])
            stats = store.stats()
            assert (stats.points, stats.samples) == (18, 8)
            assert [record.points for record in store.gpus(ANY, 10)] == [15, 3]

    def test_many_gpus_with_long_names_are_asked_for_together(self, open_db: OpenStore) -> None:
        names = [f"{number:03}-" + "ü." * 200 for number in range(60)]
        store = open_db()
        store.write([Sample(Gpu(uuid=name), T0, {"m": 1.0}) for name in names])
        store.write([Sample(Gpu(uuid=name), T0, {"m": 2.0}) for name in names])
        assert [record.points for record in store.gpus(ANY, 100)] == [1] * len(names)
        assert store.gpu_ids() == names
        assert points(store, names[7]) == [Point(T0, "m", 2.0)]

    def test_labels_of_any_length_come_back(self, open_db: OpenStore) -> None:
        store = open_db()
        for size in (3, 300, 512):
            labels = {f"{number:03}" + "ü" * (size - 3): "ß" * size for number in range(64)}
            about = Gpu(uuid="GPU-a", labels=labels)
            store.write([Sample(about, T0 + size, {"m": 1.0})])
            record = store.gpu("GPU-a")
            assert record is not None
            assert record.gpu.labels == labels


class TestTimes:
    def test_the_last_moment_is_found_in_the_hour_that_was_told(self, open_db: OpenStore) -> None:
        store = open_db()
        for at in (0, 1, 3_599, 7_300, 7_301, 7_302):
            store.write([sample("a", at, m=at)])
        store.write([sample(f"b{hour}", hour * 3_600, m=1) for hour in range(60)])
        seen = {record.id: record.last_seen for record in store.gpus(ANY, 100)}
        expected = {f"GPU-b{hour}": T0 + hour * 3_600_000 for hour in range(60)}
        assert seen == {"GPU-a": T0 + 7_302_000, **expected}
        assert open_db().gpu("GPU-a") == store.gpu("GPU-a")

    @pytest.mark.parametrize("descending", [False, True])
    def test_pages_go_over_gaps_of_months(self, open_db: OpenStore, descending: bool) -> None:
        begin, day = -200 * 86_400, 86_400
        times = [begin + at for at in (0, 5, 90 * day, 90 * day + 1, 200 * day)]
        store = open_db()
        store.write([sample("a", at, m=at, n=at) for at in times])
        wanted = [float(at) for at in times for _ in "mn"]
        found = [p.value for p in pages(store, "GPU-a", 3, descending=descending)]
        assert found == sorted(wanted, reverse=descending)
        after = T0 + begin * 1000 + 6_000
        gap = {"start_ms": after, "end_ms": after + 80 * DAY_MS}
        assert pages(store, "GPU-a", 3, descending=descending, **gap) == []
        late = {"start_ms": after, "end_ms": after + 100 * DAY_MS}
        assert len(pages(store, "GPU-a", 3, descending=descending, **late)) == 4


class TestServer:
    def test_what_it_would_drop_without_a_word_is_refused(self, tmp_path: Path) -> None:
        with running_victoria(tmp_path, "-retentionPeriod=3d") as server:
            store, now = one_of(server, retention_seconds=2 * 86400.0), round(time.time() * 1000)
            with pytest.raises(WriteRefused, match="older than the retention"):
                store.write([Sample(gpu(), now - 2 * DAY_MS - 60_000, {"m": 1.0})])
            with pytest.raises(WriteRefused, match="ahead of the clock"):
                store.write([Sample(gpu(), now + 2 * DAY_MS + 60_000, {"m": 1.0})])
            store.write([Sample(gpu(), now - DAY_MS, {"m": 1.0})])
            assert store.stats().points == 1
            with pytest.raises(StoreRefused, match="-retentionPeriod"):
                one_of(server, retention_seconds=4 * 86400.0)

    def test_one_that_rounds_is_refused(self, tmp_path: Path) -> None:
        with (
            running_victoria(tmp_path, "-precisionBits=32") as server,
            pytest.raises(StoreRefused, match="-precisionBits"),
        ):
            one_of(server)

    def test_one_that_cannot_be_made_to_sync_is_said_to_be(self, tmp_path: Path) -> None:
        with running_victoria(tmp_path, "-snapshotAuthKey=canary") as server:
            store = one_of(server)
            with pytest.raises(StoreRefused, match="answered 400 to /snapshot/create"):
                store.write([sample("a", 0, m=1)])
            one_of(server, victoriametrics_durability="accepted").write([sample("a", 1, m=1)])

    def test_who_asks_must_be_who_he_says(self, tmp_path: Path) -> None:
        flags = ("-httpAuth.username=fleet", "-httpAuth.password=canary")
        with running_victoria(tmp_path, *flags) as server:
            who = {"victoriametrics_username": "fleet"}
            for wrong in ({}, {**who, "victoriametrics_password": SecretStr("wrong-one")}):
                with pytest.raises(StoreRefused, match="401") as raised:
                    one_of(server, **wrong)
                assert "wrong-one" not in str(raised.value)
            store = one_of(server, **who, victoriametrics_password=SecretStr("canary"))
            store.write([sample("a", 0, m=1)])
            assert store.stats().points == 1

    def test_behind_tls_its_ca_is_trusted_and_another_is_not(self, tmp_path: Path) -> None:
        ours, key = certificate(tmp_path, "ours")
        another, _ = certificate(tmp_path, "another")
        flags = ("-tls", f"-tlsCertFile={ours}", f"-tlsKeyFile={key}")
        with running_victoria(tmp_path / "data", *flags, scheme="https") as server:
            one_of(server, victoriametrics_ca_file=ours).write([sample("a", 0, m=1)])
            for wrong in (another, None, tmp_path / "absent.pem", key):
                with pytest.raises(StoreRefused, match=r"certificate|no CAs in"):
                    one_of(server, victoriametrics_ca_file=wrong)
                reader = one_of(server, writable=False, victoriametrics_ca_file=wrong)
                with pytest.raises(StoreRefused):
                    reader.stats()


PATHS = {"/insert/0/prometheus": "insert", "/select/7/prometheus": "select"}


def test_a_cluster_is_written_and_asked_at_its_own_addresses(
    victoria: VictoriaMetrics, open_db: OpenStore
) -> None:
    with front(victoria.url, PATHS, token="canary-token") as gate:
        where = {
            "victoriametrics_url": "",
            "victoriametrics_insert_url": f"{gate.url}/insert/0/prometheus",
            "victoriametrics_select_url": f"{gate.url}/select/7/prometheus/",
            "victoriametrics_durability": "accepted",
        }
        store = open_db(**where, victoriametrics_token=SecretStr("canary-token"))
        store.write([sample("a", 0, m=1), sample("a", 1, m=1)])
        victoria.ask("/internal/force_flush")
        assert [p.value for p in points(store, "GPU-a")] == [1, 1]
        assert gate.asked["insert"] == 1
        with pytest.raises(StoreRefused, match="401"):
            open_db(**where, victoriametrics_token=SecretStr("another-token"))


def test_what_a_cluster_may_not_show_yet_is_waited_for_before_it_is_written_over(
    victoria: VictoriaMetrics,
) -> None:
    db, waited = new_db(), list[float]()

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        victoria.ask("/internal/force_flush")

    link = Link(Places.single(victoria.url), {}, 10.0)
    reader = Reader(link, db)
    writer = Writer(link, reader, db, durable=False, retention_seconds=0.0, sleep=sleep)
    writer.write([sample("a", 0, m=5), sample("a", 1, m=5)])
    assert not waited
    writer.write([sample("a", 0, m=2)])
    assert 0 < waited[0] <= VISIBLE_SECONDS
    sleep(0)
    page = reader.telemetry(TelemetryQuery("GPU-a", 10))
    assert page is not None
    assert [p.value for p in page.points] == [2, 5]
    link.close()


def test_a_write_that_is_done_shows_though_the_server_was_first_with_its_index(
    open_db: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, sync = open_db(), Link.sync
    assert store.telemetry(TelemetryQuery("GPU-a", 10)) is None
    assert store.gpu_ids() == store.metrics() == []

    def late(link: Link) -> None:
        time.sleep(BY_ITSELF_SECONDS)
        sync(link)

    monkeypatch.setattr(Link, "sync", late)
    store.write([sample("a", 0, m=1)])
    assert [p.value for p in points(store, "GPU-a")] == [1]
    assert (store.gpu_ids(), store.metrics()) == (["GPU-a"], ["m"])


def test_a_server_that_is_started_anew_before_the_disk_has_it_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_victoria(tmp_path) as server:
        store = one_of(server)
        store.write([sample("a", 0, m=1)])
        sync = Link.sync

        def killed_first(link: Link) -> None:
            server.kill()
            server.start()
            sync(link)

        monkeypatch.setattr(Link, "sync", killed_first)
        with pytest.raises(StoreUnavailable, match="started anew"):
            store.write([sample("a", 1, m=1)])
        monkeypatch.undo()
        assert store.stats().points == 1  # and the second one is gone, as it was said
        store.write([sample("a", 1, m=1)])
        assert store.stats().points == 2


def all_of(db: str) -> str:
    """Everything of one store."""
    return f'{{db="{db}"}}'


def export(server: VictoriaMetrics, db: str = "telemetry") -> bytes:
    """All that lies in a server of one store, as it takes it."""
    return b"\n".join(msgspec.json.encode(series) for series in server.series(all_of(db)))
