"""A request that waits for a run: it holds a thread, so only so many may wait at once."""

import contextlib
import threading
from collections.abc import Callable
from uuid import UUID

from apps.orchestration.services import watching
from octavo.kernel import io

_MAX_WAITS = 64
_places = threading.BoundedSemaphore(_MAX_WAITS)


def wait(run_id: UUID, is_done: Callable[[], bool], *, seconds: float) -> None:
    """Return when `is_done` (called with a database at hand) says so, or after `seconds`.

    Each wait holds a thread: when there are too many, return at once.
    """
    if not _places.acquire(blocking=False):
        return
    try:
        with contextlib.suppress(TimeoutError):
            io.call(_wait(run_id, is_done), timeout=seconds)
    finally:
        _places.release()


async def _wait(run_id: UUID, is_done: Callable[[], bool]) -> None:
    hub = watching.hub()
    async with hub.watch(run_id) as feed:
        while not await io.db(is_done):
            grown = False
            while not grown:
                grown, _ = await feed.next(within=hub.poll_seconds)
            if hub.is_ending:
                return
