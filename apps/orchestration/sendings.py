"""Calls that wait for the outside: several at once in one thread, with no database in hand."""

import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from apps.orchestration.leases import Lease
from octavo.kernel import io

log = logging.getLogger(__name__)

MOST_AT_ONCE = 16
_MARGIN = 15.0

type Receive[T] = Callable[[], T]
"""Gives the result of a call, or raises what became of it, as `io.call` does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """A call that is prepared. `complete` journals what came of it, in the run's own thread.

    `finishes`: it changes something, so a process that stops waits for it. It takes at most
    `timeout` seconds by itself.
    """

    step: str
    coroutine: Coroutine[Any, Any, Any]
    timeout: float
    complete: Callable[[Receive[Any]], None]
    finishes: bool = False


@dataclass(slots=True, kw_only=True)
class Sendings:
    """What one activation has under way."""

    lease: Lease
    _live: dict[str, tuple[io.Call[Any], Sending]] = field(default_factory=dict)

    def __contains__(self, step: object) -> bool:
        return step in self._live

    def __len__(self) -> int:
        return len(self._live)

    @property
    def has_change(self) -> bool:
        return any(sending.finishes for _, sending in self._live.values())

    def start(self, sending: Sending) -> None:
        watched = self.lease.watch(sending.coroutine, finishes=sending.finishes)
        call = io.start(watched, timeout=sending.timeout)
        self._live[sending.step] = (call, sending)

    def complete_next(self, *, within: float | None = None) -> bool:
        """Wait for the first that is done, and journal it; False if none is `within` seconds.

        Raises why the run may not go on.
        """
        longest = max(sending.timeout for _, sending in self._live.values())
        self.lease.allow(longest + _MARGIN)
        done = io.first_done([call for call, _ in self._live.values()], within=within)
        if done is None:
            return False
        step, sending = next((s, one) for s, (call, one) in self._live.items() if call is done)
        del self._live[step]
        sending.complete(done.result)
        return True

    def close(self) -> None:
        """End what is still under way; each call still settles what it has used."""
        for call, sending in self._live.values():
            if not sending.finishes:
                call.cancel()
        while self._live:
            try:
                self.complete_next()
            except Exception as error:  # noqa: BLE001  the run stops for another reason
                log.info("A call under way ended unrecorded: %s", repr(error))
