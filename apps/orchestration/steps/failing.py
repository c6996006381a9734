"""A failed attempt is an event: it is tried again later without a worker, or it ends the run."""

import re
from datetime import timedelta

from apps.agents.services import loop
from apps.agents.services.loop import Failure
from apps.orchestration import drafts, live
from apps.orchestration.activation import Activation, Interrupted
from apps.orchestration.leases import is_stopping
from apps.orchestration.records import Fenced
from octavo.kernel.errors import BudgetExceeded, OctavoError, Unavailable, UpstreamFailed

_COMING_BACK = {429, 502, 503, 504}
"""Statuses of a server that is busy, starting or behind a proxy that waits for it."""
_TOO_LONG = {400, 413, 422}
_SAYS_TOO_LONG = re.compile(r"context (length|window|size)|maximum context|too long", re.IGNORECASE)
_LONGEST_ASKED = timedelta(minutes=1)  # however long a provider would have us wait


class Cancelled(Exception):
    """Someone cancelled the run while the step was under way."""


def raise_if_interrupted(activation: Activation) -> None:
    """Why a live call was cut short, if it was not its own doing."""
    if activation.lease.lost:
        raise Fenced
    if activation.lease.cancelled:
        raise Cancelled
    if is_stopping():
        raise Interrupted


def record_failure(
    activation: Activation, step: str, error: OctavoError | TimeoutError, *, took: float
) -> None:
    """Journal the attempt, and when the next one is due."""
    progress = activation.state.progress(step)
    failures = progress.failures + 1
    kind = _kind_of(error)
    delay = loop.retry_after(kind, failures=failures)
    if isinstance(error, UpstreamFailed) and delay is not None:
        asked = timedelta(seconds=getattr(error, "retry_after", None) or 0)
        delay = max(delay, min(asked, _LONGEST_ASKED))
    activation.record(
        drafts.model_failed(
            step,
            code=_code_of(error, kind),
            detail=str(error),
            retry_in=delay,
            is_too_long=kind is Failure.TOO_LONG,
            attempt=progress.attempt + 1,
            took=took,
        )
    )
    live.abandon(activation.run.id, step)


def _kind_of(error: Exception) -> Failure:
    if isinstance(error, UpstreamFailed):
        if error.upstream_status in _TOO_LONG and _SAYS_TOO_LONG.search(str(error)):
            return Failure.TOO_LONG
        if not error.retryable:
            return Failure.REFUSED
        is_away = error.upstream_status in _COMING_BACK
        return Failure.UNREACHABLE if is_away else Failure.UPSTREAM
    if isinstance(error, TimeoutError):
        return Failure.UPSTREAM
    if isinstance(error, Unavailable):
        return Failure.UNREACHABLE
    return Failure.REFUSED


def _code_of(error: Exception, kind: Failure) -> str:
    """Stable codes: a refusal of Octavo keeps its own, a model server's is `model_failed`."""
    if isinstance(error, BudgetExceeded):
        return "budget_exceeded"
    if isinstance(error, OctavoError) and kind is Failure.REFUSED:
        return "model_failed" if isinstance(error, Unavailable) else error.code.replace("-", "_")
    return "model_failed"
