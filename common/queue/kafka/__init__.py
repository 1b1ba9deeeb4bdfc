"""The three sides of a queue that is Kafka's."""

from common.queue.kafka.consumer import KafkaConsumer
from common.queue.kafka.letters import KafkaDeadLetters
from common.queue.kafka.producer import KafkaProducer

__all__ = ["KafkaConsumer", "KafkaDeadLetters", "KafkaProducer"]
