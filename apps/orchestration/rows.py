"""Rows as others see them; the one place that knows both the stored and the public status."""

from datetime import datetime

from apps.orchestration.models import Run
from apps.orchestration.records import RunFacts
from apps.orchestration.types.runs import ForkPoint, Priority, RunStatus, RunView, WaitingOn
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


def run_facts(row: Run) -> RunFacts:
    """What of a run its journal is folded over."""
    return RunFacts(
        id=row.id,
        organisation_id=row.organisation_id,
        team_id=row.team_id,
        project_id=row.project_id,
        agent_id=row.agent_id,
        agent_name=row.agent_name,
        agent_version_id=row.agent_version_id,
        tool=row.tool,
        workflow_name=row.workflow_name,
        workflow_version_id=row.workflow_version_id,
        key_id=row.key_id,
        strategy=row.strategy,
        input=row.input,
        root_id=row.root_id,
        given_route=row.given_route,
        is_dry_run=row.is_dry_run,
    )


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
        triggered_by=row.triggered_by,
        session=row.session,
        metadata=row.metadata,
        parent=row.parent_id,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        tags=tuple(row.tags),
        priority=_PRIORITY[row.priority],
        retry_of=row.retry_of,
        forked_from=_fork_point(row),
        given_route=row.given_route,
        is_dry_run=row.is_dry_run,
        is_external=row.heard_at is not None,
        cancel_requested=row.cancel_requested,
    )


def _fork_point(row: Run) -> ForkPoint | None:
    if row.forked_from is None:
        return None
    return ForkPoint(run=row.forked_from, step=row.forked_at_step)


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
