"""Who goes next, and never more at once than a limit allows.

A run whose limit is full stays ready with `slot_wait` set: it gets no hints and is passed over
until a slot is free. What holds a slot is the run's own status, so a slot cannot be lost.
"""

import threading
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.orchestration import statements
from octavo.kernel import jobs, sql

_lock = threading.Lock()
_limited: set[UUID] = set()


def choose(hinted: UUID) -> UUID:
    """Take the run whose turn it is on this hint: in the project that has the fewest under way the
    one of the lowest rank, so that a hint is leave to work and not an order. Without any, the
    hinted one.
    """
    taken = sql.run(statements.TAKE_TURN)
    chosen: UUID = taken[0][0] if taken else hinted
    return chosen


def claim(*, run_id: UUID, **parameters: Any) -> list[tuple[Any, ...]]:
    """The row of `CLAIM`, none if it cannot be had now."""
    rows = sql.run(statements.CLAIM, id=run_id, **parameters)
    if rows or not sql.run(statements.HAS_LIMITS, id=run_id):
        return rows
    with transaction.atomic():
        sql.run(statements.LOCK_LIMITS, id=run_id)
        rows = sql.run(statements.CLAIM_WITHIN_LIMITS, id=run_id, **parameters)
        waits = [] if rows else sql.run(statements.WAIT_FOR_SLOT, id=run_id)
        if waits == [(None,)]:  # the slot was given back in between
            jobs.enqueue("orchestration.advance", run_id=str(run_id))
    if rows:
        with _lock:
            _limited.add(run_id)
    return rows


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
    for (run_id,) in woken:
        jobs.enqueue("orchestration.advance", run_id=str(run_id))
    return len(woken)
