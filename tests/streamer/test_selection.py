"""Whose samples are sent: hosts on a list, shards by host."""

import pytest
from pydantic import ValidationError

from common.models import Gpu, Sample
from streamer.selection import Selection
from tests.streamer.fakes import options


def of(host: str, uuid: str = "GPU-a") -> Sample:
    return Sample(Gpu(uuid=uuid, hostname=host), 0, {"power": 1.0, "temp": 2.0})


HOSTS = [f"dgx-{number:03d}" for number in range(200)]


def test_without_a_choice_everything_is_kept_as_it_is() -> None:
    samples = [of("a"), of("")]
    assert Selection().pick(samples) is samples
    assert Selection().name == ""


def test_a_list_keeps_its_hosts_whatever_their_case_and_counts_the_rest() -> None:
    selection = Selection(["DGX-001", "dgx-003"])
    kept = selection.pick([of(host) for host in HOSTS[:5]])
    assert [sample.gpu.hostname for sample in kept] == ["dgx-001", "dgx-003"]
    assert selection.points_left_out == 3 * 2


@pytest.mark.parametrize("count", [2, 3, 7])
def test_shards_hold_each_sample_once_and_a_host_whole(count: int) -> None:
    samples = [of(host, uuid) for host in HOSTS for uuid in ("GPU-a", "GPU-b")]
    shards = [Selection((), index, count).pick(samples) for index in range(count)]
    assert sorted(id(sample) for shard in shards for sample in shard) == sorted(map(id, samples))
    hosts = [{sample.gpu.hostname for sample in shard} for shard in shards]
    assert all(hosts)
    assert sum(map(len, hosts)) == len(HOSTS)


def test_a_gpu_without_a_host_has_a_shard_too() -> None:
    samples = [Sample(Gpu(uuid=f"GPU-{n}"), 0, {"power": 1.0}) for n in range(50)]
    parts = [Selection((), index, 3).pick(samples) for index in range(3)]
    assert sum(map(len, parts)) == 50


def test_another_choice_has_another_name() -> None:
    names = {
        Selection(*given).name
        for given in [((), 0, 1), ((), 0, 2), ((), 1, 2), (("a",), 0, 1), (("b",), 0, 1)]
    }
    assert len(names) == 5
    assert Selection(("a", "b")).name == Selection(("B", "A")).name


def test_a_shard_is_told_by_a_pods_name() -> None:
    assert options(generate_gpus=1, shard_index="streamer-2", shard_count=3).shard_index == 2
    with pytest.raises(ValidationError, match="SHARD_INDEX must be below SHARD_COUNT"):
        options(generate_gpus=1, shard_index=3, shard_count=3)
