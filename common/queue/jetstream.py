"""The three sides of a queue that is NATS JetStream's."""

from common.queue.jetstream_consumer import NatsConsumer
from common.queue.jetstream_letters import NatsDeadLetters
from common.queue.jetstream_producer import NatsProducer

__all__ = ["NatsConsumer", "NatsDeadLetters", "NatsProducer"]
