"""The queue client that the options ask for."""

import ssl

from pydantic import SecretStr

from common.clock import Clock
from common.queue.base import Consumer, Producer
from common.queue.direct import DirectProducer
from common.queue.direct_consumer import DirectConsumer
from common.queue.http import HttpConsumer, HttpProducer


def open_producer(
    url: str, token: SecretStr, direct: bool, clock: Clock, tls: ssl.SSLContext | None = None
) -> Producer:
    """A producer through ``url``, or straight to the brokers that the proxy there names.

    ``tls`` is whom it believes over https.
    """
    return DirectProducer(url, token, clock, tls) if direct else HttpProducer(url, token, tls=tls)


def open_consumer(
    url: str,
    token: SecretStr,
    topic: str,
    group: str,
    max_in_flight: int,
    batch: int,
    direct: bool,
    clock: Clock,
    tls: ssl.SSLContext | None = None,
) -> Consumer:
    """A consumer through ``url``, or straight from the brokers that the proxy there names.

    ``tls`` is whom it believes over https.
    """
    if direct:
        return DirectConsumer(url, token, topic, group, max_in_flight, batch, clock, tls)
    return HttpConsumer(url, token, topic, group, max_in_flight, batch, tls=tls)
