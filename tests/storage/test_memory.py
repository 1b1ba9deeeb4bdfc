"""What is true of the store in memory alone."""

import pytest
from pydantic import SecretStr

from common.storage.base import StoreRefused
from common.storage.factory import open_store
from common.storage.options import StoreOptions
from tests.storage.samples import points, sample

OPTIONS = StoreOptions(store="memory", service_token=SecretStr("s" * 32))


def test_who_only_reads_is_told_that_there_is_nothing_to_read() -> None:
    with pytest.raises(StoreRefused, match="in the process that writes it"):
        open_store(OPTIONS, writable=False)


def test_each_is_a_store_of_its_own() -> None:
    one, other = (open_store(OPTIONS, writable=True) for _ in range(2))
    one.write([sample("a", 0, util=1)])
    assert len(points(one, "GPU-a")) == 1
    assert other.gpu("GPU-a") is None
