"""What is decoded once: the same answers as decoding all of it, within bounds."""

import msgspec
import pytest

from collector import known
from collector.known import Known
from common.models import Batch, Gpu, Sample
from tests.collector.fakes import T0, message, raw_message, sample


def of(uuid: str, **metrics: float) -> Sample:
    return Sample(Gpu(uuid=uuid, pod="p"), T0, metrics or {"power": 1.0})


def test_an_identity_is_one_object_until_it_changes() -> None:
    memory = Known()
    first = memory.samples_of(message(of("a"), of("b"), of("a")))
    again = memory.samples_of(message(of("a"), Sample(Gpu(uuid="a", pod="q"), T0, {"power": 1.0})))
    assert first is not None
    assert again is not None
    assert first[0].gpu is first[2].gpu is again[0].gpu
    assert again[1].gpu == Gpu(uuid="a", pod="q")


@pytest.mark.parametrize(
    "odd",
    [
        message(),
        message(of("a", **{"x" * 513: 1.0})),
        raw_message(b'{"gpu":{"uuid":"a"},"timestamp":3,"metrics":{"power":1.0}}'),
        raw_message(b'{"gpu":{"uuid":"a"},"timestamp":%d,"metrics":{}}' % T0),
        raw_message(msgspec.json.encode(sample(1)))[:-1] + b',"schema":2}',
    ],
)
def test_what_must_be_looked_at_closely_is_said_to_be(odd: bytes) -> None:
    assert Known().samples_of(odd) is None


@pytest.mark.parametrize("gpu", [b"{}", b"null", b'{"uuid":3}', b'{"hostname":"h"}'])
def test_no_identity_is_learnt_that_no_sample_may_have(gpu: bytes) -> None:
    payload = raw_message(b'{"gpu":%b,"timestamp":%d,"metrics":{"a":1.0}}' % (gpu, T0))
    memory = Known()
    for _ in range(2):
        with pytest.raises(msgspec.ValidationError):
            memory.samples_of(payload)


def test_it_remembers_so_much_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "MOST_GPUS", 3)
    monkeypatch.setattr(known, "MOST_SHAPES", 3)
    memory = Known()
    for number in range(20):
        wanted = [of(f"g{number}", **{f"m{number}": 1.0}), of("g0")]
        assert memory.samples_of(message(*wanted)) == wanted
        assert len(memory._gpus) <= 3
        assert len(memory._shapes) <= 5  # those of one message come together


def test_what_was_spooled_is_read_whatever_is_good_now() -> None:
    older = Batch("id", "s", T0, [Sample(Gpu(), 3, {"": 1.0})])
    assert Known().spooled(msgspec.json.encode(older)) == older.samples
