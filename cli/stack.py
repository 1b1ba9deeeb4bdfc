"""A whole stack on this machine: which processes, with which options, in which order."""

import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from cli.engine import EngineGroup
from cli.ports import lasting_ports
from cli.secrets import Secrets, ensure_secrets
from cli.supervisor import Child, ProcessPlan, StackError, Supervisor
from cli.tls import TlsOptions
from cli.watchers import NOBODY, Beside, Watchers, watcher_plans
from common.lock import DirectoryTakenError, lock_directory, unlock
from common.options import refuse
from common.storage.options import SERVED, StoreOptions

TOPIC = "telemetry"
GROUP = "collectors"
REQUEST_SECONDS = 5.0
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "PYTHONPATH", "VIRTUAL_ENV", "LOG_LEVEL", "TZ")
STORE_PASSED_ON = ("INFLUXDB_", "VICTORIAMETRICS_", "STORE_RETENTION")
"""How the names of options about the store begin, where it is a server's."""


@dataclass(frozen=True)
class StackPlan:
    """What is wanted: where, how many brokers, which ports (0 takes a free one), what feed.

    ``engine`` is the address of a queue that runs already: then there are no brokers and no proxy.
    """

    data_dir: Path
    brokers: int
    proxy_port: int = 0
    api_port: int | None = None
    feed: Mapping[str, str] | None = None
    store: str = "sqlite"
    watchers: Watchers = NOBODY
    engine: str | None = None

    @property
    def store_path(self) -> Path:
        """The file of the embedded store."""
        return self.data_dir / "telemetry.db"

    @property
    def jsonl_path(self) -> Path:
        """The directory of the store in text files."""
        return self.data_dir / "jsonl"

    @property
    def summary_path(self) -> Path:
        """Where the streamer leaves its summary."""
        return self.data_dir / "streamer-summary.json"


class Stack:
    """The processes of a plan, and what one asks of them."""

    def __init__(self, plan: StackPlan, secrets: Secrets) -> None:
        self.plan = plan
        self.secrets = secrets
        self.token = secrets.service_token.read_text(encoding="utf-8").strip()
        self.store = store_options(plan, self.token)
        tls = TlsOptions.load({})
        self.session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
            trust_env=False,
            connector=aiohttp.TCPConnector(ssl=tls.context() or True),
        )
        plans = process_plans(plan, secrets, tls.scheme)
        beside = Beside(
            plan.data_dir, targets_of(plans), tls.scheme, tls.tls_ca_file, self.store, passed_on()
        )
        plans += watcher_plans(plan.watchers, beside)
        environment = base_environment(secrets) | tls.environment()
        self.supervisor = Supervisor(plans, plan.data_dir / "logs", environment)
        self._group = None
        if plan.engine is not None:
            self._group = EngineGroup(plan.engine, self.token, tls.tls_ca_file, TOPIC, GROUP)

    async def close(self) -> None:
        """Stop every process."""
        await self.supervisor.stop()
        await self.session.close()
        if self._group is not None:
            await self._group.close()

    async def start(self) -> None:
        """Start everything but the streamer; each waits by itself for what it needs."""
        children = self.supervisor.children.items()
        names = [name for name, child in children if name != "streamer" and child.plan.service]
        await self.supervisor.start(self.session, names)
        for _, child in children:
            if child.plan.command:
                await child.start()  # nobody waits for a watcher

    def child(self, name: str) -> Child:
        """One process of the stack."""
        return self.supervisor.children[name]

    async def stats(self, name: str) -> dict[str, Any] | None:
        """What a process says of itself, or None while it is away."""
        return await self._get(self.child(name).plan.url + "/stats")

    async def undelivered(self) -> int | None:
        """Messages the collectors have not acked yet, or None while that cannot be known."""
        if self._group is not None:
            return await self._group.lag()
        url = self.child("proxy").plan.url
        topics = await self._get(f"{url}/topics")
        groups = await self._get(f"{url}/groups?topic={TOPIC}")
        if topics is None or groups is None or topics["missing"] or groups["missing"]:
            return None
        return count_undelivered(topics["topics"], groups["groups"])

    async def _get(self, url: str) -> dict[str, Any] | None:
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            async with self.session.get(url, headers=headers) as answer:
                body = await answer.read()
                return msgspec.json.decode(body) if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, ConnectionError, msgspec.DecodeError):
            return None


def count_undelivered(topics: list[dict[str, Any]], groups: list[dict[str, Any]]) -> int:
    """Messages of every partition less what the group has acked in it."""
    lag = {(row["broker"], row["partition"]): row["lag"] for row in groups if row["group"] == GROUP}
    return sum(
        lag.get((part["broker"], part["partition"]), part["next_offset"])
        for topic in topics
        if topic["topic"] == TOPIC
        for part in topic["partitions"]
    )


@asynccontextmanager
async def open_stack(plan: StackPlan) -> AsyncIterator[Stack]:
    """Take the data directory for a stack, and stop its processes whatever happens."""
    try:
        lock = lock_directory(plan.data_dir)
    except DirectoryTakenError as taken:
        raise StackError(f"another stack is running on {taken}") from None
    try:
        stack = Stack(plan, ensure_secrets(plan.data_dir / "secrets"))
        try:
            yield stack
        finally:
            await stack.close()
    finally:
        unlock(lock)


def process_plans(plan: StackPlan, secrets: Secrets, scheme: str) -> list[ProcessPlan]:
    """Every process, in the order of starting."""
    starting = partial(ProcessPlan, scheme=scheme)
    ports = lasting_ports(but=(plan.proxy_port, plan.api_port))
    carriers = [] if plan.engine else queue_plans(plan, scheme, ports)
    queue = {"QUEUE_URL": plan.engine or carriers[-1].url, "MSG_QUEUE_TOPIC": TOPIC}
    store = store_environment(plan)
    plans = [*carriers, collector_plan(plan, {**queue, **store}, scheme, next(ports))]
    if plan.api_port is not None:
        keys = {"API_KEYS_FILE": str(secrets.api_keys)}
        plans.append(
            starting("api", "api", {**store, **queue, **keys}, plan.api_port or next(ports))
        )
    if plan.feed is not None:
        plans.append(starting("streamer", "streamer", {**queue, **plan.feed}, next(ports)))
    return plans


def store_options(plan: StackPlan, service_token: str) -> StoreOptions:
    """How this process opens the store; exits with 2 for one that a stack cannot have."""
    if plan.store == "memory":
        refuse(["--store memory: it lives in the collector, and nobody else could read it"])
    paths = {"sqlite_path": plan.store_path, "jsonl_path": plan.jsonl_path}
    return StoreOptions.load({"store": plan.store, "service_token": service_token, **paths})


def store_environment(plan: StackPlan) -> dict[str, str]:
    """Where the store is: in this stack's directory, or a server that our own environment names."""
    if plan.store not in SERVED:
        paths = {"SQLITE_PATH": plan.store_path, "JSONL_PATH": plan.jsonl_path}
        return {"STORE": plan.store, **{name: str(path) for name, path in paths.items()}}
    names = [name for name in os.environ if name.startswith(STORE_PASSED_ON)]
    return {"STORE": plan.store} | {name: os.environ[name] for name in names}


def queue_plans(plan: StackPlan, scheme: str, ports: Iterator[int]) -> list[ProcessPlan]:
    """The brokers, and the proxy in front of them."""
    brokers = [
        broker_plan(plan, f"broker-{index}", scheme, next(ports)) for index in range(plan.brokers)
    ]
    listed = ",".join(f"{broker.name}={broker.url}" for broker in brokers)
    port = plan.proxy_port or next(ports)
    return [*brokers, ProcessPlan("proxy", "proxy", {"BROKERS": listed}, port, scheme)]


def broker_plan(plan: StackPlan, name: str, scheme: str, port: int) -> ProcessPlan:
    """One broker on a directory of its own."""
    environment = {"BROKER_NAME": name, "DATA_DIR": str(plan.data_dir / name)}
    return ProcessPlan(name, "broker", environment, port, scheme)


def collector_plan(
    plan: StackPlan, environment: Mapping[str, str], scheme: str, port: int
) -> ProcessPlan:
    """The collector with its spool."""
    own = {"DATA_DIR": str(plan.data_dir / "collector"), "CONSUMER_GROUP": GROUP}
    return ProcessPlan("collector", "collector", {**environment, **own}, port, scheme)


def base_environment(secrets: Secrets) -> dict[str, str]:
    """What every process gets: little of ours, and where the token is."""
    return {**passed_on(), "SERVICE_TOKEN_FILE": str(secrets.service_token)}


def passed_on() -> dict[str, str]:
    """What any process gets of our environment."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}


def targets_of(plans: Sequence[ProcessPlan]) -> dict[str, list[str]]:
    """Where the processes of each service listen."""
    found: dict[str, list[str]] = {}
    for plan in plans:
        found.setdefault(plan.service, []).append(f"127.0.0.1:{plan.port}")
    return found
