"""Who goes next, and never more at once than a limit allows.

A run whose limit is full stays ready with `slot_wait` set: it gets no hints and is passed over
until a slot is free. What holds a slot is the run's own status, so a slot cannot be lost.
"""

import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.orchestration import statements
from octavo.kernel import jobs, sql

_lock = threading.Lock()
_limited: set[UUID] = set()


def hint(run_ids: Sequence[UUID], *, delay: timedelta = timedelta(0)) -> None:
    """Promise, in the caller's transaction, that these runs are taken further."""
    jobs.enqueue_all(
        "orchestration.advance", [{"run_id": str(each)} for each in run_ids], delay=delay
    )


def claim_turn(hinted: UUID | None, **parameters: Any) -> tuple[bool, list[tuple[Any, ...]]]:
    """Claim the run whose turn it is: in the project that has the fewest under way the one of the
    lowest rank, so that a hint is leave to work and not an order. Without any, the hinted one.

    Without a hint in hand, one is taken from the outbox. Whether there was a hint, and the row of
    `CLAIM`.
    """
    taken = sql.run(statements.CLAIM_TURN, spend=hinted is None, **parameters)
    ((has_spent, chosen, *row),) = taken
    if chosen is not None:
        rows = [tuple(row)] if row[0] else _claim_within_limits(chosen, parameters)
    else:
        rows = claim(run_id=hinted, **parameters) if hinted else []
    return has_spent or hinted is not None, rows


def claim(*, run_id: UUID, **parameters: Any) -> list[tuple[Any, ...]]:
    """The row of `CLAIM`, none if it cannot be had now."""
    rows = sql.run(statements.CLAIM, id=run_id, **parameters)
    if rows or not sql.run(statements.HAS_LIMITS, id=run_id):
        return rows
    return _claim_within_limits(run_id, parameters)


@transaction.atomic
def _claim_within_limits(run_id: UUID, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    sql.run(statements.LOCK_LIMITS, id=run_id)
    rows = sql.run(statements.CLAIM_WITHIN_LIMITS, id=run_id, **parameters)
    if rows:
        transaction.on_commit(partial(_hold, run_id))
    elif sql.run(statements.WAIT_FOR_SLOT, id=run_id) == [(None,)]:
        hint([run_id])  # the slot was given back in between
    return rows


def _hold(run_id: UUID) -> None:
    with _lock:
        _limited.add(run_id)


def pass_on(run_id: UUID) -> None:
    """After an activation: if the run was within a limit, its slot goes to the next at once."""
    with _lock:
        was_limited = run_id in _limited
        _limited.discard(run_id)
    if was_limited:
        wake()


@transaction.atomic
def wake() -> int:
    """Hint the first of those that wait for a slot, as many as there are slots free; how many."""
    woken = sql.run(statements.FILL_SLOTS)
    hint([run_id for (run_id,) in woken])
    return len(woken)
