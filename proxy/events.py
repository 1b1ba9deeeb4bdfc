"""A broker's event stream as the proxy passes it on: whole events, without the broker's goodbye."""

from collections.abc import AsyncIterator

import aiohttp

from common.wire import GOODBYE_EVENT

EVENT_END = b"\n\n"
BROKERS_GOODBYE = f"event: {GOODBYE_EVENT}\n".encode()


async def whole_events(answer: aiohttp.ClientResponse, limit_bytes: int) -> AsyncIterator[bytes]:
    """A broker's events, as many as came together, never a part of one; not its goodbye."""
    held: list[bytes] = []
    size = 0
    async for chunk in answer.content.iter_any():
        held.append(chunk)
        size += len(chunk)
        end = chunk.rfind(EVENT_END)
        if end < 0 and not (len(held) > 1 and held[-2][-1:] + chunk[:1] == EVENT_END):
            if size > limit_bytes:
                raise aiohttp.ClientPayloadError(f"an event is over {limit_bytes} bytes")
            continue
        text = b"".join(held)
        events, ended, rest = text.rpartition(EVENT_END)
        held, size = ([rest] if rest else []), len(rest)
        events = without_goodbye(events + ended)
        if events:
            yield events


def without_goodbye(events: bytes) -> bytes:
    """Events without the broker's last word, which is not ours."""
    if events.startswith(BROKERS_GOODBYE):
        return b""
    at = events.rfind(b"\n" + BROKERS_GOODBYE)
    return events if at < 0 else events[: at + 1]
