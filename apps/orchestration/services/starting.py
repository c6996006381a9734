"""Starting a run: its row, its first event and its job exist together, or none does."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import orjson
from django.db import transaction

from apps.agents import selectors as agents
from apps.agents.services import loop
from apps.agents.types import AgentView
from apps.governance.services import budgets, decisions
from apps.governance.types import Action, BudgetScope, Period, Resource, ResourceKind
from apps.model_registry import selectors as model_registry
from apps.orchestration import journal, slots, statements
from apps.orchestration.models import Run
from apps.orchestration.records import RunFacts
from apps.orchestration.rows import STORED_PRIORITY, run_view
from apps.orchestration.types.runs import Priority, RunView
from apps.orchestration.types.triggers import Cause
from octavo.kernel import audit, ids, sql
from octavo.kernel.errors import InvalidInput
from octavo.kernel.scope import SYSTEM, Scope

_MOST_INPUT_BYTES = 1_000_000
_MOST_METADATA_BYTES = 16_000
_MOST_TAGS = 10
_TAG = re.compile(r"[a-z0-9][a-z0-9._:/-]{0,39}")


def start_run(
    *,
    scope: Scope,
    agent: str,
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
    """Queue a run of the agent's newest version, or of the one asked for, and pin it to that.

    `retry_of` is the run that it does again, `cause` the trigger that starts it where nobody asked.
    Raises `NotFound` (agent, version), `InvalidInput` with paths, and `Forbidden`.
    """
    check_request(input, budget_usd, metadata or {}, tags)
    found = agents.get_agent_unchecked(scope=scope, name=agent, version=version)
    resource = Resource(kind=ResourceKind.AGENT, id=found.id, name=found.name)
    run_id = ids.new()
    asking = replace(scope, run_id=run_id)  # the run's own decisions begin with this one
    decisions.check(scope=asking, action=Action.RUN_START, resource=resource)
    row = _row(
        scope,
        found,
        input,
        run_id=run_id,
        session=session,
        metadata=metadata,
        traceparent=traceparent,
        sorting=_Sorting(tags=tuple(dict.fromkeys(tags)), priority=priority, retry_of=retry_of),
    )
    write_run(scope, found, row, input, budget_usd, cause=cause)
    return run_view(Run.objects.get(id=run_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sorting:
    """By what a run is found, and when it is taken."""

    tags: tuple[str, ...] = ()
    priority: Priority = Priority.NORMAL
    retry_of: UUID | None = None


_UNSORTED = _Sorting()


def check_request(
    input: str | dict[str, Any],
    budget_usd: Decimal | None = None,
    metadata: Mapping[str, Any] | None = None,
    tags: Sequence[str] = (),
) -> None:
    """Raises `InvalidInput` with paths for what no run can begin with."""
    metadata = metadata or {}
    errors = _wrong_tags(tags)
    blank = not input.strip() if isinstance(input, str) else not input
    if blank:
        errors.append({"path": "/input", "detail": "say what the agent shall do."})
    elif len(orjson.dumps(input)) > _MOST_INPUT_BYTES:
        detail = f"use at most {_MOST_INPUT_BYTES} bytes; put long texts into a space."
        errors.append({"path": "/input", "detail": detail})
    if budget_usd is not None and budget_usd <= 0:
        errors.append({"path": "/budget_usd", "detail": "use more than 0, or leave it out."})
    if len(orjson.dumps(metadata)) > _MOST_METADATA_BYTES:
        detail = f"use at most {_MOST_METADATA_BYTES} bytes."
        errors.append({"path": "/metadata", "detail": detail})
    if errors:
        first = errors[0]
        raise InvalidInput(
            f"The run cannot start: {first['path'][1:]}: {first['detail']}", errors=errors
        )


def _wrong_tags(tags: Sequence[str]) -> list[dict[str, str]]:
    if len(tags) > _MOST_TAGS:
        return [{"path": "/tags", "detail": f"use at most {_MOST_TAGS} tags."}]
    detail = "use 1 to 40 characters of a-z, 0-9 and . _ : / -, beginning with a letter or digit."
    return [
        {"path": f"/tags/{index}", "detail": detail}
        for index, tag in enumerate(tags)
        if not _TAG.fullmatch(tag)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedChild:
    """A child run that policy allows; `write` queues it, in the caller's transaction."""

    id: UUID
    agent: AgentView
    write: Callable[[], None]


def plan_child(
    *,
    scope: Scope,
    parent: RunFacts,
    step: str,
    agent: str,
    input: str | dict[str, Any],
    tainted: bool,
    handed: Mapping[str, Any] | None = None,
) -> PlannedChild:
    """A run of the agent's newest version that does one step of `parent`, in its agent's name.

    `tainted`: the parent has read what is not trusted, and so has whoever reads its input. `handed`
    is what the child's first event says of a conversation that it takes over.

    Raises `NotFound`, `InvalidInput`, and `Forbidden` where the parent's agent may not delegate.
    """
    check_request(input)
    found = agents.get_agent_unchecked(scope=scope, name=agent)
    resource = Resource(kind=ResourceKind.AGENT, id=found.id, name=found.name)
    decisions.check(scope=scope, action=Action.AGENT_DELEGATE, resource=resource, step=step)
    family = {
        "root_id": parent.root_id,
        "parent_id": parent.id,
        "parent_key": step,
        "depth": parent.depth + 1,
    }
    row = _row(scope, found, input, family=family)
    noted = {"tainted": True} if tainted else None
    write = partial(write_run, scope, found, row, input, None, noted=noted, handed=handed)
    return PlannedChild(id=row["id"], agent=found, write=write)


def _row(
    scope: Scope,
    agent: AgentView,
    input: str | dict[str, Any],
    *,
    family: Mapping[str, Any] | None = None,
    run_id: UUID | None = None,
    session: str = "",
    metadata: Mapping[str, Any] | None = None,
    traceparent: str = "",
    sorting: _Sorting = _UNSORTED,
) -> dict[str, Any]:
    route = model_registry.get_route(scope=scope, name=agent.definition.route)
    run_id = run_id or ids.new()
    alone = {"root_id": run_id, "parent_id": None, "parent_key": "", "depth": 0}
    return {
        "id": run_id,
        "strategy": loop.resolve_strategy(agent.definition, tier=route.tier).value,
        "input": journal.as_json(input),
        "session": session,
        "metadata": journal.as_json(dict(metadata or {})),
        "traceparent": traceparent,
        "route": agent.definition.route,
        "tags": list(sorting.tags),
        "priority": STORED_PRIORITY[sorting.priority],
        "retry_of": sorting.retry_of,
        **(family or alone),
    }


@transaction.atomic
def write_run(
    scope: Scope,
    agent: AgentView,
    row: Mapping[str, Any],
    input: str | dict[str, Any],
    budget_usd: Decimal | None,
    *,
    cause: Cause | None = None,
    noted: Mapping[str, Any] | None = None,
    handed: Mapping[str, Any] | None = None,
    is_queued: bool = True,
) -> None:
    """The run, its first event, its job and its audit entry; event and audit hold what is `noted`,
    the event alone what was `handed` over.

    The caller has asked the policies. Without `is_queued` no worker is told of it.
    """
    noted = {**noted_of(cause), **(noted or {})}
    run_id: UUID = row["id"]
    deadline = agent.definition.limits.deadline_seconds
    inserted = sql.run(
        statements.INSERT_RUN,
        **row,
        organisation_id=scope.organisation_id,
        team_id=scope.team_id,
        project_id=scope.project_id,
        agent_id=agent.id,
        agent_name=agent.name,
        agent_version_id=agents.get_version_id(agent_id=agent.id, version=agent.version),
        version=agent.version,
        deadline=None if deadline is None else timedelta(seconds=deadline),
        started_by=scope.principal.name,
        starter_id=scope.principal.id,
        starter_kind=scope.principal.kind.value,
        key_id=scope.key_id,
        triggered_by=cause.trigger if cause else "",
        chain_depth=cause.depth if cause else 0,
    )
    named = {"agent": agent.name, "version": agent.version, **noted}
    first = {**named, "strategy": row["strategy"], "input": input, **(handed or {})}
    sql.run(statements.INSERT_FIRST_EVENT, id=run_id, data=journal.as_json(first))
    (deadline_at,) = inserted[0]
    if is_queued:
        _queue(run_id, deadline_at)
    if budget_usd is not None:
        limit_run(scope, run_id, budget_usd)
    audit.record(
        scope=scope,
        action=Action.RUN_START,
        target=ids.encode(ids.Kind.RUN, run_id),
        payload=named,
    )


def _queue(run_id: UUID, deadline_at: datetime | None) -> None:
    if deadline_at is not None:
        sql.run(statements.SET_TIMER, id=run_id, key="deadline", fire_at=deadline_at)
    slots.hint([run_id])


def noted_of(cause: Cause | None) -> dict[str, Any]:
    """What the first event says of it."""
    if cause is None:
        return {}
    named = {"triggered_by": {"trigger": cause.trigger, "firing": cause.firing}}
    return {**named, "tainted": True} if cause.tainted else named


def limit_run(scope: Scope, run_id: UUID, budget_usd: Decimal) -> None:
    """Whoever may start a run may bound it, also without the right to manage budgets."""
    budgets.set_limit(
        scope=scope.acting_as(SYSTEM),
        on=BudgetScope.RUN,
        target_id=run_id,
        period=Period.TOTAL,
        limit_usd=budget_usd,
    )
