"""Carries hints from the outbox to the broker: deleted and published in one transaction.

Any number of relays may run; a hint that is published twice, or lost afterwards, is harmless. A
relay whose process takes runs keeps their hints, a few at a time and no more than it has room for:
workers share what there is, no message is sent for it, and it goes on while Redis is away.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import redis
from celery import Celery
from django.db import DatabaseError, InterfaceError, connections, transaction
from kombu.exceptions import OperationalError as BrokerError

from apps.orchestration.services import upkeep
from octavo.kernel import jobs
from octavo.kernel.redis import client
from workers import hints
from workers.hints import Hint
from workers.running import Threads

log = logging.getLogger(__name__)

BATCH = 32
POLL_SECONDS = 1.0
_LONGEST_PAUSE = 10.0
_MARK = "octavo:relay"


def keep_runs(threads: Threads) -> bool:
    """Start runs in this process while there are hints and room; whether there may be more."""
    room = threads.room()
    limit = min(BATCH, room)
    taken = hints.take(limit, runs=True) if limit else []
    for hint in taken:
        threads.start(hint.arguments["run_id"])
    return limit > 0 and len(taken) == limit


def publish(app: Celery, *, runs: bool) -> bool:
    """Publish a batch of due hints; whether there may be more. What was not published stays."""
    with transaction.atomic():
        taken = hints.take(BATCH, runs=runs)
        if taken:
            _send(app, taken)
    return len(taken) == BATCH


def _send(app: Celery, taken: Sequence[Hint]) -> None:
    with app.producer_pool.acquire(block=True) as producer:
        for hint in taken:
            app.send_task(hint.job, kwargs=hint.arguments, producer=producer, ignore_result=True)


def run(
    app: Celery,
    stop: threading.Event,
    on_cancel: Callable[[], None],
    threads: Threads | None = None,
) -> None:
    """Relay until `stop`: at once after a ping, otherwise each second; backs off while it cannot.

    `on_cancel` is called when somebody asked for a run to end.
    """
    relay_runs = partial(keep_runs, threads) if threads else partial(publish, app, runs=True)
    listener, pause = _Listener(on_cancel), _Pause()
    while not stop.is_set():
        try:
            _repeat(relay_runs, stop)
            if pause.is_over():
                _relay_jobs(app, stop)
                pause = _Pause()
        except (DatabaseError, InterfaceError, BrokerError, redis.RedisError, OSError) as error:
            pause.begin(error)
        finally:
            connections.close_all()
        listener.wait(stop)


def _relay_jobs(app: Celery, stop: threading.Event) -> None:
    if _has_forgotten():
        upkeep.remind_all()
    _repeat(partial(publish, app, runs=False), stop)


class _Pause:
    """How long nothing is published after a failure; longer with each."""

    def __init__(self) -> None:
        self._until, self._seconds = 0.0, POLL_SECONDS

    def is_over(self) -> bool:
        return time.monotonic() >= self._until

    def begin(self, error: Exception) -> None:
        """Unless one is under way already."""
        if not self.is_over():
            return
        log.warning("Hints wait in the outbox (%s); next try in %g s.", error, self._seconds)
        self._until = time.monotonic() + self._seconds
        self._seconds = min(self._seconds * 2, _LONGEST_PAUSE)


def _repeat(relay: Callable[[], bool], stop: threading.Event) -> None:
    while not stop.is_set() and relay():
        continue


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
