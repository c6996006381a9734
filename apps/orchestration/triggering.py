"""What all triggers share: who owns one, and that a firing exists together with its run.

A trigger acts in its owner's name, within the key they used; both are asked about at each firing.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models.functions import Now

from apps.accounts import selectors as accounts
from apps.agents import selectors as agents
from apps.governance.services import decisions
from apps.governance.types import Action, Resource, ResourceKind
from apps.orchestration.models import LIVE, Firing, Run, Trigger
from apps.orchestration.services import starting, workflow_runs
from apps.orchestration.trigger_rows import public_id
from apps.orchestration.types.triggers import Cause, FiringOutcome, TriggerKind
from apps.orchestration.workflows import catalog
from octavo.kernel import audit, ids
from octavo.kernel.errors import InvalidInput, NotFound, OctavoError
from octavo.kernel.scope import Principal, PrincipalKind, Scope

log = logging.getLogger(__name__)

RATE_WINDOW = timedelta(minutes=1)
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What makes a trigger fire. The same `key` fires it once; None may come again.

    `by` starts the run instead of the owner; `check` raises where they may not know of the cause.
    """

    key: str | None
    due_at: datetime
    input: Any
    tainted: bool = False
    depth: int = 0
    by: Scope | None = None
    check: Callable[[Scope], object] | None = None


def check_manage(scope: Scope) -> None:
    resource = Resource.project_of(scope)
    decisions.check(scope=scope, action=Action.TRIGGER_MANAGE, resource=resource)


def get_row(scope: Scope, kind: TriggerKind, trigger_id: UUID, *, lock: bool = False) -> Trigger:
    """The trigger of the caller's project. Raises `NotFound`."""
    rows = Trigger.objects.filter(id=trigger_id, project_id=scope.project_id, kind=kind)
    row = (rows.select_for_update() if lock else rows).first()
    if row is None:
        name = ids.encode(kind.id_kind, trigger_id)
        raise NotFound(f"There is no {kind} trigger {name} in this project. List those there are.")
    return row


def checked_target(scope: Scope, *, agent: str, workflow: str) -> dict[str, str]:
    """The columns of what a trigger starts.

    Raises `InvalidInput` unless it is either an agent or a workflow, `NotFound` for one that there
    is not, `Forbidden` where the caller may not start it: nobody makes a trigger for what they may
    not do themselves.
    """
    if bool(agent) == bool(workflow):
        detail = "name either an agent or a workflow, and not both."
        raise InvalidInput(
            f"The trigger starts nothing certain: {detail}",
            errors=[{"path": "/agent", "detail": detail}],
        )
    decisions.ask(
        scope=scope, action=Action.RUN_START, resource=_resource(scope, agent, workflow)
    ).require()
    return {"agent": agent, "workflow": workflow}


def changed_target(scope: Scope, row: Trigger, changes: Mapping[str, Any]) -> dict[str, str]:
    """The same after a change; `agent` and `workflow` replace each other."""
    named = {name: changes[name] for name in ("agent", "workflow") if name in changes}
    kept = named or {"agent": row.agent, "workflow": row.workflow}
    return checked_target(scope, agent=kept.get("agent") or "", workflow=kept.get("workflow") or "")


def _resource(scope: Scope, agent: str, workflow: str) -> Resource:
    if workflow:
        flow = catalog.get_workflow_unchecked(scope=scope, name=workflow)
        return Resource(kind=ResourceKind.WORKFLOW, id=flow.id, name=flow.name)
    found = agents.get_agent_unchecked(scope=scope, name=agent)
    return Resource(kind=ResourceKind.AGENT, id=found.id, name=found.name)


def check_name(name: str) -> str:
    name = name.strip()
    if len(name) > _LONGEST_NAME:
        detail = f"use at most {_LONGEST_NAME} characters."
        raise InvalidInput(
            f"The name is too long: {detail}", errors=[{"path": "/name", "detail": detail}]
        )
    return name


def owned_by(scope: Scope) -> dict[str, Any]:
    """The columns that make the caller the owner of a trigger they save."""
    return {
        "owner_kind": scope.principal.kind.value,
        "owner_id": scope.principal.id,
        "owner_name": scope.principal.name,
        "key_id": scope.key_id,
        "key_scopes": list(scope.key_scopes),
    }


def create(scope: Scope, kind: TriggerKind, **fields: Any) -> Trigger:
    """Write a checked trigger and its audit entry."""
    with transaction.atomic():
        row = Trigger.objects.create(
            organisation_id=scope.organisation_id,
            team_id=scope.team_id,
            project_id=scope.project_id,
            kind=kind.value,
            **fields,
            **owned_by(scope),
        )
        row.refresh_from_db()
        record(scope, row, "create", **started_by(row))
    return row


def save(scope: Scope, row: Trigger, **fields: Any) -> None:
    """Change a locked trigger: whoever changes what runs becomes its owner."""
    for name, value in {**fields, **owned_by(scope), "updated_at": Now()}.items():
        setattr(row, name, value)
    row.save()
    row.refresh_from_db()
    record(scope, row, "change", **started_by(row))


def started_by(row: Trigger) -> dict[str, str]:
    """The name of what it starts, for the audit."""
    return {"workflow": row.workflow} if row.workflow else {"agent": row.agent}


def record(scope: Scope, row: Trigger, verb: str, **payload: Any) -> None:
    audit.record(
        scope=scope,
        action=f"trigger.{verb}",
        target=public_id(row),
        payload={"kind": row.kind, **payload},
    )


def owner_scope(row: Trigger) -> Scope:
    """Whom the trigger acts as. Raises `Forbidden` once the key it was saved with has ended."""
    scope = Scope(
        organisation_id=row.organisation_id,
        team_id=row.team_id,
        project_id=row.project_id,
        principal=Principal(
            kind=PrincipalKind(row.owner_kind), id=row.owner_id, name=row.owner_name
        ),
        key_id=row.key_id,
        key_scopes=tuple(row.key_scopes),
    )
    accounts.require_key_in_force(scope=scope)
    return scope


def fire(row: Trigger, call: Call) -> Firing:
    """Start the run and record it, in the caller's transaction; a refusal is recorded instead.

    Raises `IntegrityError` when the trigger has fired for this key before.
    """
    firing_id = ids.new()
    run_id, reason = _start(row, call, firing_id)
    outcome = FiringOutcome.STARTED if run_id else FiringOutcome.FAILED
    may_retry = run_id is None and row.kind == TriggerKind.HOOK
    return note(
        row,
        replace(call, key=None) if may_retry else call,
        outcome,
        reason=reason,
        run_id=run_id,
        firing_id=firing_id,
    )


def _start(row: Trigger, call: Call, firing_id: UUID) -> tuple[UUID | None, str]:
    """The run, or why there is none: whatever is wrong with one trigger, the others go on."""
    cause = Cause(
        trigger=public_id(row),
        firing=ids.encode(ids.Kind.FIRING, firing_id),
        depth=call.depth,
        tainted=call.tainted,
    )
    try:
        with transaction.atomic():
            return _start_target(row, call, cause)
    except DatabaseError:
        raise
    except Exception as error:
        log.exception("Trigger %s could not start its run", cause.trigger)
        return None, f"{type(error).__name__}: {error}. The log has the details."


def _start_target(row: Trigger, call: Call, cause: Cause) -> tuple[UUID | None, str]:
    """A refusal returns, so that the decision which it rests on is kept."""
    try:
        scope = call.by or owner_scope(row)
        if call.check is not None:
            call.check(scope)
        if row.workflow:
            run = workflow_runs.start_workflow(
                scope=scope, workflow=row.workflow, input=call.input, cause=cause
            )
        else:
            run = starting.start_run(scope=scope, agent=row.agent, input=call.input, cause=cause)
    except OctavoError as refusal:
        return None, refusal.detail
    return run.id, ""


def note(
    row: Trigger,
    call: Call,
    outcome: FiringOutcome,
    *,
    reason: str = "",
    run_id: UUID | None = None,
    firing_id: UUID | None = None,
) -> Firing:
    """Record what came of a call, or why nothing did."""
    firing = Firing.objects.create(
        id=firing_id or ids.new(),
        trigger=row,
        dedupe_key=call.key,
        due_at=call.due_at,
        outcome=outcome.value,
        reason=reason,
        run_id=run_id,
    )
    firing.refresh_from_db(fields=["at"])
    return firing


def find_live_run(row: Trigger) -> UUID | None:
    """A run of the trigger that has not ended."""
    live = Run.objects.filter(triggered_by=public_id(row), status__in=LIVE)
    return live.values_list("id", flat=True).first()


def seconds_until_room(row: Trigger, outcome: FiringOutcome) -> int:
    """0 while the trigger may have another firing of this outcome, else after how many seconds."""
    most = settings.TRIGGER_RUNS_PER_MINUTE
    recent = Firing.objects.filter(trigger=row, outcome=outcome.value, at__gt=Now() - RATE_WINDOW)
    times = list(recent.annotate(now=Now()).order_by("-at").values_list("at", "now")[:most])
    if len(times) < most:
        return 0
    at, now = times[-1]
    return max(1, round((at + RATE_WINDOW - now).total_seconds()))
