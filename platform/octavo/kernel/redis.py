"""Redis is wake-ups and fan-out only: every caller works, more slowly, when it is down or flushed."""

import logging
from functools import cache

import redis
from django.conf import settings

log = logging.getLogger(__name__)


@cache
def client() -> "redis.Redis[bytes]":
    """The process's shared connection pool; short timeouts, so that a dead Redis never stalls a request."""
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2)


def publish(channel: str, message: bytes) -> None:
    """Tell whoever listens; a lost message only delays (readers poll the database as well)."""
    try:
        client().publish(channel, message)
    except redis.RedisError as error:
        log.warning("Redis did not take a message on %s (%s); readers will poll.", channel, error)
