"""Doing an ended run again: as a new run that names it, or on from where it was set aside."""

from typing import Any
from uuid import UUID

from django.db import transaction

from apps.orchestration import children, journal, slots, statements
from apps.orchestration.models import Run
from apps.orchestration.selectors import get_run
from apps.orchestration.services import control, starting, workflow_runs
from apps.orchestration.types.runs import RunStatus, RunView
from octavo.kernel import audit, ids, sql
from octavo.kernel.errors import Conflict, Forbidden
from octavo.kernel.scope import PrincipalKind, Scope

UNSUCCESSFUL = frozenset({RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.QUARANTINED})


def retry_run(*, scope: Scope, run_id: UUID) -> RunView:
    """A new run of the same version of the agent or workflow, with the same input, session,
    metadata, tags and priority; its `retry_of` names this one.

    Raises `Conflict` for a run that lives or has succeeded, for one that took over from another,
    and for the call of a single tool.
    """
    run = get_run(scope=scope, run_id=run_id)
    name = ids.encode(ids.Kind.RUN, run_id)
    if run.status not in UNSUCCESSFUL:
        raise Conflict(
            f"{name} is {run.status}: only a failed, cancelled or quarantined run can be retried. "
            "To do the same again, start a new run.",
            head=run.status.value,
        )
    (first,) = journal.read_events(run_id, limit=1)
    if "handed_off_by" in first.data:
        origin = first.data["handed_off_by"]["run"]
        raise Conflict(
            f"{name} took over a conversation, and a new run would begin without it. Retry "
            f"{origin}, which handed it over, or fork {name}.",
            head=origin,
        )
    again: dict[str, Any] = {
        "scope": scope,
        "input": run.input,
        "version": run.version,
        "session": run.session,
        "metadata": run.metadata,
        "tags": run.tags,
        "priority": run.priority,
        "retry_of": run.id,
    }
    if run.workflow is not None:
        return workflow_runs.start_workflow(workflow=run.workflow, **again)
    if run.agent is None:
        raise Conflict(f"{name} is one call of {run.tool}: call the tool again.", head=run.tool)
    return starting.start_run(agent=run.agent, **again)


def resume_quarantined(*, scope: Scope, run_id: UUID) -> RunView:
    """Put a quarantined run back into the queue at the event where it stood, its crashes forgotten.

    Only a person may. Raises `Conflict` unless it is quarantined and no run has waited for it.
    """
    run = get_run(scope=scope, run_id=run_id)
    name = ids.encode(ids.Kind.RUN, run_id)
    if scope.principal.kind is not PrincipalKind.USER or scope.is_autonomous:
        raise Forbidden(
            f"Only a person may resume {name}: somebody must have looked for why its workers were "
            "lost. Sign in, or use a key of your own."
        )
    if run.status is not RunStatus.QUARANTINED:
        raise Conflict(f"{name} is {run.status}, not quarantined.", head=run.status.value)
    if run.parent is not None:
        raise Conflict(
            f"The run that waited for {name} was told that it failed. Retry it as a new run.",
            head=run.status.value,
        )
    control.check_control(scope=scope, run_id=run_id)
    _put_back(scope, run_id)
    return get_run(scope=scope, run_id=run_id)


@transaction.atomic
def _put_back(scope: Scope, run_id: UUID) -> None:
    by = journal.as_json({"by": scope.principal.name})
    if not sql.run(statements.PUT_BACK, id=run_id, data=by):
        return  # somebody else did at the same moment
    for child in Run.objects.filter(parent_id=run_id, finished_at__isnull=False):
        children.tell_again(child)
    slots.hint([run_id])
    audit.record(
        scope=scope,
        action="run.control",
        target=ids.encode(ids.Kind.RUN, run_id),
        payload={"control": "resume_quarantined"},
    )
