"""The threads in which a worker takes runs, never more than it has.

A hint comes from the worker's own relay, which costs nothing, or as a message from a worker that
takes no runs itself. Hints for which there is no room stay in the outbox, where every worker sees
them; a thread that is done takes the next of them.
"""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connections

from apps.orchestration.services import engine

log = logging.getLogger(__name__)


def work(run_id: str | None = None) -> bool:
    """Take the run whose turn it is as far as it goes now, on this hint or on the next that waits.

    False when there was no hint.
    """
    return engine.advance_next(hinted=run_id)


class Threads:
    """Room for `most` runs at once, until `stop`."""

    def __init__(self, most: int, stop: threading.Event) -> None:
        self._most, self._busy = most, 0
        self._stop, self._changed = stop, threading.Condition()
        self._pool = ThreadPoolExecutor(most, thread_name_prefix="octavo-run")
        self._left = False  # whether hints may be waiting for room

    def room(self) -> int:
        """How many hints may be started now; at 0 the threads look for more themselves."""
        with self._changed:
            room = max(0, self._most - self._busy)
            self._left = room == 0
            return room

    def start(self, run_id: str) -> None:
        """Take a hint in a thread of the pool."""
        with self._changed:
            self._busy += 1
        self._pool.submit(self._take, run_id)

    def wait(self, run_id: str) -> None:
        """Take a hint in the caller's thread, once there is room."""
        with self._changed:
            self._changed.wait_for(lambda: self._busy < self._most)
            self._busy += 1
        try:
            work(run_id)
        finally:
            self._leave()

    def _take(self, run_id: str) -> None:
        try:
            _work_and_log(run_id)
            while self._left and not self._stop.is_set():
                self._left = _work_and_log()
        finally:
            self._leave()

    def _leave(self) -> None:
        with self._changed:
            self._busy -= 1
            self._changed.notify()


def _work_and_log(run_id: str | None = None) -> bool:
    try:
        return work(run_id)
    except (DatabaseError, InterfaceError) as error:
        log.warning("No run was taken (%s); its lease or its next hint brings it back.", error)
    except Exception:
        log.exception("A run was not taken further; its lease or its next hint brings it back")
    finally:
        connections.close_all()
    return False


threads = Threads(settings.WORKER_THREADS, threading.Event())
