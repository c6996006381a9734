"""Starting a run of a workflow: pinned to a version, in the name of whoever starts it, within the
scopes of their key.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.governance.services import decisions
from apps.governance.types import Action, Resource, ResourceKind
from apps.orchestration import journal, slots, statements
from apps.orchestration.models import Run
from apps.orchestration.records import RunFacts
from apps.orchestration.rows import STORED_PRIORITY, run_view
from apps.orchestration.services import starting
from apps.orchestration.types.runs import Priority, RunView
from apps.orchestration.types.triggers import Cause
from apps.orchestration.types.workflows import WorkflowView
from apps.orchestration.workflows import catalog
from apps.orchestration.workflows.types import Definition
from apps.tools.services import schemas
from octavo.kernel import audit, ids, sql
from octavo.kernel.errors import InvalidInput
from octavo.kernel.scope import Scope

Given = Mapping[str, Any]


def start_workflow(
    *,
    scope: Scope,
    workflow: str,
    input: str | dict[str, Any],
    version: int | None = None,
    budget_usd: Decimal | None = None,
    session: str = "",
    metadata: Mapping[str, Any] | None = None,
    traceparent: str = "",
    tags: Sequence[str] = (),
    priority: Priority = Priority.NORMAL,
    retry_of: UUID | None = None,
    cause: Cause | None = None,
) -> RunView:
    """Queue a run of the newest version, or of the one asked for, and pin it to that.

    `retry_of` is the run that it does again, `cause` the trigger that starts it.
    Raises `NotFound` (workflow, version), `InvalidInput` with paths, and `Forbidden`.
    """
    starting.check_request(input, budget_usd, metadata or {}, tags)
    found = catalog.get_workflow_unchecked(scope=scope, name=workflow, version=version)
    run_id = ids.new()
    asking = replace(scope, run_id=run_id)  # the run's own decisions begin with this one
    decisions.check(scope=asking, action=Action.RUN_START, resource=_resource(found))
    _check_input(found, input)
    given = {
        "root_id": run_id,
        "parent_id": None,
        "parent_key": "",
        "depth": 0,
        "session": session,
        "metadata": journal.as_json(dict(metadata or {})),
        "traceparent": traceparent,
        "triggered_by": cause.trigger if cause else "",
        "chain_depth": cause.depth if cause else 0,
        "retry_of": retry_of,
        "tags": list(dict.fromkeys(tags)),
        "priority": STORED_PRIORITY[priority],
    }
    noted = starting.noted_of(cause)
    _write(scope, found, run_id, input=input, given=given, budget_usd=budget_usd, noted=noted)
    return run_view(Run.objects.get(id=run_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedWorkflow:
    """A child or a fork that policy allows; `write` queues it, in the caller's transaction."""

    id: UUID
    name: str
    definition: Definition
    write: Callable[[], None]


def plan_child(
    *,
    scope: Scope,
    parent: RunFacts,
    step: str,
    workflow: str,
    input: str | dict[str, Any],
    tainted: bool,
) -> PlannedWorkflow:
    """A run of the newest version that does one step of `parent`, in the parent's name.

    `tainted`: the parent has read what is not trusted, and so has whoever reads its input.
    Raises `NotFound`, `InvalidInput`, and `Forbidden` where the parent may not hand work on.
    """
    starting.check_request(input, None, {})
    found = catalog.get_workflow_unchecked(scope=scope, name=workflow)
    decisions.check(scope=scope, action=Action.AGENT_DELEGATE, resource=_resource(found), step=step)
    _check_input(found, input)
    run_id = ids.new()
    given: Given = {
        "root_id": parent.root_id,
        "parent_id": parent.id,
        "parent_key": step,
        "depth": parent.depth + 1,
        "session": "",
        "metadata": journal.as_json({}),
        "traceparent": "",
        "triggered_by": "",
        "chain_depth": 0,
        "retry_of": None,
        "tags": [],
        "priority": STORED_PRIORITY[Priority.NORMAL],
    }
    noted = {"tainted": True} if tainted else {}
    return _planned(scope, found, run_id, partial(_write, input=input, given=given, noted=noted))


def plan_fork(
    *,
    scope: Scope,
    parent: Run,
    run_id: UUID,
    input: str | dict[str, Any],
    version: int,
    budget_usd: Decimal | None,
    noted: Mapping[str, Any],
) -> PlannedWorkflow:
    """A run `run_id` of this version that is to go on from a step of `parent`, in the caller's
    name.

    Raises `NotFound` (version), `InvalidInput` with paths, and `Forbidden`.
    """
    found = catalog.get_workflow_unchecked(scope=scope, name=parent.workflow_name, version=version)
    asking = replace(scope, run_id=run_id)
    decisions.check(scope=asking, action=Action.RUN_START, resource=_resource(found))
    _check_input(found, input)
    given: Given = {
        "root_id": run_id,
        "parent_id": None,
        "parent_key": "",
        "depth": 0,
        "session": parent.session,
        "metadata": journal.as_json(parent.metadata),
        "traceparent": "",
        "triggered_by": "",
        "chain_depth": 0,
        "retry_of": None,
        "tags": parent.tags,
        "priority": parent.priority,
    }
    write = partial(_write, input=input, given=given, budget_usd=budget_usd, noted=noted)
    return _planned(scope, found, run_id, write)


def _planned(
    scope: Scope, workflow: WorkflowView, run_id: UUID, write: Callable[..., None]
) -> PlannedWorkflow:
    version_id = catalog.get_version_id(workflow_id=workflow.id, version=workflow.version)
    return PlannedWorkflow(
        id=run_id,
        name=workflow.name,
        definition=catalog.get_definition(version_id=version_id),
        write=partial(write, scope, workflow, run_id),
    )


def _resource(workflow: WorkflowView) -> Resource:
    return Resource(kind=ResourceKind.WORKFLOW, id=workflow.id, name=workflow.name)


def _check_input(workflow: WorkflowView, input: str | dict[str, Any]) -> None:
    schema = workflow.definition.get("input_schema")
    wrong = schemas.list_problems(schema=schema, instance=input) if schema else ()
    if wrong:
        errors = [{"path": f"/input{path}", "detail": detail} for path, detail in wrong]
        raise InvalidInput(
            f"The input does not fit the input_schema of workflow {workflow.name!r}: "
            f"{errors[0]['path']}: {errors[0]['detail']}",
            errors=errors,
        )


@transaction.atomic
def _write(
    scope: Scope,
    workflow: WorkflowView,
    run_id: UUID,
    *,
    input: str | dict[str, Any],
    given: Given,
    noted: Mapping[str, Any],
    budget_usd: Decimal | None = None,
) -> None:
    seconds = workflow.definition.get("limits", {}).get("deadline_seconds")
    inserted = sql.run(
        statements.INSERT_WORKFLOW_RUN,
        **given,
        id=run_id,
        organisation_id=scope.organisation_id,
        team_id=scope.team_id,
        project_id=scope.project_id,
        workflow_id=workflow.id,
        workflow_name=workflow.name,
        workflow_version_id=catalog.get_version_id(
            workflow_id=workflow.id, version=workflow.version
        ),
        version=workflow.version,
        deadline=None if seconds is None else timedelta(seconds=seconds),
        input=journal.as_json(input),
        started_by=scope.principal.name,
        starter_id=scope.principal.id,
        starter_kind=scope.principal.kind.value,
        key_id=scope.key_id,
        key_scopes=journal.as_json(list(scope.key_scopes)),
        is_autonomous=scope.is_autonomous,
    )
    named = {"workflow": workflow.name, "version": workflow.version, **noted}
    first = {"agent": None, "strategy": "workflow", "input": input, **named}
    sql.run(statements.INSERT_FIRST_EVENT, id=run_id, data=journal.as_json(first))
    (deadline_at,) = inserted[0]
    if deadline_at is not None:
        sql.run(statements.SET_TIMER, id=run_id, key="deadline", fire_at=deadline_at)
    slots.hint([run_id])
    if budget_usd is not None:
        starting.limit_run(scope, run_id, budget_usd)
    audit.record(
        scope=scope,
        action=Action.RUN_START,
        target=ids.encode(ids.Kind.RUN, run_id),
        payload=named,
    )
