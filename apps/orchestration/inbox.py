"""One inbox for everything that wakes a run: mail is delivered once, and never lost."""

import math
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from apps.orchestration import statements
from apps.orchestration.journal import as_json
from octavo.kernel import jobs, sql


def deliver(run_id: UUID, *, kind: str, body: Mapping[str, Any], dedupe_key: str) -> bool:
    """Put mail into the run's inbox and wake the run if it waits.

    False when the run is over or mail with this `dedupe_key` arrived before.
    """
    try:
        with transaction.atomic():
            rows = sql.run(
                statements.DELIVER,
                id=run_id,
                kind=kind,
                body=as_json(body),
                dedupe_key=dedupe_key,
            )
            if rows and rows[0][0]:
                jobs.enqueue("orchestration.advance", run_id=str(run_id))
    except IntegrityError:  # two deliveries of the same mail met: the other one won
        return False
    return bool(rows)


@transaction.atomic
def fire_timers(*, limit: int = 50) -> int:
    """Turn due timers into mail. Several processes may do so at once: none fires twice."""
    due = sql.run(statements.TAKE_DUE_TIMERS, limit=limit)
    for timer_id, run_id, key in due:
        deliver(run_id, kind="timer", body={"key": key}, dedupe_key=f"timer:{timer_id}")
    if due:
        sql.run(statements.MARK_FIRED, ids=[timer_id for timer_id, _, _ in due])
    return len(due)


def seconds_until_timer() -> float:
    """Seconds until the next timer is due; infinite without any."""
    ((seconds,),) = sql.run(statements.UNTIL_TIMER)
    return math.inf if seconds is None else max(0.0, float(seconds))
