"""The broker's HTTP face."""

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route

from broker.broker import Broker
from broker.consume import Consume
from broker.description import BROKER
from broker.dlq import ListDead, PurgeDead, Redrive
from broker.drain import Drain, ShowDrain
from broker.group_verbs import ForgetGroup, Kick, Purge, Seek
from broker.inspect import ListGroups, ListMessages, ListTopics
from broker.letters import WriteLetters
from broker.options import BrokerOptions
from broker.produce import Produce
from broker.settle import Ack, Extend, Nack
from broker.topic_verbs import DeleteTopic, Pause, PutTopic, Resume
from broker.trace import Trace
from common.auth import ServiceToken
from common.clock import Clock
from common.http.service import create_service_app
from common.journal.files import Files
from common.lifecycle import Lifecycle


def create_app(
    options: BrokerOptions,
    lifecycle: Lifecycle,
    clock: Clock | None = None,
    files: Files | None = None,
) -> Starlette:
    """Build the broker's app; the broker itself starts with the app's lifespan."""
    broker = Broker(options, lifecycle, clock, files)
    served = routes(broker)
    described = [*served, BROKER.route(served)]
    app = create_service_app(broker, described, ServiceToken(options.service_token))
    app.state.broker = broker
    return app


def routes(broker: Broker) -> list[BaseRoute]:
    """The wire protocol, a row a request."""
    return [
        Route("/produce", Produce(broker), methods=["POST"]),
        Route("/consume", Consume(broker), methods=["GET"]),
        Route("/ack", Ack(broker), methods=["POST"]),
        Route("/nack", Nack(broker), methods=["POST"]),
        Route("/extend", Extend(broker), methods=["POST"]),
        Route("/topics", ListTopics(broker), methods=["GET"]),
        Route("/topics/{topic}", PutTopic(broker), methods=["PUT"]),
        Route("/topics/{topic}", DeleteTopic(broker), methods=["DELETE"]),
        Route("/pause", Pause(broker), methods=["POST"]),
        Route("/resume", Resume(broker), methods=["POST"]),
        Route("/purge", Purge(broker), methods=["POST"]),
        Route("/kick", Kick(broker), methods=["POST"]),
        Route("/drain", Drain(broker), methods=["POST"]),
        Route("/drain", ShowDrain(broker), methods=["GET"]),
        Route("/groups", ListGroups(broker), methods=["GET"]),
        Route("/groups/{group}/seek", Seek(broker), methods=["POST"]),
        Route("/groups/{group}", ForgetGroup(broker), methods=["DELETE"]),
        Route("/dlq", ListDead(broker), methods=["GET"]),
        Route("/dlq", WriteLetters(broker), methods=["POST"]),
        Route("/dlq", PurgeDead(broker), methods=["DELETE"]),
        Route("/dlq/redrive", Redrive(broker), methods=["POST"]),
        Route("/messages", ListMessages(broker), methods=["GET"]),
        Route("/trace/{id}", Trace(broker), methods=["GET"]),
    ]
