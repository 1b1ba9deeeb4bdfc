"""A broker's stream passed on: whole events, whatever pieces it came in."""

from collections.abc import AsyncIterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.http import sse
from proxy.events import whole_events

EVENT = st.one_of(
    st.just(sse.HEARTBEAT),
    st.builds(
        sse.encode,
        st.sampled_from(["message", "batch", "goodbye"]),
        st.just("b:0:1:a"),
        st.sampled_from([b"{}", b"event: x", b"a\n\nb", b"x" * 40]),
    ),
)


def answer_of(chunks: list[bytes]) -> aiohttp.ClientResponse:
    """As much of an answer as is read here."""

    async def iter_any() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    content: Any = SimpleNamespace(iter_any=iter_any)
    return cast(aiohttp.ClientResponse, SimpleNamespace(content=content))


@given(st.lists(EVENT, min_size=1, max_size=6), st.lists(st.integers(0, 300), max_size=12))
async def test_what_is_passed_on_is_whole_and_everything(
    events: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(events)
    edges = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    chunks = [stream[a:b] for a, b in pairwise(edges)]
    passed = [piece async for piece in whole_events(answer_of(chunks), 1 << 20)]
    assert b"".join(passed) == stream
    ends = {sum(map(len, events[:count])) for count in range(len(events) + 1)}
    at = 0
    for piece in passed:
        at += len(piece)
        assert at in ends


async def test_an_event_is_passed_on_as_soon_as_the_next_begins() -> None:
    first, second = sse.encode("message", "1", b"a"), sse.encode("message", "2", b"b")
    passed = whole_events(answer_of([first[:9], first[9:] + second[:12]]), 1 << 20)
    assert [piece async for piece in passed] == [first]


@pytest.mark.parametrize("pieces", [1, 2])
async def test_an_event_over_the_limit_is_refused_though_it_came_at_once(pieces: int) -> None:
    small, large = sse.encode("message", "1", b"a" * 50), sse.encode("message", "2", b"b" * 99)
    stream = small * 5 + large + small
    chunks = [stream] if pieces == 1 else [stream[:-9], stream[-9:]]
    with pytest.raises(aiohttp.ClientPayloadError, match="over 100 bytes"):
        async for _ in whole_events(answer_of(chunks), 100):
            raise AssertionError("all of it came together")
    assert [piece async for piece in whole_events(answer_of([small * 5]), 100)] == [small * 5]


async def test_an_event_without_an_end_is_not_held_for_ever() -> None:
    with pytest.raises(aiohttp.ClientPayloadError, match="over 100 bytes"):
        async for _ in whole_events(answer_of([b"data: 0123456789"] * 10), 100):
            raise AssertionError("there is nothing whole in it")
