"""A real InfluxDB: its bucket, its tokens, what lies in it, and what it refuses."""

import csv
import random
import re
import threading
import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from common.models import Gpu, Sample
from common.storage.base import GpuFilter, Point, Store, StoreRefused, WriteRefused
from common.storage.influx import flux
from common.storage.influx.lines import IDENTITY
from tests.storage.samples import T0, gpu, points, sample
from tests.support.influx import InfluxServer
from tests.support.stores import OpenStore

DAY_SECONDS = 86_400
STORES = Path(__file__).parents[2] / "docs" / "stores.md"


def retention(server: InfluxServer, bucket: str) -> int:
    found = server.bucket(bucket)
    assert found is not None
    return sum(rule["everySeconds"] for rule in found["retentionRules"])


class TestBucket:
    def test_it_is_made_with_the_retention_and_follows_it(
        self, influxd: InfluxServer, bucket: str, open_bucket: OpenStore
    ) -> None:
        for seconds in (30 * DAY_SECONDS, 3_600, 400 * DAY_SECONDS, 0):
            open_bucket(retention_seconds=float(seconds)).check()
            assert retention(influxd, bucket) == seconds

    def test_a_reader_makes_none(
        self, influxd: InfluxServer, bucket: str, open_bucket: OpenStore
    ) -> None:
        reader = open_bucket(writable=False)
        with pytest.raises(StoreRefused, match="no bucket"):
            reader.check()
        with pytest.raises(StoreRefused, match="not find bucket"):
            reader.stats()
        assert influxd.bucket(bucket) is None

    def test_two_that_start_at_once_make_one(
        self, influxd: InfluxServer, bucket: str, open_bucket: OpenStore
    ) -> None:
        stores = [open_bucket() for _ in range(6)]
        threads = [
            threading.Thread(target=store.write, args=([sample("a", at, m=at)],))
            for at, store in enumerate(stores)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(points(stores[0], "GPU-a")) == 6

    def test_a_point_older_than_the_retention_is_refused_with_the_servers_words(
        self, open_bucket: OpenStore
    ) -> None:
        store = open_bucket(retention_seconds=float(DAY_SECONDS))
        with pytest.raises(WriteRefused, match="retention"):
            store.write([sample("a", 0, m=1)])
        now = [Sample(gpu("b"), int(time.time() * 1000), {"m": 1})]
        store.write(now)
        assert [record.id for record in store.gpus(GpuFilter(), 10)] == ["GPU-b"]

    def test_a_deleted_bucket_is_refused_and_not_made_again_unasked(
        self, influxd: InfluxServer, bucket: str, open_bucket: OpenStore
    ) -> None:
        store, reader = open_bucket(), open_bucket(writable=False)
        who = Gpu(uuid="GPU-a", hostname="h")
        store.write([Sample(who, T0, {"m": 1})])
        influxd.drop_bucket(bucket)
        for ask in (lambda: store.write([Sample(who, T0 + 1, {"m": 1})]), store.check):
            with pytest.raises(StoreRefused, match=bucket):
                ask()
        with pytest.raises(StoreRefused):
            reader.gpus(GpuFilter(), 10)
        assert influxd.bucket(bucket) is None
        open_bucket().check()  # as a collector that is started again does
        store.write([Sample(who, T0 + 1, {"m": 1})])
        [record] = reader.gpus(GpuFilter(), 10)
        assert (record.gpu, record.points) == (who, 1)


class TestTokens:
    def test_a_wrong_token_is_refused_and_told_nobody(self, open_bucket: OpenStore) -> None:
        open_bucket().check()
        secret = SecretStr("not-the-token-of-anybody")
        reader = open_bucket(writable=False, influxdb_token=secret)
        for ask in (lambda: open_bucket(influxdb_token=secret), reader.check, reader.stats):
            with pytest.raises(StoreRefused, match="401") as raised:
                ask()
            assert secret.get_secret_value() not in str(raised.value)

    def test_a_token_that_is_revoked_while_it_is_used(
        self, influxd: InfluxServer, bucket: str, open_bucket: OpenStore
    ) -> None:
        open_bucket().check()
        found = influxd.bucket(bucket)
        assert found is not None
        what = {"type": "buckets", "id": found["id"], "orgID": found["orgID"]}
        allowed = [{"action": action, "resource": what} for action in ("read", "write")]
        token_id, token = influxd.make_token(*allowed)
        store = open_bucket(influxdb_token=SecretStr(token), retention_seconds=7200.0)
        now = int(time.time() * 1000)
        some = [Sample(gpu("a"), now + at, {"m": at}) for at in range(10)]
        store.write(some[:5])
        assert retention(influxd, bucket) == 7200
        influxd.drop_token(token_id)
        with pytest.raises(StoreRefused, match="401"):
            store.write(some[5:])
        with pytest.raises(StoreRefused):
            store.gpu("GPU-a")
        again = open_bucket(retention_seconds=7200.0)
        again.write(some[5:])
        assert [point.value for point in points(again, "GPU-a")] == list(range(10))

    def test_a_token_that_may_only_read_is_enough_to_ask(
        self, influxd: InfluxServer, bucket: str, open_bucket: OpenStore
    ) -> None:
        open_bucket().write([sample("a", 0, m=1)])
        found = influxd.bucket(bucket)
        assert found is not None
        what = {"type": "buckets", "id": found["id"], "orgID": found["orgID"]}
        _, token = influxd.make_token({"action": "read", "resource": what})
        reader = open_bucket(writable=False, influxdb_token=SecretStr(token))
        reader.check()
        assert [record.id for record in reader.gpus(GpuFilter(), 10)] == ["GPU-a"]
        with pytest.raises(StoreRefused, match="answered 40"):
            open_bucket(influxdb_token=SecretStr(token)).write([sample("a", 1, m=1)])
        assert reader.stats().points == 1

    def test_a_token_that_may_not_make_the_bucket_says_so(
        self, influxd: InfluxServer, bucket: str, open_bucket: OpenStore
    ) -> None:
        first = influxd.bucket("first")
        assert first is not None
        what = {"type": "buckets", "id": first["id"], "orgID": first["orgID"]}
        _, token = influxd.make_token({"action": "read", "resource": what})
        with pytest.raises(StoreRefused, match="sufficient permission"):
            open_bucket(influxdb_token=SecretStr(token))
        assert influxd.bucket(bucket) is None


class TestLayout:
    def test_the_one_tag_is_the_gpu(
        self, influxd: InfluxServer, bucket: str, open_bucket: OpenStore
    ) -> None:
        who = Gpu(
            "GPU-a", "host-1", "0", "nvidia0", "H100", "train", "pod-1", "c", {"rack": "rack-7"}
        )
        open_bucket().write([Sample(who, T0, {"util": 1.0}), sample("b", 0, temp=2)])
        range_ = 'import "influxdata/influxdb/schema"\n schema.'
        tail = f'(bucket: "{bucket}", start: 0, stop: 2100-01-01T00:00:00Z'
        tags = influxd.flux(f"{range_}tagKeys{tail})")
        assert set(cells(tags)) == {"gpu", "_measurement", "_field", "_start", "_stop"}
        assert set(cells(influxd.flux(f'{range_}tagValues{tail}, tag: "gpu")'))) == {
            "GPU-a",
            "GPU-b",
        }
        assert set(cells(influxd.flux(f'{range_}tagValues{tail}, tag: "_measurement")'))) == {
            "gpu",
            "gpu_info",
        }

    def test_the_question_in_the_documentation_is_answered(
        self, influxd: InfluxServer, open_bucket: OpenStore
    ) -> None:
        [question] = re.findall(r"```flux\n(.*?)```", STORES.read_text(encoding="utf-8"), re.DOTALL)
        store = open_bucket(influxdb_bucket="telemetry")
        who = Gpu(uuid="GPU-a", hostname="host-7")
        store.write([Sample(who, int(time.time() * 1000), {"DCGM_FI_DEV_GPU_UTIL": 83.5})])
        answer = influxd.flux(question)
        influxd.drop_bucket("telemetry")
        [row] = csv.DictReader(answer.strip().splitlines())
        assert (row["gpu"], row["hostname"], row["_value"]) == ("GPU-a", "host-7", "83.5")

    def test_any_text_of_an_identity_comes_back(self, open_bucket: OpenStore) -> None:
        chance = random.Random(5)
        alphabet = "ab \"'\\,=%_#\n\r\t\0\x7f{}$é漢\u2028🚀"

        def text() -> str:
            return "".join(chance.choices(alphabet, k=chance.randint(1, 12)))

        store = open_bucket()
        for _ in range(40):
            names = {name: text() for name in IDENTITY}
            who = Gpu(**names, labels={text(): text() for _ in range(3)})
            metrics = {text(): chance.random() for _ in range(4)}
            store.write([Sample(who, T0, metrics)])
            record = store.gpu(who.uuid)
            assert record is not None
            assert record.gpu == who
            found = {point.metric: point.value for point in points(store, who.uuid)}
            assert found.items() >= metrics.items()
            assert record.id in [r.id for r in store.gpus(GpuFilter(host=who.hostname), 1_000)]


def cells(answer: str) -> list[str]:
    return [row[-1] for row in csv.reader(answer.splitlines()) if row and row[-1] != "_value"]


class TestRefusals:
    def test_a_conflict_of_types_costs_only_the_metric_that_has_it(
        self, influxd: InfluxServer, bucket: str, open_bucket: OpenStore
    ) -> None:
        store = open_bucket()
        store.check()
        influxd.write(bucket, f"gpu,gpu=somebody-elses util=1i {T0}")
        some = [sample("a", at, temp=at, util=at) for at in range(20)]
        with pytest.raises(WriteRefused, match="type conflict"):
            store.write(some)
        refused = write_in_parts(store, some)
        assert [list(each.metrics) for each in refused] == [["util"]] * 20
        found = points(store, "GPU-a")
        assert found == [Point(T0 + at * 1000, "temp", at) for at in range(20)]

    def test_one_bad_point_of_five_thousand_is_found_and_the_rest_is_stored(
        self, influxd: InfluxServer, bucket: str, open_bucket: OpenStore
    ) -> None:
        store = open_bucket()
        store.check()
        influxd.write(bucket, f"gpu,gpu=somebody-elses bad=true {T0}")
        some = [sample(str(at % 50), at, m=at) for at in range(4_999)]
        some.insert(3_333, sample("7", 9_999, bad=1))
        refused = write_in_parts(store, some)
        assert refused == [sample("7", 9_999, bad=1)]
        assert store.stats().points == 4_999 + 1  # and somebody else's

    def test_many_megabytes_at_once_are_stored(self, open_bucket: OpenStore) -> None:
        store = open_bucket()
        names = [f"a_metric_with_a_long_name_{number:_>200}" for number in range(100)]
        some = [sample("a", at, **dict.fromkeys(names, 1.5)) for at in range(300)]
        store.write(some)
        assert store.stats().points == 30_000

    def test_a_clock_far_ahead_is_stored_with_its_own_time(self, open_bucket: OpenStore) -> None:
        store = open_bucket()
        far = Sample(gpu("a"), 4_102_444_800_000, {"m": 1.0})
        store.write([far, sample("a", 0, m=2)])
        assert [point.timestamp for point in points(store, "GPU-a")] == [T0, far.timestamp]


def write_in_parts(store: Store, samples: list[Sample]) -> list[Sample]:
    """Write, halving what is refused; return the metrics of samples that nobody will take."""
    try:
        store.write(samples)
    except WriteRefused:
        if len(samples) > 1:
            half = len(samples) // 2
            return write_in_parts(store, samples[:half]) + write_in_parts(store, samples[half:])
        [one] = samples
        if len(one.metrics) == 1:
            return [one]
        parts = [Sample(one.gpu, one.timestamp, {n: v}) for n, v in one.metrics.items()]
        return [bad for part in parts for bad in write_in_parts(store, [part])]
    return []


class TestFleets:
    def test_a_page_of_more_gpus_than_one_question_names(
        self, open_bucket: OpenStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(flux, "MAX_NAMED", 7)
        store = open_bucket()
        ids = [f"GPU-{number:03}" for number in range(150)]
        store.write([Sample(Gpu(uuid=each, pod=each), T0, {"m": 1.0, "n": 2.0}) for each in ids])
        for limit in (3, 40, 150):
            found = store.gpus(GpuFilter(), limit, after=ids[0])
            assert [record.id for record in found] == ids[1 : limit + 1]
            assert all((r.gpu.pod, r.points) == (r.id, 2) for r in found)
