"""The three sides of a queue that is Kafka's."""

from common.queue.kafka_consumer import KafkaConsumer
from common.queue.kafka_letters import KafkaDeadLetters
from common.queue.kafka_producer import KafkaProducer

__all__ = ["KafkaConsumer", "KafkaDeadLetters", "KafkaProducer"]
