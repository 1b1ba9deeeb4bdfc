"""How late what is stored is, and how long writing it takes."""

from collections.abc import Sequence
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from collector.measures import Measures
from common.errors import StoreUnavailable
from common.models import Gpu, Sample
from common.storage.base import Store
from tests.support.clock import EPOCH, ManualClock


def sample(age_seconds: float) -> Sample:
    return Sample(Gpu(uuid="GPU-1"), int((EPOCH - age_seconds) * 1000), {"a": 1.0})


class Taking:
    """A store that takes, or refuses, everything."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.closed = False

    def write(self, samples: Sequence[Sample]) -> Any:
        """See ``Store``."""
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """See ``Store``."""
        self.closed = True


def measured(store: Taking) -> tuple[Store, CollectorRegistry]:
    registry = CollectorRegistry()
    return Measures(registry, 1 << 20, ManualClock()).of(cast(Store, store)), registry


def below(registry: CollectorRegistry, bound: str) -> float | None:
    return registry.get_sample_value("telemetry_end_to_end_seconds_bucket", {"le": bound})


def test_a_sample_is_as_late_as_its_own_time_says() -> None:
    store, registry = measured(Taking())
    store.write([sample(0.5), sample(3.0), sample(2.0)])
    store.write([sample(1e6), sample(-7.0)])
    counted = {bound: below(registry, bound) for bound in ("0.5", "2.0", "5.0", "86400.0", "+Inf")}
    assert counted == {"0.5": 2, "2.0": 3, "5.0": 4, "86400.0": 4, "+Inf": 5}
    assert registry.get_sample_value("telemetry_end_to_end_seconds_sum") == 1e6 + 5.5
    assert registry.get_sample_value("telemetry_watermark_seconds") == EPOCH + 7


def test_a_write_that_fails_brings_nothing_and_took_its_time_all_the_same() -> None:
    store, registry = measured(Taking(StoreUnavailable("away")))
    with pytest.raises(StoreUnavailable):
        store.write([sample(1.0)])
    assert below(registry, "+Inf") == 0
    assert registry.get_sample_value("store_write_duration_seconds_count") == 1


def test_the_rest_of_the_store_is_its_own() -> None:
    taking = Taking()
    measured(taking)[0].close()
    assert taking.closed
