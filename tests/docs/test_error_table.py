"""Every row of the error table in docs/protocol.md, provoked over the wire.

A row is a status and a code; each has one provocation in ``PROVOCATIONS``, against a real broker,
proxy or API. A row without one fails, and so does a code of the tree that has no row.
"""

import asyncio
import contextlib
import errno
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import SecretStr

from api.app import create_app as create_api
from api.options import ApiOptions
from common.errors import all_errors
from common.journal.files import AppendFile, DiskFiles
from common.keys import create_key, save_keys
from common.lifecycle import Lifecycle
from tests.support.broker import running_broker
from tests.support.client import TOKEN, Answer, BrokerClient
from tests.support.ports import free_port
from tests.support.proxy import running_proxy
from tests.support.serving import running

PROTOCOL = Path(__file__).parents[2] / "docs/protocol.md"
ROWS = [
    (int(status), code)
    for status, code in re.findall(r"^\| (\d{3}) \| `([A-Z_]+)` \|", PROTOCOL.read_text(), re.M)
]
STRANGER = "broker-0:0:0:ff"

Scope = Literal["read", "write"]
Provoke = Callable[[Path], Awaitable[Answer]]


@contextlib.asynccontextmanager
async def broker_client(directory: Path, **given: Any) -> AsyncIterator[BrokerClient]:
    """A broker with one message in topic ``t``, and a client of it."""
    async with running_broker(directory, topics=("t:1",), **given) as broker:
        await broker.client.produce("t", b"x")
        yield broker.client


@contextlib.asynccontextmanager
async def api_client(directory: Path, scope: Scope, **given: Any) -> AsyncIterator[BrokerClient]:
    """An API whose store is not there yet, and a client with a key of a scope."""
    text, key = create_key("tester", [scope])
    save_keys(directory / "keys.json", [key])
    options = ApiOptions(
        port=0,
        api_keys_file=directory / "keys.json",
        sqlite_path=directory / "none.db",
        service_token=SecretStr(TOKEN),
        **given,
    )
    lifecycle = Lifecycle()
    app = create_api(options, lifecycle)
    async with running(app, options, lifecycle) as url, BrokerClient(url, token=text) as client:
        yield client


def asked(method: str, path: str, **given: Any) -> Provoke:
    """One request to a broker that has a message in topic ``t``."""

    async def provoke(directory: Path) -> Answer:
        async with broker_client(directory) as client:
            return await client.request(method, path, **given)

    return provoke


async def asked_too_often(directory: Path) -> Answer:
    async with api_client(directory, "read", rate_limit=1, rate_burst=1) as client:
        for _ in range(3):
            answer = await client.request("GET", "/api/v1/metrics")
        return answer


def asked_of_api(path: str, scope: Scope = "read") -> Provoke:
    """One request to an API without a store."""

    async def provoke(directory: Path) -> Answer:
        async with api_client(directory, scope) as client:
            return await client.request("GET", path)

    return provoke


async def without_token(directory: Path) -> Answer:
    async with running_broker(directory) as broker, BrokerClient(broker.url, token=None) as client:
        return await client.request("GET", "/topics")


async def with_a_stream(directory: Path) -> Answer:
    async with broker_client(directory) as client, client.consume("t"):
        return await client.request("DELETE", "/groups/default?topic=t")


async def with_no_receipt(directory: Path) -> Answer:
    async with broker_client(directory) as client, client.consume("t"):
        return await client.settle("t", "what?")


async def with_a_stale_receipt(directory: Path) -> Answer:
    async with broker_client(directory) as client, client.consume("t"):
        return await client.settle("t", STRANGER)


async def with_one_topic_too_many(directory: Path) -> Answer:
    async with broker_client(directory, max_topics=1) as client:
        return await client.produce("other", b"x")


async def with_a_log_at_its_cap(directory: Path) -> Answer:
    async with broker_client(directory, max_partition_bytes=200) as client:
        return await client.produce("t", b"x" * 200)


async def with_a_reserve_nobody_has(directory: Path) -> Answer:
    async with running_broker(directory, disk_reserve_bytes=1 << 60) as broker:
        return await broker.client.produce("t", b"x")


async def with_half_a_body(directory: Path) -> Answer:
    async def halves() -> AsyncIterator[bytes]:
        yield b"half"
        await asyncio.Event().wait()

    async with broker_client(directory, read_timeout_seconds=0.1) as client:
        return await client.produce("t", halves())  # type: ignore[arg-type]


async def while_drained(directory: Path) -> Answer:
    async with broker_client(directory) as client:
        await client.request("POST", "/drain")
        return await client.produce("t", b"x")


class NoSync(DiskFiles):
    """A disk whose every fsync of a log fails."""

    def append_to(self, path: Path) -> AppendFile:
        """See ``Files``."""
        file: Any = super().append_to(path)
        file.sync = self.fail
        return file  # type: ignore[no-any-return]

    def fail(self) -> None:
        """What the disk says."""
        raise OSError(errno.EIO, os.strerror(errno.EIO))


async def with_a_disk_that_does_not_sync(directory: Path) -> Answer:
    async with running_broker(directory, topics=("t:1",)) as broker:
        files: Any = broker.broker.topics._shared.files
        files._files = NoSync()
        return await broker.client.produce("t", b"x")


async def with_a_defect(directory: Path) -> Answer:
    async with running_broker(directory, topics=("t:1",)) as broker:
        topic: Any = broker.broker.topics.get("t")
        topic.policy = None
        return await broker.client.produce("t", b"x")


async def while_stopping(directory: Path) -> Answer:
    async with running_broker(directory, topics=("t:1",)) as broker:
        stopping = broker.lifecycle.stopping
        stopping.set()  # as between the signal and the end of the last connection
        try:
            return await broker.client.produce("t", b"x")
        finally:
            stopping.clear()


async def with_no_broker(directory: Path) -> Answer:
    nowhere = {"broker-0": f"http://127.0.0.1:{free_port()}"}
    async with running_proxy(nowhere) as proxy:
        return await proxy.client.produce("t", b"x")


PROVOCATIONS: dict[str, Provoke] = {
    "INVALID_REQUEST": asked("POST", "/produce", data=b"x"),
    "RECEIPT_INVALID": with_no_receipt,
    "UNAUTHORIZED": without_token,
    "FORBIDDEN": asked_of_api("/api/v1/gpus", "write"),
    "NOT_FOUND": asked("GET", "/messages?topic=none"),
    "METHOD_NOT_ALLOWED": asked("DELETE", "/produce"),
    "GROUP_IN_USE": with_a_stream,
    "RECEIPT_STALE": with_a_stale_receipt,
    "TOPIC_CONFLICT": asked("POST", "/produce?topic=t&partitions=9", data=b"x"),
    "REQUEST_TIMEOUT": with_half_a_body,
    "HEADERS_TOO_LARGE": asked("GET", "/topics", headers={"X": "x" * 40_000}),
    "TOO_LARGE": asked("PUT", "/topics/t", data=b" " * 5000),
    "UNSUPPORTED_ENCODING": asked(
        "POST", "/produce?topic=t", data=b"x", headers={"Content-Encoding": "br"}
    ),
    "INVALID_PARAMETER": asked_of_api("/api/v1/gpus?limit=0"),
    "OVERLOADED": with_one_topic_too_many,
    "RATE_LIMITED": asked_too_often,
    "PARTITION_FULL": with_a_log_at_its_cap,
    "INTERNAL": with_a_defect,
    "BROKER_UNREACHABLE": with_no_broker,
    "DISK_FULL": with_a_reserve_nobody_has,
    "DRAINING": while_drained,
    "PARTITION_READ_ONLY": with_a_disk_that_does_not_sync,
    "STORE_UNAVAILABLE": asked_of_api("/api/v1/gpus"),
    "UNAVAILABLE": while_stopping,
}


@pytest.mark.parametrize(("status", "code"), ROWS, ids=[code for _, code in ROWS])
async def test_a_row_of_the_error_table_is_what_one_gets(
    tmp_path: Path, status: int, code: str
) -> None:
    answer = await PROVOCATIONS[code](tmp_path)
    assert (answer.status, answer.code) == (status, code)
    assert answer.headers["Content-Type"] == "application/json"
    assert set(answer.json) == {"error", "request_id"}
    assert set(answer.json["error"]) == {"code", "message", "details"}
    assert answer.json["error"]["message"]
    assert answer.json["request_id"] == answer.headers["X-Request-ID"]
    kind = next(error for error in all_errors() if error.code == code)
    retry_after = answer.headers.get("Retry-After")
    assert (retry_after is not None) == (kind.retry_after_seconds is not None)
    assert retry_after is None or int(retry_after) >= 1


def test_the_table_has_every_code_once_and_every_provocation_has_a_row() -> None:
    codes = [code for _, code in ROWS]
    assert sorted(codes) == sorted(error.code for error in all_errors())
    assert set(PROVOCATIONS) == set(codes)


def test_what_may_be_repeated_says_so_in_the_table() -> None:
    """A client decides by Retry-After; the table's last column must not tell it otherwise."""
    for line in PROTOCOL.read_text().splitlines():
        found = re.match(r"\| (\d{3}) \| `([A-Z_]+)` \|.*\|([^|]*)\|$", line)
        if found and "`Retry-After`" in found[3]:
            kind = next(error for error in all_errors() if error.code == found[2])
            assert kind.retry_after_seconds is not None, found[2]
