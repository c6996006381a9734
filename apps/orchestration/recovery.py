"""Runs whose worker died go back to the queue, runs whose hint was lost get another one.

Safe in any number of processes at once: rows are taken by SKIP LOCKED.
"""

import logging
from datetime import timedelta

from django.db import transaction

from apps.orchestration import journal, statements
from octavo.kernel import jobs, sql

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
        journal.quarantine(run_id, reason=reason)
    if revived:
        sql.run(statements.REVIVE, ids=revived, delay=timedelta(0))
    for run_id in revived:
        jobs.enqueue("orchestration.advance", run_id=str(run_id))
    return len(expired)


@transaction.atomic
def remind(*, after_seconds: float = HINT_SECONDS, limit: int = _BATCH) -> int:
    """Ready runs that no worker took: their hint may be lost with Redis, so send another."""
    forgotten = sql.run(statements.TAKE_FORGOTTEN, after=after_seconds, limit=limit)
    for (run_id,) in forgotten:
        jobs.enqueue("orchestration.advance", run_id=str(run_id))
    return len(forgotten)
