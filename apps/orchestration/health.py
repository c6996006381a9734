"""The queue of runs in numbers: what is ready, held, waiting, late, and who works."""

from datetime import datetime
from typing import Any
from uuid import UUID

from apps.orchestration import workers
from apps.orchestration.rows import PUBLIC_STATUS
from apps.orchestration.types.serving import QueueCount, RunsHealth
from octavo.kernel import jobs, sql

_LIVE = """
WITH live AS (
  SELECT status, slot_wait, lease_until, CASE status
    WHEN 'ready' THEN least(rank + priority * interval '10 minutes', now())
    WHEN 'waiting' THEN (waiting_on->>'since')::timestamptz
    ELSE coalesce(started_at, created_at) END AS since
  FROM run WHERE project_id = %s AND finished_at IS NULL
)
SELECT status, count(*), count(*) FILTER (WHERE since < now() - interval '1 min'),
  count(*) FILTER (WHERE since < now() - interval '10 min'),
  count(*) FILTER (WHERE since < now() - interval '1 h'), min(since),
  count(*) FILTER (WHERE slot_wait IS NOT NULL),
  count(*) FILTER (WHERE status = 'running' AND lease_until < now())
FROM live GROUP BY status
"""

_RECENT = """
SELECT status, count(*) FROM run
WHERE project_id = %s AND created_at > now() - interval '1 h'
  AND id > (lpad(to_hex((extract(epoch FROM now() - interval '65 min') * 1000)::bigint), 12, '0')
    || repeat('0', 20))::uuid
GROUP BY status
"""

_QUARANTINED = """
SELECT count(*) FROM run
WHERE project_id = %s AND status = 'quarantined' AND finished_at IS NOT NULL
"""

_TIMERS_DUE = "SELECT count(*) FROM timer WHERE fired_at IS NULL AND fire_at <= now()"
_STATES = {"ready": "queued", "running": "running", "waiting": "waiting"}
_NONE = QueueCount(count=0, over_minute=0, over_ten_minutes=0, over_hour=0, oldest=None)


def read(project_id: UUID) -> RunsHealth:
    states = dict.fromkeys(_STATES.values(), _NONE)
    for_slot = expired = 0
    for status, *counts, slots, lost in sql.fetch(_LIVE, [project_id]):
        states[_STATES[status]] = _count(*counts)
        for_slot, expired = for_slot + slots, expired + lost
    ((quarantined,),) = sql.fetch(_QUARANTINED, [project_id])
    ((timers_due,),) = sql.fetch(_TIMERS_DUE, [])
    recent = sql.fetch(_RECENT, [project_id])
    return RunsHealth(
        states=states,
        waiting_for_slot=for_slot,
        expired_leases=expired,
        quarantined=quarantined,
        last_hour={PUBLIC_STATUS[status]: count for status, count in recent},
        timers_due=timers_due,
        outbox=jobs.count_waiting(),
        outbox_oldest_seconds=jobs.oldest_waiting_seconds(),
        workers=tuple(workers.list_seen()),
    )


def _count(count: int, minute: int, ten: int, hour: int, oldest: datetime | None) -> QueueCount:
    return QueueCount(
        count=count, over_minute=minute, over_ten_minutes=ten, over_hour=hour, oldest=oldest
    )


def gauge(statement: str) -> float:
    """One number of the whole installation, for Prometheus."""
    ((value,),) = sql.fetch(statement, [])
    return float(value or 0)


GAUGES: dict[str, tuple[str, str]] = {
    "runs_waiting_for_slot": (
        "Ready runs that a concurrency limit holds back.",
        "SELECT count(*) FROM run WHERE status = 'ready' AND slot_wait IS NOT NULL",
    ),
    "runs_running": (
        "Runs that a worker has.",
        "SELECT count(*) FROM run WHERE status = 'running'",
    ),
    "runs_expired": (
        "Runs whose worker has not renewed its lease.",
        "SELECT count(*) FROM run WHERE status = 'running' AND lease_until < now()",
    ),
    "runs_oldest_ready_seconds": (
        "How long the run that is ready for longest has been so.",
        "SELECT extract(epoch FROM now() - min(least(rank + priority * interval '10 minutes', "
        "now()))) FROM run WHERE status = 'ready' AND slot_wait IS NULL",
    ),
    "workers_seen": (
        "Workers of the queue runs that showed themselves within thirty seconds.",
        "SELECT count(*) FROM run_worker WHERE seen_at > now() - interval '30 s'",
    ),
    "timers_due": ("Timers that are due and have not fired.", _TIMERS_DUE),
}


def readers() -> list[tuple[str, str, Any]]:
    """Name, description and reader of each gauge."""
    return [
        (name, about, lambda statement=statement: gauge(statement))
        for name, (about, statement) in GAUGES.items()
    ]
