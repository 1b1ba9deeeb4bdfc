"""The three sides of a queue that is NATS JetStream's."""

from common.queue.jetstream.consumer import NatsConsumer
from common.queue.jetstream.letters import NatsDeadLetters
from common.queue.jetstream.producer import NatsProducer

__all__ = ["NatsConsumer", "NatsDeadLetters", "NatsProducer"]
