"""Rows as others see them; the one place that knows both the stored and the public status."""

from datetime import datetime

from apps.orchestration.models import Run
from apps.orchestration.types import Priority, RunStatus, RunView, WaitingOn
from octavo.kernel import ids

PAUSE = "pause"
"""What a run that a person holds waits for, which others see as a status of its own."""

PUBLIC_STATUS = {
    "ready": RunStatus.QUEUED,
    "running": RunStatus.RUNNING,
    "waiting": RunStatus.WAITING,
    "done": RunStatus.SUCCEEDED,
    "failed": RunStatus.FAILED,
    "cancelled": RunStatus.CANCELLED,
    "quarantined": RunStatus.QUARANTINED,
}
STORED_STATUS = {public: stored for stored, public in PUBLIC_STATUS.items()}
STORED_PRIORITY = {Priority.LOW: -1, Priority.NORMAL: 0, Priority.HIGH: 1}
_PRIORITY = {stored: public for public, stored in STORED_PRIORITY.items()}


def run_view(row: Run) -> RunView:
    return RunView(
        id=row.id,
        agent=row.agent_name or None,
        version=row.version,
        workflow=row.workflow_name or None,
        tool=row.tool,
        status=_status(row),
        input=row.input,
        output=row.output,
        error=row.error,
        waiting_on=_waiting_on(row),
        steps=row.steps,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cost_usd=row.cost_usd,
        trace_id=ids.trace_id(row.id),
        started_by=row.started_by,
        session=row.session,
        metadata=row.metadata,
        parent=row.parent_id,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        tags=tuple(row.tags),
        priority=_PRIORITY[row.priority],
        retry_of=row.retry_of,
    )


def _status(row: Run) -> RunStatus:
    is_paused = row.status == "waiting" and row.waiting_on and row.waiting_on["kind"] == PAUSE
    return RunStatus.PAUSED if is_paused else PUBLIC_STATUS[row.status]


def _waiting_on(row: Run) -> WaitingOn | None:
    stored = row.waiting_on
    if row.status != "waiting" or not stored or stored["kind"] == PAUSE:
        return None
    until = stored.get("until")
    return WaitingOn(
        kind=stored["kind"],
        id=stored["id"],
        since=datetime.fromisoformat(stored["since"]),
        until=datetime.fromisoformat(until) if until else None,
    )
