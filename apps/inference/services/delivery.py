"""Which target a call goes to: in the route's order, each tried at most twice.

A provider that fails five times in a row is left alone for fifteen seconds. Runs on the I/O loop
and touches no database. What has reached a listener is never sent again.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from apps.inference.types import Attempt, ContextOverflow, PreparedCall, UpstreamBusy
from apps.model_registry.types import Target
from octavo.kernel.errors import Unavailable, UpstreamFailed

log = logging.getLogger(__name__)

_FAILURES_TO_OPEN = 5
_OPEN_SECONDS = 15.0
_RETRY_SECONDS = 0.25
_LONGEST_WAIT = 5.0  # a provider that asks for more is busy: the next target may not be
_TARGETS_OWN = {401, 402, 403, 404, 429}  # statuses that say nothing of the request


@dataclass(slots=True)
class _Circuit:
    """Closed, open until a moment, or letting one trial through after it."""

    failures: int = 0
    open_until: float = 0.0

    def admits(self) -> bool:
        if self.failures < _FAILURES_TO_OPEN:
            return True
        if time.monotonic() < self.open_until:
            return False
        self.open_until = time.monotonic() + _OPEN_SECONDS  # this caller is the trial
        return True

    def failed(self) -> None:
        self.failures += 1
        self.open_until = time.monotonic() + _OPEN_SECONDS


_circuits: dict[tuple[object, str], _Circuit] = {}


def _circuit(target: Target) -> _Circuit:
    """By provider and address: a corrected address starts afresh."""
    return _circuits.setdefault((target.provider_id, target.base_url), _Circuit())


async def deliver[P, R](
    prepared: PreparedCall[P],
    attempt: Callable[[Attempt, str], Awaitable[R]],
    *,
    is_repeatable: Callable[[], bool] = lambda: True,
) -> R:
    """The first target's answer, or the next one's where that fails for reasons of its own.

    Every attempt is kept in `prepared.attempts` with what it used, for the settling.
    `is_repeatable` turns false once a listener has been given something. Raises the last error.
    """
    last: Unavailable | None = None
    for target, credential in zip(prepared.targets, prepared.credentials, strict=True):
        if not _circuit(target).admits():
            last = last or _left_alone(target)
            continue
        try:
            return await _try(prepared, target, credential, attempt, is_repeatable)
        except Unavailable as error:
            if not (is_repeatable() and _concerns_target_only(error)):
                raise
            log.warning("Route %s: %s", prepared.route, error)
            last = error
    raise last or ValueError(f"The prepared call of route {prepared.route!r} has no targets.")


async def _try[P, R](
    prepared: PreparedCall[P],
    target: Target,
    credential: str,
    attempt: Callable[[Attempt, str], Awaitable[R]],
    is_repeatable: Callable[[], bool],
) -> R:
    try:
        return await _counted(prepared, target, credential, attempt)
    except Unavailable as error:
        pause = _pause(error)
        if pause is None or not is_repeatable():
            raise
    await asyncio.sleep(pause)
    return await _counted(prepared, target, credential, attempt)


async def _counted[P, R](
    prepared: PreparedCall[P],
    target: Target,
    credential: str,
    attempt: Callable[[Attempt, str], Awaitable[R]],
) -> R:
    circuit = _circuit(target)
    made = Attempt(target=target)
    prepared.attempts.append(made)
    try:
        answer = await attempt(made, credential)
    except Unavailable as error:
        if _is_outage(error):
            circuit.failed()
        else:
            circuit.failures = 0
        raise
    circuit.failures = 0
    made.is_answered = True
    return answer


def _pause(error: Unavailable) -> float | None:
    """Seconds before the second try; None when there shall be none."""
    if isinstance(error, UpstreamBusy) and error.retry_after is not None:
        return error.retry_after if error.retry_after <= _LONGEST_WAIT else None
    if isinstance(error, UpstreamFailed) and not error.retryable:
        return None
    return _RETRY_SECONDS


def _is_outage(error: Unavailable) -> bool:
    if isinstance(error, UpstreamBusy):
        return False
    return not isinstance(error, UpstreamFailed) or error.retryable


def _concerns_target_only(error: Unavailable) -> bool:
    if not isinstance(error, UpstreamFailed) or error.retryable:
        return True
    return isinstance(error, ContextOverflow) or error.upstream_status in _TARGETS_OWN


def _left_alone(target: Target) -> Unavailable:
    return Unavailable(
        f"Provider {target.model.provider!r} failed {_FAILURES_TO_OPEN} times in a row and is left "
        f"alone for {_OPEN_SECONDS:.0f} s. Check that server, or add another target to the route."
    )
