"""Which checks a service is put through."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from api.options import ApiOptions
from broker.options import BrokerOptions
from cli.doctor import cluster, disk, engine, machine, secrets, source, stores
from cli.doctor.finding import Finding, Ward
from collector.options import CollectorOptions
from common.http.tls import client_context
from common.journal import position
from common.journal.files import DiskFiles
from common.options import Options, ServiceOptions, describe_problem
from common.queue.options import queue_address
from proxy.membership import Address, read_brokers
from proxy.options import ProxyOptions
from streamer.options import StreamerOptions

TABLES: dict[str, type[ServiceOptions]] = {
    "broker": BrokerOptions,
    "proxy": ProxyOptions,
    "streamer": StreamerOptions,
    "collector": CollectorOptions,
    "api": ApiOptions,
}
BROKER_FILE = "broker"
DESCRIPTORS_PER_STREAM = 2
PROXY_STREAMS = 1000


@dataclass(frozen=True)
class Patient:
    """A service, with options given beside the environment, by their name there.

    ``listens`` says whether its port is known, ``queue`` whether what it speaks to should be there.
    """

    service: str
    given: Mapping[str, str]
    listens: bool = True
    queue: bool = True


async def examine(patients: Sequence[Patient]) -> list[Finding]:
    """Put services through their checks, one after the other."""
    machine_ward = Ward("machine")
    machine.check_clock(machine_ward)
    findings = list(machine_ward.findings)
    for patient in patients:
        findings += await examine_service(patient)
    return findings


async def examine_service(patient: Patient) -> list[Finding]:
    """All checks of one service; with options that are refused no other is made."""
    ward = Ward(patient.service)
    options = read_options(ward, TABLES[patient.service], patient.given)
    if options is None:
        return ward.findings
    ward.ok("options", "all options are understood")
    secrets.check_token(ward, options.service_token)
    if patient.listens:
        machine.check_port(ward, options.host, options.port)
    await check_own(ward, options)
    if patient.queue:
        await check_queues(ward, options)
    return ward.findings


async def check_own(ward: Ward, options: ServiceOptions) -> None:
    """What a service has on this machine; all of it blocks."""
    checks: dict[type[ServiceOptions], Callable[[Ward, Any], None]] = {
        BrokerOptions: check_broker,
        ProxyOptions: check_proxy,
        StreamerOptions: check_streamer,
        CollectorOptions: check_collector,
        ApiOptions: check_api,
    }
    await asyncio.to_thread(checks[type(options)], ward, options)


async def check_queues(ward: Ward, options: ServiceOptions) -> None:
    """What a service speaks to. The proxy's brokers are asked one by one."""
    addresses = {}
    if isinstance(options, ProxyOptions):
        addresses = {f"BROKERS {name}": url for name, url in listed_brokers(ward, options)}
    elif isinstance(options, StreamerOptions | CollectorOptions):
        where = queue_address(options)
        if where.engine is not None:
            await engine.check_engine(ward, where, options.topic)
            return
        addresses = {"QUEUE_URL": where.url}
    tls = client_context(options.tls_ca_file)
    for option, url in addresses.items():
        await cluster.check_queue(ward, option, url, options.service_token, tls)


def read_options(
    ward: Ward, table: type[ServiceOptions], given: Mapping[str, Any]
) -> ServiceOptions | None:
    """Read a table as the service would; what it refuses is found."""
    try:
        return table(**given)
    except ValidationError as error:
        for problem in error.errors():
            ward.fail("options", describe_problem(table, problem), help_for(table, problem))
    except OSError as error:
        ward.fail("options", f"{error.filename}: {error.strerror}", "name a file that can be read")
    return None


def help_for(table: type[Options], problem: Any) -> str:
    """What the option is for."""
    name = str(problem["loc"][0]) if problem["loc"] else ""
    for field, info in table.model_fields.items():
        if name in (field, *getattr(info.validation_alias, "choices", ())):
            return f"{name} is: {info.description} (docs/configuration.md)"
    return "docs/configuration.md lists the options"


def check_broker(ward: Ward, options: BrokerOptions) -> None:
    """Its directory, and how much it may open."""
    path = options.data_dir
    check_volume(ward, "DATA_DIR", path)
    disk.check_room(
        ward,
        "DATA_DIR",
        path,
        options.disk_reserve_bytes + options.segment_bytes,
        "DISK_RESERVE and a segment; below that produces are refused",
    )
    check_owner(ward, path, options.broker_name)
    machine.check_descriptors(ward, DESCRIPTORS_PER_STREAM * options.max_streams)


def check_owner(ward: Ward, path: Path, name: str) -> None:
    """A directory is one broker's: its receipts and message ids carry the name."""
    try:
        kept = position.load(DiskFiles(), path / BROKER_FILE)
    except OSError:
        return
    if kept and kept["name"] != name:
        ward.fail(
            "directory",
            f"DATA_DIR: {path} belongs to {kept['name']}, and BROKER_NAME is {name}",
            f"start it as {kept['name']}, or give {name} a directory of its own",
        )


def check_proxy(ward: Ward, options: ProxyOptions) -> None:
    """How much it may open."""
    machine.check_descriptors(ward, DESCRIPTORS_PER_STREAM * PROXY_STREAMS)


def listed_brokers(ward: Ward, options: ProxyOptions) -> list[Address]:
    """The brokers that an option names; a file or DNS is the proxy's to follow."""
    if options.brokers_file or options.broker_service:
        return []
    try:
        return read_brokers(options.brokers)
    except ValueError as error:
        ward.fail(
            "brokers",
            f"BROKERS: {error}",
            "as BROKERS=broker-0=http://host:7070,broker-1=http://..., or BROKERS_FILE, or "
            "BROKER_SERVICE",
        )
        return []


def check_collector(ward: Ward, options: CollectorOptions) -> None:
    """Its spool and its store."""
    if (path := options.data_dir) is not None:
        check_volume(ward, "DATA_DIR", path)
        what_for = "SPOOL_BYTES, which an absent store fills"
        disk.check_room(ward, "DATA_DIR", path, options.spool_bytes, what_for)
    if options.store == "sqlite":
        check_volume(ward, "SQLITE_PATH", options.sqlite_path.parent)
    stores.check_store(ward, options)


def check_streamer(ward: Ward, options: StreamerOptions) -> None:
    """Its source and its checkpoint."""
    source.check_source(ward, options)
    if options.checkpoint_file is not None:
        check_volume(ward, "CHECKPOINT_FILE", options.checkpoint_file.parent)


def check_api(ward: Ward, options: ApiOptions) -> None:
    """Its keys and its store."""
    secrets.check_keys(ward, options.api_keys_file)
    stores.check_store(ward, options)


def check_volume(ward: Ward, option: str, path: Path) -> None:
    """A directory that must keep what is written there."""
    if disk.check_directory(ward, option, path):
        disk.check_durable(ward, option, path)
        disk.check_sync_time(ward, option, path)
