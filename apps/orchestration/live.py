"""Fan-out for whoever watches a run. Redis only: what is lost here is in the journal anyway.

One thread publishes, so that neither a step nor the I/O loop ever waits for Redis.
"""

import logging
import queue
import threading
import time
from typing import Any
from uuid import UUID

import redis

from apps.orchestration.records import dump
from apps.orchestration.types.runs import EVENTS_CHANNEL
from octavo.kernel.redis import client

log = logging.getLogger(__name__)

_BACKLOG = 10_000
_BATCH = 500
_GATHER_SECONDS = 0.01
_QUIET_SECONDS = 1.0

_Message = tuple[str, dict[str, Any]]
_messages: queue.Queue[_Message] = queue.Queue(_BACKLOG)
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


def _put(run_id: UUID, message: dict[str, Any]) -> None:
    _start()
    try:
        _messages.put_nowait((EVENTS_CHANNEL.format(run_id=run_id), message))
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
        time.sleep(_GATHER_SECONDS)
        while len(batch) < _BATCH and not _messages.empty():
            batch.append(_messages.get_nowait())
        try:
            _send(_gathered(batch))
        except redis.RedisError as error:
            log.warning("Redis did not take %d live messages (%s).", len(batch), error)
            time.sleep(_QUIET_SECONDS)


def _send(messages: list[_Message]) -> None:
    with client().pipeline(transaction=False) as pipeline:
        for channel, message in messages:
            pipeline.publish(channel, dump(message))
        pipeline.execute()


def _gathered(batch: list[_Message]) -> list[_Message]:
    """The same news in fewer messages: of sequence numbers the last, of one step's text the sum."""
    gathered: list[_Message] = []
    last: dict[str, dict[str, Any]] = {}
    for channel, message in batch:
        before = last.get(channel, {})
        if "seq" in message and "seq" in before:
            before["seq"] = message["seq"]
        elif "delta" in message and "delta" in before and before["step"] == message["step"]:
            before["delta"] += message["delta"]
        else:
            last[channel] = message
            gathered.append((channel, message))
    return gathered
