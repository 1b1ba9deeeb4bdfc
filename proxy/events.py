"""A broker's event stream as the proxy passes it on: whole events, its goodbye apart."""

from collections.abc import AsyncIterator

import aiohttp

from common.wire import GOODBYE_EVENT

FOR_THE_CLIENT = (b'"code":"KICKED"', b'"code":"TOPIC_GREW"')
EVENT_END = b"\n\n"
BROKERS_GOODBYE = f"event: {GOODBYE_EVENT}\n".encode()


async def whole_events(answer: aiohttp.ClientResponse, limit_bytes: int) -> AsyncIterator[bytes]:
    """A broker's events, as many as came together, never a part of one."""
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
        yield events + ended


def split_goodbye(events: bytes) -> tuple[bytes, bytes]:
    """Events, and the broker's last word if it is among them."""
    if events.startswith(BROKERS_GOODBYE):
        return b"", events
    at = events.rfind(b"\n" + BROKERS_GOODBYE)
    return (events, b"") if at < 0 else (events[: at + 1], events[at + 1 :])


def is_passing(goodbye: bytes) -> bool:
    """Whether a broker's goodbye is none, or only says that this broker stops."""
    return not any(code in goodbye for code in FOR_THE_CLIENT)
