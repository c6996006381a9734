"""The runs that this process holds: kept alive together, let go when a step overstays its time.

A hung thread stops being renewed, so its run goes to another worker and the thread is fenced.
"""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.conf import settings

from apps.orchestration import journal
from octavo.kernel import io

OWNER = f"{socket.gethostname()}:{os.getpid()}"
_BETWEEN_STEPS = 30.0

_lock = threading.Lock()
_held: dict[UUID, "Lease"] = {}
_stopping = threading.Event()


@dataclass(slots=True, eq=False)
class Lease:
    """One held run. The heartbeat sets `lost` and `cancelled`, which end a live call at once."""

    run_id: UUID
    fence: int
    renew_until: float = 0.0
    lost: bool = False
    cancelled: bool = False
    _calls: "dict[asyncio.Task[Any], bool]" = field(default_factory=dict)

    def allow(self, seconds: float = _BETWEEN_STEPS) -> None:
        """What is under way may take this long before the lease is left to lapse."""
        self.renew_until = time.monotonic() + seconds

    @property
    def is_interrupted(self) -> bool:
        return self.lost or self.cancelled or _stopping.is_set()

    def interrupt(self) -> None:
        """Cancel the calls under way on the I/O loop; their thread wakes up at once."""
        io.loop().call_soon_threadsafe(self._cancel_calls)

    def _cancel_calls(self) -> None:
        only_stopping = not (self.lost or self.cancelled)
        for call, finishes in list(self._calls.items()):
            if not (finishes and only_stopping):
                call.cancel()

    async def watch[T](self, call: Coroutine[Any, Any, T], *, finishes: bool = False) -> T:
        """Await `call` so that `interrupt` reaches it.

        With `finishes`, a process that stops waits for the call: half of it cannot be taken back.
        """
        if self.is_interrupted:
            call.close()
            raise asyncio.CancelledError
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  this is a coroutine
        self._calls[task] = finishes
        try:
            return await call
        finally:
            del self._calls[task]


@contextmanager
def hold(run_id: UUID, fence: int) -> Iterator[Lease]:
    """Renew the lease until the block is left."""
    lease = Lease(run_id=run_id, fence=fence)
    lease.allow()
    with _lock:
        _held[run_id] = lease
    try:
        yield lease
    finally:
        with _lock:
            if _held.get(run_id) is lease:
                del _held[run_id]


def held() -> list[Lease]:
    with _lock:
        return list(_held.values())


def is_stopping() -> bool:
    return _stopping.is_set()


def cancel(run_id: UUID) -> None:
    """End the live call of a cancelled run at once, if this process holds the run."""
    with _lock:
        lease = _held.get(run_id)
    if lease is not None:
        lease.cancelled = True
        lease.interrupt()


def stop() -> None:
    """Take no more runs, and interrupt the calls under way: their threads hand the runs back."""
    _stopping.set()
    for lease in held():
        lease.interrupt()


def heartbeat() -> int:
    """Renew what this process holds in one statement; how many leases it still has."""
    alive = [lease for lease in held() if time.monotonic() < lease.renew_until]
    if not alive:
        return 0
    renewed = journal.heartbeat([(lease.run_id, lease.fence) for lease in alive])
    for lease in alive:
        lease.lost = lease.run_id not in renewed
        lease.cancelled = renewed.get(lease.run_id, False)
        if lease.lost or lease.cancelled:
            lease.interrupt()
    return len(renewed)


def heartbeat_seconds() -> float:
    return settings.LEASE_SECONDS / 3
