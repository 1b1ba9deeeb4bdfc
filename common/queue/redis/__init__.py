"""Redis Streams as a queue engine; docs/engines.md says what it gives and what not."""

from common.queue.redis.consumer import RedisConsumer
from common.queue.redis.letters import RedisDeadLetters
from common.queue.redis.producer import RedisProducer

__all__ = ["RedisConsumer", "RedisDeadLetters", "RedisProducer"]
