"""The queue client that an address asks for; the module of an engine is imported only then."""

import importlib
from typing import Any, cast

from common.clock import Clock
from common.http.tls import client_context
from common.queue.address import Engine, QueueAddress
from common.queue.base import Consumer, DeadLetters, Producer, Subscription
from common.queue.direct import DirectProducer
from common.queue.direct_consumer import DirectConsumer
from common.queue.http import HttpConsumer, HttpProducer
from common.queue.http_letters import HttpDeadLetters


def open_producer(where: QueueAddress, clock: Clock) -> Producer:
    """A producer to the queue there."""
    if where.engine is not None:
        kind = _of(where.engine, "Producer")
        return cast(Producer, kind(where.url, where.tls_ca_file, clock))
    tls = client_context(where.tls_ca_file)
    if where.direct:
        return DirectProducer(where.url, where.token, clock, tls)
    return HttpProducer(where.url, where.token, tls=tls)


def open_consumer(where: QueueAddress, wanted: Subscription, clock: Clock) -> Consumer:
    """A consumer of the queue there."""
    if where.engine is not None:
        kind = _of(where.engine, "Consumer")
        return cast(Consumer, kind(where.url, wanted, where.tls_ca_file, clock))
    tls = client_context(where.tls_ca_file)
    limits = wanted.topic, wanted.group, wanted.max_in_flight, wanted.batch
    if where.direct:
        return DirectConsumer(where.url, where.token, *limits, clock, tls)
    return HttpConsumer(where.url, where.token, *limits, tls=tls)


def open_dead_letters(where: QueueAddress, topic: str, group: str, clock: Clock) -> DeadLetters:
    """A group's dead letters in the queue there."""
    if where.engine is not None:
        kind = _of(where.engine, "DeadLetters")
        return cast(DeadLetters, kind(where.url, topic, group, where.tls_ca_file, clock))
    tls = client_context(where.tls_ca_file)
    return HttpDeadLetters(where.url, where.token, topic, group, tls)


def _of(engine: Engine, what: str) -> Any:
    return getattr(importlib.import_module(engine.module), engine.prefix + what)
