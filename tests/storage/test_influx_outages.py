"""InfluxDB killed and paused: what returned is there, and nothing is lost or twice."""

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import StoreUnavailable
from common.models import Gpu, Sample
from common.storage.base import StoreRefused
from tests.storage.samples import T0, points
from tests.support.influx import InfluxServer, running_influxd
from tests.support.stores import OpenStore, opening_bucket


class TestOutages:
    """On servers that are killed and paused; what returned is there, and nothing is twice."""

    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[InfluxServer]:
        with running_influxd(tmp_path / "influxd") as server:
            yield server

    @pytest.fixture
    def open_it(self, server: InfluxServer) -> Iterator[OpenStore]:
        yield from opening_bucket(server, "outages")

    def test_killed_in_the_middle_of_a_write_again_and_again(
        self, server: InfluxServer, open_it: OpenStore
    ) -> None:
        store = open_it()
        store.check()
        done = threading.Event()
        unanswered = 0

        def write() -> None:
            nonlocal unanswered
            for call in range(60):
                while True:
                    try:
                        store.write(fleet(call))
                        break
                    except StoreUnavailable:
                        unanswered += 1
                        time.sleep(0.02)
            done.set()

        writer = threading.Thread(target=write)
        writer.start()
        chance = random.Random(3)
        for _ in range(3):
            time.sleep(chance.uniform(0.02, 0.15))
            server.kill()
            server.start()
        writer.join()
        assert done.is_set()
        assert unanswered
        stats = store.stats()
        assert (stats.samples, stats.points) == (60 * 400, 60 * 400 * 2)
        for name in ("0", "7"):
            record = store.gpu(f"GPU-{name}")
            assert record is not None
            assert (record.points, record.gpu.hostname) == (60 * 10 * 2, f"host-{name}")
            expected = [each for call in range(60) for each in fleet(call)]
            values = [s.metrics["util"] for s in expected if s.gpu.uuid == f"GPU-{name}"]
            assert [p.value for p in points(store, f"GPU-{name}", metrics=("util",))] == values

    def test_what_returned_survives_a_kill(self, server: InfluxServer, open_it: OpenStore) -> None:
        store = open_it()
        store.write(fleet(0))
        server.kill()
        with pytest.raises(StoreUnavailable) as raised:
            store.write(fleet(1))
        assert not isinstance(raised.value, StoreRefused)
        with pytest.raises(StoreUnavailable):
            store.stats()
        server.start()
        assert store.stats().points == 800
        store.write(fleet(0))
        assert store.stats().points == 800

    def test_a_server_that_hangs_is_given_up_and_written_to_again(
        self, server: InfluxServer, open_it: OpenStore
    ) -> None:
        store = open_it(influxdb_timeout_seconds=0.5)
        store.write(fleet(0))
        server.pause()
        try:
            for ask in (lambda: store.write(fleet(1)), store.stats, store.check):
                with pytest.raises(StoreUnavailable, match="does not answer"):
                    ask()
        finally:
            server.go_on()
        patient = open_it()
        patient.write(fleet(1))
        patient.write(fleet(1))
        assert patient.stats().points == 1_600


def fleet(call: int) -> list[Sample]:
    """Ten moments of forty GPUs."""
    return [
        Sample(
            Gpu(uuid=f"GPU-{name}", hostname=f"host-{name}"),
            T0 + (call * 10 + at) * 1000,
            {"util": float(call * 10 + at), "temp": 1.0},
        )
        for at in range(10)
        for name in range(40)
    ]
