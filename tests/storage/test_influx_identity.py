"""Who a GPU is, as several collectors tell one bucket."""

import random
from collections.abc import Iterator

import pytest

from common.models import Gpu, Sample
from common.storage.influx.link import Link
from common.storage.influx.read import Reader
from common.storage.influx.store import InfluxStore
from common.storage.influx.write import Writer
from common.storage.telling import TELL_AGAIN_SECONDS
from tests.storage.samples import T0, gpu, sample
from tests.support.influx import ORG, TOKEN, InfluxServer

HOUR = 3_600_000


class TestTwoCollectors:
    """Each knows only what it was given; the bucket knows the latest of both."""

    @pytest.fixture
    def link(self, influxd: InfluxServer, bucket: str) -> Iterator[Link]:
        link = Link(influxd.url, TOKEN, ORG, bucket, 10.0)
        link.prepare(0)
        yield link
        link.close()

    def test_samples_in_any_order_from_both(self, link: Link) -> None:
        chance = random.Random(11)
        for round_ in range(25):
            name = f"r{round_}"
            writers = [Writer(link, Reader(link), lambda: 0.0) for _ in range(2)]
            seen = [
                Sample(
                    Gpu(uuid=name, pod=chance.choice(["", "p", "q"]), model=chance.choice("mn")),
                    T0 + at,
                    {"m": 1.0},
                )
                for at in range(8)
            ]
            given = seen.copy()
            chance.shuffle(given)
            for each in given:
                writers[0].write([each])
                writers[1].write([each])  # a message that comes to both
            record = InfluxStore(link, writable=False).gpu(name)
            assert record is not None
            assert record.gpu.pod == next((s.gpu.pod for s in reversed(seen) if s.gpu.pod), "")
            assert record.gpu.model == seen[-1].gpu.model

    def test_another_word_in_between_stands_for_a_minute_at_most(self, link: Link) -> None:
        now = 0.0
        one, other = (Writer(link, Reader(link), lambda: now) for _ in range(2))
        store = InfluxStore(link, writable=False)

        def pod() -> str:
            record = store.gpu("GPU-a")
            assert record is not None
            return record.gpu.pod

        one.write([Sample(gpu("a", pod="p"), T0, {"m": 1})])
        other.write([Sample(gpu("a", pod="q"), T0 + 10, {"m": 1})])
        one.write([Sample(gpu("a", pod="p"), T0 + 20, {"m": 1})])
        assert pod() == "q"
        now = TELL_AGAIN_SECONDS
        one.write([Sample(gpu("a", pod="p"), T0 + 30, {"m": 1})])
        assert pod() == "p"

    def test_every_hour_of_samples_has_the_identity(
        self, influxd: InfluxServer, bucket: str, link: Link
    ) -> None:
        writer = Writer(link, Reader(link), lambda: 0.0)
        base = T0 - T0 % HOUR
        for minute in range(0, 240, 7):
            writer.write([Sample(gpu("a", pod="p"), base + minute * 60_000, {"m": 1})])
        answer = influxd.flux(
            f'from(bucket: "{bucket}") |> range(start: 0) |> filter(fn: (r) => '
            'r._measurement == "gpu_info" and r._field == "pod") |> count()'
        )
        assert ",4," in answer

    def test_when_it_was_first_seen_is_carried_on(self, link: Link) -> None:
        Writer(link, Reader(link)).write([sample("a", 0, m=1)])
        late = Writer(link, Reader(link))
        late.write([sample("a", 7_200, m=1)])
        told = Reader(link).first_told({"GPU-a"})
        assert told == {"GPU-a": T0}
