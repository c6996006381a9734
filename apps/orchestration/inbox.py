"""One inbox for everything that wakes a run: mail is delivered once, and never lost."""

import math
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from apps.orchestration import readings, slots, statements
from apps.orchestration.journal import as_json
from octavo.kernel import sql

_SOONEST = 0.02


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
                slots.hint([run_id])
    except IntegrityError:  # two deliveries of the same mail met: the other one won
        return False
    return bool(rows)


@transaction.atomic
def fire_timers(*, limit: int = 500) -> int:
    """Turn due timers into mail. Several processes may do so at once: none fires twice.

    How many were due; those of a run that is being written just then are left for the next call.
    """
    fired = sql.run(statements.FIRE_TIMERS, kind="timer", limit=limit)
    slots.hint([run_id for run_id, is_woken in fired if is_woken])
    return len(fired)


def seconds_until_timer() -> float:
    """Seconds until the next timer is due; infinite without any. One that is due already belongs
    to a run that is being written just now.
    """
    ((seconds,),) = sql.run(readings.UNTIL_TIMER)
    return math.inf if seconds is None else max(_SOONEST, float(seconds))
