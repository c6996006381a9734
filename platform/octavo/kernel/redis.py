"""Redis is wake-ups, fan-out and passing counts: without it every caller works, more slowly."""

import logging
from functools import cache

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

log = logging.getLogger(__name__)

# Once more, at once: a restart leaves dead connections behind. A slow Redis is not asked again.
_ONCE = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))


@cache
def client() -> redis.Redis:
    """The process's connection pool; short timeouts: a dead Redis never stalls a request."""
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=1, retry=_ONCE
    )


def publish(channel: str, message: bytes) -> None:
    """Tell whoever listens; a lost message only delays (readers poll the database as well)."""
    try:
        client().publish(channel, message)
    except redis.RedisError as error:
        log.warning("Redis did not take a message on %s (%s); readers will poll.", channel, error)
