"""A broker's event stream as the proxy passes it on: whole events, its goodbye apart."""

from collections.abc import AsyncIterator

import aiohttp

from common.wire import GOODBYE_EVENT

FOR_THE_CLIENT = (b'"code":"KICKED"', b'"code":"TOPIC_GREW"')
EVENT_END = b"\n\n"
NEXT_EVENT = b"\n\nevent: "
LONGEST_GOODBYE = 1024
BROKERS_GOODBYE = f"event: {GOODBYE_EVENT}\n".encode()


async def whole_events(answer: aiohttp.ClientResponse, limit_bytes: int) -> AsyncIterator[bytes]:
    """A broker's events, as many as came together, never a part of one.

    Raises ClientPayloadError for an event of more than ``limit_bytes``.
    """
    held: list[bytes] = []
    size = 0
    async for chunk in answer.content.iter_any():
        if not held and chunk.endswith(EVENT_END):
            yield within(limit_bytes, chunk)
            continue
        held.append(chunk)
        size += len(chunk)
        if not ends_event(held):
            if size > limit_bytes:
                raise too_large(limit_bytes)
            continue
        text = b"".join(held)
        end = end_of_events(text)
        held = [text[end:]] if end < len(text) else []
        size = len(text) - end
        yield within(limit_bytes, text[:end])


def within(limit_bytes: int, events: bytes) -> bytes:
    """Whole events, none of which is over the limit."""
    if len(events) > limit_bytes and max(map(len, events.split(EVENT_END))) > limit_bytes:
        raise too_large(limit_bytes)
    return events


def too_large(limit_bytes: int) -> aiohttp.ClientPayloadError:
    """The error of an event over the limit."""
    return aiohttp.ClientPayloadError(f"an event is over {limit_bytes} bytes")


def ends_event(chunks: list[bytes]) -> bool:
    """Whether an event ends within the last chunk, or where it touches the one before.

    An end inside a chunk is seen by the event that follows: a long text is found many times faster
    than two bytes. One that is seen too late, since the chunk ends within it, waits for the rest of
    an event that is on its way.
    """
    last = chunks[-1]
    if len(chunks) > 1 and chunks[-2][-1:] + last[:1] == EVENT_END:
        return True
    return last.endswith(EVENT_END) or NEXT_EVENT in last


def end_of_events(text: bytes) -> int:
    """Where the last whole event of a text ends that holds one."""
    if text.endswith(EVENT_END):
        return len(text)
    at = text.rfind(NEXT_EVENT)
    return (at if at >= 0 else text.rfind(EVENT_END)) + len(EVENT_END)


def split_goodbye(events: bytes) -> tuple[bytes, bytes]:
    """Events, and the broker's last word if it is among them: the last event, and a short one."""
    if BROKERS_GOODBYE not in events[-LONGEST_GOODBYE:]:
        return events, b""
    if events.startswith(BROKERS_GOODBYE):
        return b"", events
    at = events.rfind(b"\n" + BROKERS_GOODBYE)
    return (events, b"") if at < 0 else (events[: at + 1], events[at + 1 :])


def is_passing(goodbye: bytes) -> bool:
    """Whether a broker's goodbye is none, or only says that this broker stops."""
    return not any(code in goodbye for code in FOR_THE_CLIENT)
