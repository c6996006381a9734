"""Carries hints from the outbox to the broker: deleted and published in one transaction.

Any number of relays may run; a hint that is published twice, or lost afterwards, is harmless.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import redis
from celery import Celery
from django.db import DatabaseError, InterfaceError, connection, connections, transaction
from kombu.exceptions import OperationalError as BrokerError

from apps.orchestration.services import upkeep
from octavo.kernel import jobs
from octavo.kernel.redis import client

log = logging.getLogger(__name__)

BATCH = 200
POLL_SECONDS = 1.0
_LONGEST_PAUSE = 10.0
_MARK = "octavo:relay"

_TAKE = """
DELETE FROM outbox WHERE id IN (
  SELECT id FROM outbox WHERE available_at <= now()
  ORDER BY available_at, id LIMIT %s FOR UPDATE SKIP LOCKED)
RETURNING name, args
"""


def relay_batch(app: Celery) -> int:
    """Publish up to `BATCH` due hints; how many there were. What was not published stays."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_TAKE, [BATCH])
        rows = cursor.fetchall()
        if rows:
            _publish(app, rows)
    return len(rows)


def _publish(app: Celery, rows: Sequence[tuple[str, str]]) -> None:
    with app.producer_pool.acquire(block=True) as producer:
        for name, arguments in rows:
            kwargs = orjson.loads(arguments)
            app.send_task(name, kwargs=kwargs, producer=producer, ignore_result=True)


def run(app: Celery, stop: threading.Event, on_cancel: Callable[[], None]) -> None:
    """Relay until `stop`: at once after a ping, otherwise each second; backs off while it cannot.

    `on_cancel` is called when somebody asked for a run to end.
    """
    listener, pause = _Listener(on_cancel), POLL_SECONDS
    while not stop.is_set():
        try:
            if _has_forgotten():
                upkeep.remind_all()
            while relay_batch(app) == BATCH and not stop.is_set():
                continue
            pause = POLL_SECONDS
        except (DatabaseError, InterfaceError, BrokerError, redis.RedisError, OSError) as error:
            log.warning("Hints wait in the outbox (%s); next try in %g s.", error, pause)
            stop.wait(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        finally:
            connections.close_all()
        listener.wait(stop)


def _has_forgotten() -> bool:
    """Whether Redis was emptied or restarted since a relay last looked, and its hints with it."""
    return bool(client().set(_MARK, b"1", nx=True))


class _Listener:
    """Waits for a ping, at most a poll's time, and survives a Redis that restarts."""

    def __init__(self, on_cancel: Callable[[], None]) -> None:
        self._on_cancel = on_cancel
        self._pubsub: Any = None

    def wait(self, stop: threading.Event) -> None:
        try:
            if self._pubsub is None:
                redis_client: Any = client()
                self._pubsub = redis_client.pubsub(ignore_subscribe_messages=True)
                self._pubsub.subscribe(jobs.PING_CHANNEL, upkeep.CANCEL_CHANNEL)
            self._drain(self._pubsub.get_message(timeout=POLL_SECONDS))
        except (redis.RedisError, OSError):
            self._pubsub = None
            stop.wait(POLL_SECONDS)

    def _drain(self, message: Any) -> None:
        """Many pings are one: the relay takes all there is."""
        while message is not None:
            if message["channel"] == upkeep.CANCEL_CHANNEL.encode():
                self._on_cancel()
            message = self._pubsub.get_message(timeout=0)
