"""TLS on every hop: who is believed, which versions, and a certificate that is renewed."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from broker.app import create_app as create_broker
from common.clock import SystemClock
from common.errors import BrokerUnreachable
from common.http.tls import client_context, new_context
from common.lifecycle import Lifecycle
from common.queue.address import QueueAddress
from common.queue.base import Subscription
from common.queue.factory import open_consumer, open_producer
from proxy.app import create_app as create_proxy
from tests.http.test_service import ROUTES, Sample, serving
from tests.support.broker import broker_options, broker_process
from tests.support.certificates import Certificates, put
from tests.support.client import TOKEN
from tests.support.proxy import proxy_options, until
from tests.support.serving import running

SECRET = SecretStr(TOKEN)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "tls")


@contextlib.asynccontextmanager
async def stack(directory: Path, certificates: Certificates) -> AsyncIterator[tuple[str, str]]:
    """A broker and a proxy to it, both with certificates; their URLs."""
    async with contextlib.AsyncExitStack() as entered:
        options: Any = broker_options(directory / "broker", **certificates.options)
        lifecycle = Lifecycle()
        broker = running(create_broker(options, lifecycle), options, lifecycle)
        broker_url = await entered.enter_async_context(broker)
        options = proxy_options({"broker-0": broker_url}, **certificates.options)
        lifecycle = Lifecycle()
        proxy = running(create_proxy(options, lifecycle), options, lifecycle)
        yield broker_url, await entered.enter_async_context(proxy)


async def send(url: str, ca_file: Path | None, direct: bool = False) -> str:
    """Produce one message with a client that believes a CA."""
    producer = open_producer(QueueAddress(url, SECRET, ca_file, direct), SystemClock())
    try:
        return (await producer.send("t", 0, [b"x"], "key")).id
    finally:
        await producer.close()


async def serial_of(url: str, ca_file: Path) -> int:
    """Which certificate a new connection meets."""
    host, _, port = url.removeprefix("https://").partition(":")
    context = client_context(ca_file)
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    found = writer.get_extra_info("ssl_object").getpeercert()["serialNumber"]
    writer.close()
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        await writer.wait_closed()
    return int(found, 16)


@pytest.mark.parametrize("direct", [False, True])
async def test_the_whole_way_of_a_message_is_encrypted(
    tmp_path: Path, certificates: Certificates, direct: bool
) -> None:
    """Client to proxy, proxy to broker, and client to broker, with a CA that only we believe."""
    async with stack(tmp_path, certificates) as (broker_url, proxy_url):
        assert broker_url.startswith("https://")
        assert proxy_url.startswith("https://")
        assert (await send(proxy_url, certificates.ca_file, direct)).startswith("broker-0:0:")
        where = QueueAddress(proxy_url, SECRET, certificates.ca_file, direct)
        consumer = open_consumer(where, Subscription("t", "g", 8, 4, "c"), SystemClock())
        async with contextlib.aclosing(consumer.deliveries()) as deliveries:  # type: ignore[type-var]
            delivery = await anext(deliveries)
            assert delivery.payloads == [b"x"]
            assert (await consumer.ack([delivery.receipt])).acked == 1
        await consumer.close()


async def test_a_ca_that_is_not_theirs_is_not_believed(
    tmp_path: Path, certificates: Certificates
) -> None:
    other = Certificates(tmp_path / "other")
    async with serving(Sample(), ROUTES, **certificates.options) as url:
        for ca_file in (other.ca_file, None):
            with pytest.raises(BrokerUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
                await send(url, ca_file)


@pytest.mark.parametrize(("names", "ended"), [((), True), (("elsewhere.example",), False)])
async def test_a_certificate_that_is_over_or_anothers_is_not_believed(
    certificates: Certificates, names: tuple[str, ...], ended: bool
) -> None:
    certificates.renew(*names, ended=ended)
    async with serving(Sample(), ROUTES, **certificates.options) as url:
        with pytest.raises(BrokerUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
            await send(url, certificates.ca_file)


async def test_a_proxy_does_not_believe_a_broker_of_another_ca(
    tmp_path: Path, certificates: Certificates
) -> None:
    async with stack(tmp_path, certificates) as (broker_url, _):
        other = Certificates(tmp_path / "other")
        options = proxy_options({"broker-0": broker_url}, **other.options)
        lifecycle = Lifecycle()
        async with running(create_proxy(options, lifecycle), options, lifecycle) as proxy_url:
            with pytest.raises(BrokerUnreachable):
                await send(proxy_url, other.ca_file)


async def test_a_renewed_certificate_is_taken_up_and_open_connections_go_on(
    certificates: Certificates,
) -> None:
    context = client_context(certificates.ca_file)
    async with (
        serving(Sample(), ROUTES, **certificates.options) as url,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context or True)) as kept,
    ):
        async with kept.get(url + "/health") as answer:
            assert answer.status == 200
        before = await serial_of(url, certificates.ca_file)
        certificates.renew()
        async with asyncio.timeout(30):
            while await serial_of(url, certificates.ca_file) == before:
                pass
        async with kept.get(url + "/health") as answer:
            assert answer.status == 200


async def test_a_renewal_that_is_no_good_changes_nothing(
    certificates: Certificates, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(Sample(), ROUTES, **certificates.options) as url:
        before = await serial_of(url, certificates.ca_file)
        good = certificates.cert_file.read_bytes()
        put(certificates.cert_file, b"no certificate")
        printed = ""

        def was_told() -> bool:
            nonlocal printed
            printed += capsys.readouterr().out
            return "certificate kept as it was" in printed

        await until(was_told)
        assert await serial_of(url, certificates.ca_file) == before
        put(certificates.cert_file, good)
        await until(lambda: "certificate renewed" in capsys.readouterr().out)
        assert await serial_of(url, certificates.ca_file) == before


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_old_versions_are_refused(
    certificates: Certificates, version: ssl.TLSVersion
) -> None:
    async with serving(Sample(), ROUTES, **certificates.options) as url:
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await handshake(url, version)
    lowered = new_context(certificates.cert_file, certificates.key_file)
    with pytest.warns(DeprecationWarning):
        lowered.minimum_version = version
    lowered.set_ciphers("ALL:@SECLEVEL=0")
    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=lowered)
    async with server as old:
        port = old.sockets[0].getsockname()[1]
        assert (await handshake(f"https://127.0.0.1:{port}", version)).startswith("TLSv1")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_present_versions_are_spoken(
    certificates: Certificates, version: ssl.TLSVersion
) -> None:
    async with serving(Sample(), ROUTES, **certificates.options) as url:
        assert await handshake(url, version) == version.name.replace("_", ".")


def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def handshake(url: str, version: ssl.TLSVersion) -> str:
    """Connect with one version alone, as a client that knows no better; returns what was agreed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning) if version < ssl.TLSVersion.TLSv1_2 else quiet():
        context.minimum_version = version
    with pytest.warns(DeprecationWarning) if version < ssl.TLSVersion.TLSv1_2 else quiet():
        context.maximum_version = version
    host, _, port = url.removeprefix("https://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    agreed = str(writer.get_extra_info("ssl_object").version())
    writer.close()
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        await writer.wait_closed()
    return agreed


def quiet() -> Any:
    return contextlib.nullcontext()


async def test_plain_http_gets_nothing_from_a_port_of_tls(certificates: Certificates) -> None:
    async with (
        serving(Sample(), ROUTES, **certificates.options) as url,
        aiohttp.ClientSession() as client,
    ):
        with pytest.raises(aiohttp.ClientError):
            await client.get(url.replace("https", "http") + "/health")


async def test_what_cannot_serve_does_not_start(tmp_path: Path, certificates: Certificates) -> None:
    other = Certificates(tmp_path / "other")
    good = certificates.environment
    for environment, problem in (
        ({"TLS_CERT_FILE": good["TLS_CERT_FILE"]}, "go together"),
        ({"TLS_KEY_FILE": good["TLS_KEY_FILE"]}, "go together"),
        (good | {"TLS_CERT_FILE": str(tmp_path / "none.pem")}, "No such file"),
        (good | {"TLS_KEY_FILE": str(other.key_file)}, "(?i)key.values.mismatch"),
        (good | {"TLS_CERT_FILE": good["TLS_KEY_FILE"]}, "TLS_CERT_FILE"),
    ):
        with pytest.raises(RuntimeError, match=problem):
            async with broker_process(tmp_path / "data", environment=environment):
                pass


async def test_plain_http_where_others_reach_it_is_said_once(
    tmp_path: Path, certificates: Certificates
) -> None:
    async with broker_process(tmp_path / "open", HOST="0.0.0.0") as broker:
        assert broker.stderr().count("plain HTTP on an address that others reach") == 1
    async with broker_process(tmp_path / "inside") as broker:
        assert "plain HTTP" not in broker.stderr()
