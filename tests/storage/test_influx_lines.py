"""Line protocol: whatever goes in comes back as it was."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.models import MAX_TEXT, Gpu, Sample
from common.storage.bodies import BYTES_PER_REQUEST, LINES_PER_REQUEST, bodies
from common.storage.influx.lines import Encoder, decode, encode_name, encode_text, identity_line
from tests.storage.samples import T0

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=MAX_TEXT)


def line(sample: Sample) -> str:
    [found] = Encoder().lines([sample])
    return found.decode()


@given(texts)
def test_any_text_comes_back(text: str) -> None:
    for coded in (encode_name(text), encode_text(text)):
        assert decode(coded) == text
        assert not re.search(r"[\x00-\x1f\x7f]", coded)


@given(texts, texts)
def test_two_names_are_never_one(one: str, other: str) -> None:
    assert (encode_name(one) == encode_name(other)) == (one == other)


@pytest.mark.parametrize(
    ("name", "coded"),
    [
        ("DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_GPU_UTIL"),
        ("power draw", "power draw"),
        ('XID{code="31"}', 'XID{code="31"}'),
        ("имя", "имя"),
        ("_seen", "%5Fseen"),
        ("time", "%74ime"),
        ("times", "times"),
        ("100%", "100%25"),
        ("ends\\", "ends%5C"),
        ("a\nb\0", "a%0Ab%00"),
    ],
)
def test_common_names_stand_as_they_are(name: str, coded: str) -> None:
    assert encode_name(name) == coded


def test_a_line_has_one_tag_and_a_field_a_metric() -> None:
    gpu = Gpu(uuid="GPU a,b=c", hostname="h", pod="p", labels={"rack": "7"})
    found = line(Sample(gpu, T0, {"util": 50.0, "a b": 0.1, "big": 1e22, "zero": -0.0}))
    assert found == rf"gpu,gpu=GPU\ a\,b\=c _seen=t,util=50.0,a\ b=0.1,big=1e22,zero=-0.0 {T0}"


def test_an_identity_is_text_in_quotes_and_empty_is_left_out() -> None:
    gpu = Gpu(uuid="u", hostname='h"\\', pod="a\nb", labels={"z": "1", "a": "é"})
    assert identity_line("u", gpu, T0, T0 + 1).decode() == (
        r'gpu_info,gpu=u uuid="u",hostname="h\"\\",pod="a%0Ab",'
        rf'labels="{{\"a\":\"é\",\"z\":\"1\"}}",first_seen={T0}i {T0 + 1}'
    )


@given(st.lists(st.binary(min_size=1, max_size=40).filter(lambda b: b"\n" not in b)))
def test_requests_hold_every_line_once(lines: list[bytes]) -> None:
    assert b"\n".join(bodies(lines)).split(b"\n") == (lines or [b""])


def test_requests_are_bounded_in_lines_and_bytes() -> None:
    many = [b"x"] * (LINES_PER_REQUEST + 1)
    assert [len(body.split()) for body in bodies(many)] == [LINES_PER_REQUEST, 1]
    long = [b"x" * (BYTES_PER_REQUEST // 2)] * 3
    assert [len(body.split()) for body in bodies(long)] == [1, 1, 1]
