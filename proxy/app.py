"""The proxy's HTTP face: the brokers' protocol, and the cluster's status."""

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route

from common.auth import ServiceToken
from common.clock import Clock
from common.http.service import create_service_app
from common.lifecycle import Lifecycle
from proxy.consume import Consume
from proxy.inspect import DeleteTopic, DrainOne, Everywhere, Gather, ListMessages, PutTopic
from proxy.options import ProxyOptions
from proxy.produce import Produce, WriteLetters
from proxy.proxy import Proxy
from proxy.settle import Settle
from proxy.status import Status
from proxy.trace import Trace


def create_app(
    options: ProxyOptions, lifecycle: Lifecycle, clock: Clock | None = None
) -> Starlette:
    """Build the proxy's app; the proxy itself starts with the app's lifespan."""
    proxy = Proxy(options, lifecycle, clock)
    app = create_service_app(proxy, routes(proxy), ServiceToken(options.service_token))
    app.state.proxy = proxy
    return app


def routes(proxy: Proxy) -> list[BaseRoute]:
    """The wire protocol, a row a request."""
    return [
        Route("/produce", Produce(proxy), methods=["POST"]),
        Route("/consume", Consume(proxy), methods=["GET"]),
        Route("/ack", Settle(proxy, "ack", "acked"), methods=["POST"]),
        Route("/nack", Settle(proxy, "nack", "nacked"), methods=["POST"]),
        Route("/extend", Settle(proxy, "extend", "extended"), methods=["POST"]),
        Route("/topics", Gather(proxy, "topics", "/topics"), methods=["GET"]),
        Route("/topics/{topic}", PutTopic(proxy), methods=["PUT"]),
        Route("/topics/{topic}", DeleteTopic(proxy), methods=["DELETE"]),
        Route("/pause", Everywhere(proxy), methods=["POST"]),
        Route("/resume", Everywhere(proxy), methods=["POST"]),
        Route("/purge", Everywhere(proxy), methods=["POST"]),
        Route("/kick", Everywhere(proxy), methods=["POST"]),
        Route("/drain", DrainOne(proxy), methods=["POST"]),
        Route("/drain", Everywhere(proxy), methods=["GET"]),
        Route("/groups", Gather(proxy, "groups", "/groups"), methods=["GET"]),
        Route("/groups/{group}/seek", Everywhere(proxy), methods=["POST"]),
        Route("/groups/{group}", Everywhere(proxy), methods=["DELETE"]),
        Route("/dlq", Gather(proxy, "dead_letters", "/dlq"), methods=["GET"]),
        Route("/dlq", WriteLetters(proxy), methods=["POST"]),
        Route("/dlq", Everywhere(proxy), methods=["DELETE"]),
        Route("/dlq/redrive", Everywhere(proxy), methods=["POST"]),
        Route("/messages", ListMessages(proxy), methods=["GET"]),
        Route("/trace/{id}", Trace(proxy), methods=["GET"]),
        Route("/status", Status(proxy), methods=["GET"]),
    ]
