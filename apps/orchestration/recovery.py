"""Runs whose worker died go back to the queue, runs whose hint was lost get another one.

Safe in any number of processes at once: rows are taken by SKIP LOCKED.
"""

import logging
from datetime import timedelta
from functools import partial
from uuid import UUID

from django.db import transaction

from apps.orchestration import children, journal, live, slots, statements
from apps.orchestration.announcing import announce_end
from apps.orchestration.types.runs import RunStatus
from octavo.kernel import sql

log = logging.getLogger(__name__)

HINT_SECONDS = 10
_BATCH = 500


@transaction.atomic
def reap() -> int:
    """Expired leases: back to ready, or to quarantine after three crashes at the same event."""
    expired = sql.run(statements.TAKE_EXPIRED, limit=_BATCH)
    revived = []
    for run_id, crashes, next_seq, owner in expired:
        if crashes + 1 < journal.MOST_CRASHES:
            revived.append(run_id)
            continue
        reason = (
            f"The worker was lost {crashes + 1} times after event {next_seq - 1}, last {owner}. "
            "Look for the cause in the worker's log, then start the run again."
        )
        log.error("Run %s is quarantined: %s", run_id, reason)
        _quarantine(run_id, reason=reason)
    if revived:
        sql.run(statements.REVIVE, ids=revived, delay=timedelta(0))
    slots.hint(revived)
    return len(expired)


@transaction.atomic
def stumble(run_id: UUID, fence: int, *, reason: str, delay: timedelta) -> None:
    """An activation failed unexpectedly: again after `delay`, or quarantine at the third time."""
    revived = sql.run(
        statements.STUMBLE,
        id=run_id,
        fence=fence,
        delay=delay,
        most_crashes=journal.MOST_CRASHES,
    )
    if revived:
        slots.hint([run_id], delay=delay)
    else:
        _quarantine(run_id, fence=fence, reason=reason)


def _quarantine(run_id: UUID, *, reason: str, fence: int | None = None) -> None:
    """Set the run aside for a person, and tell the parent that waits for it. Without `fence` the
    caller has locked its row.
    """
    error = {"code": "quarantined", "detail": reason}
    rows = sql.run(statements.QUARANTINE, id=run_id, fence=fence, error=journal.as_json(error))
    if not rows:
        return
    seq, parent_id, parent_key = rows[0]
    transaction.on_commit(partial(live.announce, run_id, seq))
    children.end_with(run_id)
    announce_end(run_id, is_tainted=True)
    children.tell_parent(
        parent_id,
        step=parent_key,
        run_id=run_id,
        status=RunStatus.QUARANTINED,
        error=error,
        is_tainted=True,
    )


@transaction.atomic
def remind(*, after_seconds: float = HINT_SECONDS, limit: int = _BATCH) -> int:
    """Ready runs that no worker took: their hint may be lost with Redis, so send another."""
    forgotten = sql.run(statements.TAKE_FORGOTTEN, after=after_seconds, limit=limit)
    slots.hint([run_id for (run_id,) in forgotten])
    return len(forgotten)
