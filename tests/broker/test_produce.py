"""Produce over the wire: every form of body, every refusal."""

import errno
import gzip
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.http.raw import CREDENTIAL, wire
from tests.support.broker import RunningBroker, running_broker
from tests.support.client import BrokerClient, payload
from tests.support.files import MemoryFiles

JSON = "application/json"
NDJSON = "application/x-ndjson"


async def stored(client: BrokerClient, topic: str = "t", partition: int = 0) -> list[bytes]:
    """Every payload of a partition."""
    answer = await client.request(
        "GET", "/messages", params={"topic": topic, "partition": str(partition), "limit": "1000"}
    )
    return [payload(envelope) for envelope in answer.json["messages"]]


async def kept(client: BrokerClient, body: bytes, **headers: str) -> list[bytes]:
    """Produce one body; return what lies in the log."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await client.produce("t", body, partition=0, headers=named)
    assert answer.status == 200, answer.body
    found = await stored(client)
    assert answer.json["count"] == len(found)
    return found


async def test_the_answer_says_where_and_how_safely(client: BrokerClient) -> None:
    await client.produce("t", b"first", partition=2)
    answer = await client.produce_lines("t", b"a", b"b", b"c", partition=2)
    assert answer.json == {
        "id": "broker-0:2:1",
        "topic": "t",
        "partition": 2,
        "offset": 1,
        "count": 3,
        "durability": "fsync",
        "duplicate": False,
    }


@pytest.mark.parametrize(
    "body",
    [b"text", b"", b"\x00\xff\xfe binary", b"two\nlines\r\n", "\u2028 \N{GRINNING FACE}".encode()],
)
async def test_a_raw_body_is_one_message_byte_for_byte(client: BrokerClient, body: bytes) -> None:
    assert await kept(client, body) == [body]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"a": 1}', b'{"a": 1}'),
        (b"[1, 2]", b"[1, 2]"),
        (b'"text"', b'"text"'),
        (b"1e400", b"1e400"),
        (b' {"payload": "x \\u00e9 \\n"} ', "x \u00e9 \n".encode()),
        (b'{"payload": {"a": [1,  2]}}', b'{"a": [1,  2]}'),
        (b'{"payload": null}', b"null"),
        (b'{"payload": ""}', b""),
        (b'{"payload": 1, "b": 2}', b'{"payload": 1, "b": 2}'),
    ],
)
async def test_a_json_body_is_one_message_and_a_lone_payload_is_unwrapped(
    client: BrokerClient, body: bytes, message: bytes
) -> None:
    assert await kept(client, body, Content_Type=JSON) == [message]


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        (b"a\nb\nc", [b"a", b"b", b"c"]),
        (b"a\r\nb\r\n", [b"a", b"b"]),
        (b"\n\na\n\n\nb\n\n", [b"a", b"b"]),
        (b"\r\n\r\na\r\n\r\n\r\nb", [b"a", b"b"]),
        (b"one", [b"one"]),
        (b" a \n\tb", [b" a ", b"\tb"]),
        (b"in\rside\n\xff", [b"in\rside", b"\xff"]),
    ],
)
async def test_ndjson_is_a_message_a_line(
    client: BrokerClient, body: bytes, messages: list[bytes]
) -> None:
    assert await kept(client, body, Content_Type=NDJSON) == messages


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("zstd", zstandard.ZstdCompressor().compress)],
)
async def test_compressed_bodies_are_inflated(
    client: BrokerClient, encoding: str, compress: Any
) -> None:
    found = await kept(client, compress(b"a\nb"), Content_Type=NDJSON, Content_Encoding=encoding)
    assert found == [b"a", b"b"]


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("zstd", zstandard.ZstdCompressor().compress)],
)
async def test_a_bomb_is_refused_and_nothing_is_stored(
    client: BrokerClient, encoding: str, compress: Any
) -> None:
    bomb = compress(bytes(64 << 20))
    answer = await client.produce("t", bomb, headers={"Content-Encoding": encoding})
    assert (answer.status, answer.code) == (413, "TOO_LARGE")
    assert (await client.request("GET", "/topics")).json == {"topics": []}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, b""),
        (JSON, b"{"),
        (JSON, b"{} {}"),
        (JSON, b"NaN"),
        (JSON, b'{"payload": "\\ud800"}'),
        (JSON, b'{"payload": "\xff"}'),
        (JSON, b"\xef\xbb\xbf{}"),
        (JSON, b"[" * 100_000),
        (NDJSON, b""),
        (NDJSON, b"\r\n\n"),
    ],
)
async def test_a_body_that_is_not_what_it_says_is_refused(
    client: BrokerClient, content_type: str, body: bytes
) -> None:
    answer = await client.produce("t", body, headers={"Content-Type": content_type})
    assert (answer.status, answer.code) == (400, "INVALID_REQUEST")


BAD_NAMES = [
    *[
        "..",
        "a..b",
        ".a",
        "-a",
        "",
        "a/b",
        "../../etc",
        "%2e%2e%2f",
        "a b",
        "a\0",
        "a\n",
        "x" * 300,
    ],
    *["\u0430", "a:b"],
]


@pytest.mark.parametrize("name", BAD_NAMES)
async def test_a_name_that_could_mean_something_else_is_refused(
    client: BrokerClient, name: str
) -> None:
    given = {"topic": name, "group": name}
    for method, path in (("POST", "/produce"), ("GET", "/consume"), ("GET", "/messages")):
        answer = await client.request(method, path, params=given)
        assert (answer.status, answer.code) == (400, "INVALID_REQUEST")
    for parameters in (given, {"topic": "t", "group": name}):
        assert (await client.request("GET", "/consume", params=parameters)).status == 400
    assert (await client.request("GET", "/topics")).json == {"topics": []}


@pytest.mark.parametrize("path", ["/topics/..", "/topics/%2e%2e", "/topics/a%2fb", "/topics/a%00"])
async def test_a_path_leads_nowhere_else(client: BrokerClient, path: str) -> None:
    answer = await client.request("PUT", path)
    assert (answer.status, answer.code) in ((400, "INVALID_REQUEST"), (404, "NOT_FOUND"))


@pytest.mark.parametrize(
    "given",
    [
        {"partition": "4"},
        {"partition": "-1"},
        {"partition": "x"},
        {"partition": "9" * 5000},
        {"partition": "\u0663"},
        {"key": ""},
        {"key": "k" * 257},
        {"durability": "always"},
    ],
)
async def test_parameters_outside_their_bounds_are_refused(
    client: BrokerClient, given: dict[str, str]
) -> None:
    answer = await client.produce("t", b"x", **given)
    assert (answer.status, answer.code) == (400, "INVALID_REQUEST")


async def test_headers_too_large_to_keep_harm_nobody_else(tmp_path: Path) -> None:
    headers = {f"X-Message-{n}": "v" * 7000 for n in range(10)}
    async with running_broker(tmp_path, max_header_bytes=1 << 20) as broker:
        answer = await broker.client.produce("t", b"x", partition=0, headers=headers)
        assert (answer.status, answer.code) == (413, "TOO_LARGE")
        assert await kept(broker.client, b"goes on") == [b"goes on"]


async def test_too_many_messages_are_refused(tmp_path: Path) -> None:
    async with running_broker(tmp_path, max_batch=3) as broker:
        assert (await broker.client.produce_lines("t", *[b"x"] * 3)).status == 200
        answer = await broker.client.produce_lines("t", *[b"x"] * 4)
    assert (answer.status, answer.code) == (413, "TOO_LARGE")


async def test_a_body_over_the_limit_is_refused_to_the_byte(tmp_path: Path) -> None:
    async with running_broker(tmp_path, max_body_bytes=1000) as broker:
        assert (await broker.client.produce("t", b"x" * 1000)).status == 200
        assert (await broker.client.produce("t", b"x" * 1001)).status == 413


async def test_a_key_stays_with_its_partition(client: BrokerClient) -> None:
    places = [
        {(await client.produce("t", b"x", key=key)).json["partition"] for _ in range(3)}
        for key in map(str, range(20))
    ]
    assert all(len(place) == 1 for place in places)
    assert set.union(*places) == {0, 1, 2, 3}


async def test_without_a_key_the_partitions_take_turns(client: BrokerClient) -> None:
    answers = [await client.produce("t", b"x") for _ in range(8)]
    places = [answer.json["partition"] for answer in answers]
    assert sorted(places) == sorted([0, 1, 2, 3] * 2)


@pytest.mark.parametrize("durability", ["memory", "disk", "fsync"])
async def test_the_durability_asked_for_is_answered(client: BrokerClient, durability: str) -> None:
    answer = await client.produce("t", b"x", partition=0, durability=durability)
    assert answer.json["durability"] == durability
    async with client.consume("t") as events:
        assert (await events.message())["payload"] == "x"


def break_the_disk(running: RunningBroker, files: MemoryFiles) -> None:
    """Let every later write of partition 0 of ``t`` go to ``files``."""
    journal = running.broker.topics.get("t").partition(0)._journal
    journal._file = files.append_to(Path("/broken"))


async def test_a_full_disk_is_answered_and_got_over(
    client: BrokerClient, running: RunningBroker
) -> None:
    await client.produce("t", b"before", partition=0)
    files = MemoryFiles()
    files.fail("write", errno.ENOSPC)
    break_the_disk(running, files)
    answer = await client.produce("t", b"lost", partition=0)
    assert (answer.status, answer.code) == (503, "DISK_FULL")
    assert int(answer.headers["Retry-After"]) > 0
    assert (await client.produce("t", b"after", partition=0)).json["offset"] == 1


@pytest.mark.parametrize("durability", ["memory", "disk", "fsync"])
async def test_after_a_failed_sync_only_that_partition_takes_no_more(
    client: BrokerClient, running: RunningBroker, durability: str
) -> None:
    await client.produce("t", b"before", partition=0)
    files = MemoryFiles()
    files.fail("sync")
    break_the_disk(running, files)
    await client.produce("t", b"lost", partition=0)
    answer = await client.produce("t", b"refused", partition=0, durability=durability)
    assert (answer.status, answer.code) == (503, "PARTITION_READ_ONLY")
    assert (await client.produce("t", b"fine", partition=1)).status == 200
    assert await stored(client) == [b"before"]


async def test_who_waits_to_be_asked_for_its_body_is_asked_unless_it_is_too_large(
    tmp_path: Path,
) -> None:
    head = b"POST /produce?topic=t HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n" + CREDENTIAL
    async with running_broker(tmp_path, max_body_bytes=4) as broker:
        async with wire(broker.url) as connection:
            await connection.send(head + b"Content-Length: 4\r\n\r\n")
            assert (await connection.answer()).status == 100
            await connection.send(b"abcd")
            assert (await connection.answer()).status == 200
        async with wire(broker.url) as connection:
            await connection.send(head + b"Content-Length: 5\r\n\r\n")
            refused = await connection.answer()
            assert (refused.status, refused.code) == (413, "TOO_LARGE")
