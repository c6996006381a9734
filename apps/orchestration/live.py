"""Fan-out for whoever watches a run. Redis only: what is lost here is in the journal anyway.

One thread publishes, so that neither a step nor the I/O loop ever waits for Redis.
"""

import logging
import queue
import threading
import time
from uuid import UUID

import orjson
import redis

from apps.orchestration.types import EVENTS_CHANNEL
from octavo.kernel.redis import client

log = logging.getLogger(__name__)

_BACKLOG = 10_000
_BATCH = 500
_QUIET_SECONDS = 1.0

_messages: queue.Queue[tuple[str, bytes]] = queue.Queue(_BACKLOG)
_lock = threading.Lock()
_publisher: threading.Thread | None = None


def announce(run_id: UUID, seq: int) -> None:
    """Event `seq` of the run is committed."""
    _put(run_id, {"seq": seq})


def stream(run_id: UUID, step: str, text: str) -> None:
    """The model wrote `text`. Safe on the I/O loop: it never waits."""
    _put(run_id, {"delta": text, "step": step})


def abandon(run_id: UUID, step: str) -> None:
    """The attempt whose text was streamed is given up: forget that text."""
    _put(run_id, {"abandoned": step})


def _put(run_id: UUID, message: dict[str, object]) -> None:
    _start()
    try:
        _messages.put_nowait((EVENTS_CHANNEL.format(run_id=run_id), orjson.dumps(message)))
    except queue.Full:
        return


def _start() -> None:
    global _publisher
    if _publisher is not None and _publisher.is_alive():
        return
    with _lock:
        if _publisher is None or not _publisher.is_alive():
            _publisher = threading.Thread(target=_publish, name="octavo-live", daemon=True)
            _publisher.start()


def _publish() -> None:
    while True:
        batch = [_messages.get()]
        while len(batch) < _BATCH and not _messages.empty():
            batch.append(_messages.get_nowait())
        try:
            with client().pipeline(transaction=False) as pipeline:
                for channel, message in batch:
                    pipeline.publish(channel, message)
                pipeline.execute()
        except redis.RedisError as error:
            log.warning("Redis did not take %d live messages (%s).", len(batch), error)
            time.sleep(_QUIET_SECONDS)
