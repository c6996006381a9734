"""Threads beside Celery: started when the worker is ready, stopped when it is told to go.

On SIGTERM nothing new is claimed, live model calls are cut off and their runs handed back, so the
process is gone in about a second; an unsafe tool call may finish first.
"""

import logging
import threading
from typing import Any

from celery.signals import worker_ready, worker_shutting_down

from apps.orchestration.services import upkeep
from workers import relay, running, schedules
from workers.app import app

log = logging.getLogger(__name__)

RUNS_QUEUE = "runs"
_stop = threading.Event()
_wake = threading.Event()


@worker_ready.connect(weak=False)  # type: ignore[untyped-decorator]
def start_threads(sender: Any, **_: Any) -> None:
    """Every worker relays; one that takes runs takes those of its own relay, and keeps them."""
    if RUNS_QUEUE not in sender.app.amqp.queues.consume_from:
        _start("octavo-relay", relay.run, app, _stop, _wake.set)
        return
    running.threads = running.Threads(sender.pool.limit, _stop)
    _start("octavo-relay", relay.run, app, _stop, _wake.set, running.threads)
    _start("octavo-heartbeat", upkeep.keep_leases, _stop, _wake)
    _start("octavo-schedules", schedules.run, schedules.of_runs(), _stop)


@worker_shutting_down.connect(weak=False)  # type: ignore[untyped-decorator]
def stop_threads(**_: Any) -> None:
    """Called in Celery's signal handler: only sets flags and wakes sleepers."""
    upkeep.stop()
    _stop.set()
    _wake.set()


def _start(name: str, target: Any, *arguments: Any) -> None:
    threading.Thread(target=target, args=arguments, name=name, daemon=True).start()
