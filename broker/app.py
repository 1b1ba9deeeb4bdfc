"""The broker's HTTP face."""

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route

from broker.broker import Broker
from broker.consume import Consume
from broker.inspect import ListGroups, ListMessages, ListTopics, PutTopic
from broker.options import BrokerOptions
from broker.produce import Produce
from broker.settle import Ack
from common.auth import ServiceToken
from common.clock import Clock
from common.http.service import create_service_app
from common.lifecycle import Lifecycle


def create_app(
    options: BrokerOptions, lifecycle: Lifecycle, clock: Clock | None = None
) -> Starlette:
    """Build the broker's app; the broker itself starts with the app's lifespan."""
    broker = Broker(options, lifecycle, clock)
    app = create_service_app(broker, routes(broker), ServiceToken(options.service_token))
    app.state.broker = broker
    return app


def routes(broker: Broker) -> list[BaseRoute]:
    """The wire protocol, a row a request."""
    return [
        Route("/produce", Produce(broker), methods=["POST"]),
        Route("/consume", Consume(broker), methods=["GET"]),
        Route("/ack", Ack(broker), methods=["POST"]),
        Route("/topics", ListTopics(broker), methods=["GET"]),
        Route("/topics/{topic}", PutTopic(broker), methods=["PUT"]),
        Route("/groups", ListGroups(broker), methods=["GET"]),
        Route("/messages", ListMessages(broker), methods=["GET"]),
    ]
