"""A fork is a new run that begins with finished steps of another; what was done is not done again.

The parent is only read. Steps after the fork have idempotency keys of their own, because those are
made of the run and the step.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import orjson
from django.db import transaction

from apps.agents import selectors as agents
from apps.agents.services import loop
from apps.agents.types import AgentView
from apps.governance.services import decisions
from apps.governance.types import Action, Resource, ResourceKind
from apps.model_registry import selectors as model_registry
from apps.orchestration import drafts, editing, fold, journal, statements
from apps.orchestration.fold import Folded
from apps.orchestration.models import STEP_RESULTS, Run
from apps.orchestration.records import Blobs
from apps.orchestration.rows import run_view
from apps.orchestration.selectors import get_run
from apps.orchestration.services import starting, workflow_runs
from apps.orchestration.types.histories import Edit
from apps.orchestration.types.runs import RunView
from apps.orchestration.workflows.interpreting import Interpreter
from apps.orchestration.workflows.types import Definition
from octavo.kernel import ids, sql
from octavo.kernel.errors import Conflict, InvalidInput, NotFound
from octavo.kernel.scope import Scope

_MOST_NAMED = 40
_TAKEN_OVER = ("handed_off_by", "conversation", "tainted")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    """Where to fork: the step and its result, all `steps` that are taken over with it, and the
    edited events by their numbers.
    """

    step: str
    seq: int
    steps: frozenset[str]
    edits: Mapping[int, Mapping[str, Any]]
    blobs: Blobs


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fork:
    """The run that is asked for; `noted` stands in its first event and in the audit."""

    id: UUID
    input: str | dict[str, Any]
    version: int
    route: str
    is_dry_run: bool
    budget_usd: Decimal | None
    noted: Mapping[str, Any]


def fork_run(
    *,
    scope: Scope,
    run_id: UUID,
    at_step: str,
    input: str | dict[str, Any] | None = None,
    version: int | None = None,
    route: str = "",
    edits: Sequence[Edit] = (),
    dry_run: bool = False,
    budget_usd: Decimal | None = None,
) -> RunView:
    """Queue a run that has everything up to the result of `at_step`, and goes on from there.

    Whatever is not given is the parent's. In a dry run, tools are answered from the parent's
    journal or not at all. Raises `NotFound` (run, step, version, route), `InvalidInput` with paths,
    `Conflict` for a run whose loop is not Octavo's, and `Forbidden`.
    """
    parent = _forkable(scope, run_id)
    point = _point(parent, at_step, edits)
    origin = {"run": ids.encode(ids.Kind.RUN, parent.id), "step": at_step}
    noted: dict[str, Any] = {"forked_from": origin, "edited": [edit.step for edit in edits]}
    if route:
        noted["route"] = route
    if dry_run:
        noted["dry_run"] = True
    assert parent.version is not None  # noqa: S101  agents and workflows have one
    fork = _Fork(
        id=ids.new(),
        input=parent.input if input is None else input,
        version=version or parent.version,
        route=route,
        is_dry_run=dry_run,
        budget_usd=budget_usd,
        noted=noted,
    )
    starting.check_request(fork.input, budget_usd, parent.metadata)
    plan = _plan_of_workflow if parent.workflow_name else _plan_of_agent
    write = plan(scope, parent, point, fork)
    with transaction.atomic():
        write()
        _copy(parent, point, fork)
    return run_view(Run.objects.get(id=fork.id))


def _plan_of_agent(scope: Scope, parent: Run, point: _Point, fork: _Fork) -> Callable[[], None]:
    agent = agents.get_agent_unchecked(scope=scope, name=parent.agent_name, version=fork.version)
    resource = Resource(kind=ResourceKind.AGENT, id=agent.id, name=agent.name)
    asking = replace(scope, run_id=fork.id)
    decisions.check(scope=asking, action=Action.RUN_START, resource=resource)
    if fork.route:
        _check_route(asking, fork.route)
    row = _row(scope, parent, agent, fork.input, fork_id=fork.id, route=fork.route)
    return partial(
        starting.write_run,
        scope,
        agent,
        row,
        fork.input,
        fork.budget_usd,
        noted=fork.noted,
        handed=_handed(parent),
    )


def _plan_of_workflow(scope: Scope, parent: Run, point: _Point, fork: _Fork) -> Callable[[], None]:
    if fork.route:
        detail = "the nodes of a workflow name their own routes: save a version with another one."
        raise InvalidInput(
            f"The run cannot be forked: route: {detail}",
            errors=[{"path": "/route", "detail": detail}],
        )
    planned = workflow_runs.plan_fork(
        scope=scope,
        parent=parent,
        run_id=fork.id,
        input=fork.input,
        version=fork.version,
        budget_usd=fork.budget_usd,
        noted={**fork.noted, **_handed(parent)},
    )
    _check_is_reached(parent, point, fork, planned.definition)
    return planned.write


def _check_is_reached(parent: Run, point: _Point, fork: _Fork, definition: Definition) -> None:
    """Raises `InvalidInput` where the graph, with what is taken over, does not come to the step."""
    changed = [
        replace(record, data=point.edits.get(record.seq, record.data))
        for record in journal.read_events(parent.id)
        if record.seq <= point.seq and record.step in point.steps
    ]
    names = {name for one in changed for name in drafts.blob_names(one.type, one.data)}
    contents = {
        **journal.read_blobs(parent.organisation_id, sorted(names - point.blobs.keys())),
        **{name: orjson.loads(body) for name, body in point.blobs.items()},
    }
    state = Folded(program=Interpreter(definition, fork.input))
    for record in changed:
        decided = state.program.decide()
        is_asked = isinstance(decided, tuple) and any(one.step == point.step for one in decided)
        if record.seq == point.seq and not is_asked:
            detail = (
                f"version {fork.version} of {parent.workflow_name!r} does not come to "
                f"{point.step!r} with this input and these edits. Fork at an earlier step."
            )
            raise InvalidInput(
                f"The run cannot be forked: {detail}",
                errors=[{"path": "/at_step", "detail": detail}],
            )
        fold.apply(state, record, drafts.fill(record.type, record.data, contents))


def _handed(parent: Run) -> dict[str, Any]:
    """What the parent had before its first step, and whether that can be trusted, is the fork's."""
    (first,) = journal.read_events(parent.id, limit=1)
    return {name: first.data[name] for name in _TAKEN_OVER if name in first.data}


def _forkable(scope: Scope, run_id: UUID) -> Run:
    view = get_run(scope=scope, run_id=run_id)
    if view.is_external:
        raise Conflict(
            "The loop of this run is outside of Octavo, which cannot go on with it. Fork it there.",
            head=view.status.value,
        )
    if view.agent is None and view.workflow is None:
        raise Conflict(
            f"This run is one call of {view.tool}, so there is nothing to go on with. Make the "
            f"call again with POST /api/v1/tools/{view.tool}/call.",
            head=view.status.value,
        )
    return Run.objects.get(id=run_id)


def _point(parent: Run, at_step: str, edits: Sequence[Edit]) -> _Point:
    rows = sql.run(
        statements.FIND_RESULTS,
        id=parent.id,
        results=list(STEP_RESULTS),
        given_up=bool(parent.workflow_name),
    )
    finished = {step: seq for step, seq, has_result in rows if has_result}
    if at_step not in finished:
        names = ", ".join(list(finished)[:_MOST_NAMED]) or "none yet"
        raise NotFound(f"The run has no finished step {at_step!r}. Its finished steps: {names}.")
    end, blobs = finished[at_step], Blobs()
    changed: dict[int, Mapping[str, Any]] = {}
    for index, edit in enumerate(edits):
        seq, path = finished.get(edit.step, end + 1), f"/edits/{index}"
        if seq > end:
            names = ", ".join(step for step, at in finished.items() if at <= end)
            detail = f"{edit.step!r} is no finished step up to {at_step!r}: {names}."
            raise InvalidInput(detail, errors=[{"path": f"{path}/step", "detail": detail}])
        if seq in changed:
            detail = f"{edit.step!r} is edited twice."
            raise InvalidInput(detail, errors=[{"path": f"{path}/step", "detail": detail}])
        (record,) = journal.read_events(parent.id, after=seq - 1, limit=1)
        changed[seq] = editing.edited(
            record, edit.output, blobs=blobs, is_last=seq == end, path=f"{path}/output"
        )
    steps = frozenset(step for step, seq, _ in rows if seq <= end)
    return _Point(step=at_step, seq=end, steps=steps, edits=changed, blobs=blobs)


def _row(
    scope: Scope,
    parent: Run,
    agent: AgentView,
    given: str | dict[str, Any],
    *,
    fork_id: UUID,
    route: str,
) -> dict[str, Any]:
    """The columns of a new run. Its strategy is the parent's, unless the definition is another."""
    found = model_registry.get_route(
        scope=scope, name=route or parent.given_route or agent.definition.route
    )
    strategy = parent.strategy
    if agent.version != parent.version:
        strategy = loop.resolve_strategy(agent.definition, tier=found.tier).value
    return {
        "id": fork_id,
        "strategy": strategy,
        "input": journal.as_json(given),
        "session": parent.session,
        "metadata": journal.as_json(parent.metadata),
        "traceparent": "",
        "route": found.name,
        "tags": parent.tags,
        "priority": parent.priority,
        "retry_of": None,
        "root_id": fork_id,
        "parent_id": None,
        "parent_key": "",
        "depth": 0,
    }


def _check_route(scope: Scope, name: str) -> None:
    """Nobody gives a fork a route that they may not use themselves. Raises `NotFound`."""
    route = model_registry.get_route(scope=scope, name=name)
    resource = Resource(kind=ResourceKind.ROUTE, id=route.id, name=route.name)
    decisions.check(scope=scope, action=Action.MODEL_CALL, resource=resource)


def _copy(parent: Run, point: _Point, fork: _Fork) -> None:
    sql.run(
        statements.COPY_EVENTS,
        id=fork.id,
        parent=parent.id,
        organisation_id=parent.organisation_id,
        seq=point.seq,
        step=point.step,
        steps=list(point.steps),
        route=fork.route or parent.given_route,
        is_dry_run=fork.is_dry_run,
        edited=list(point.edits),
        edits=[journal.as_json(data) for data in point.edits.values()],
        hashes=[bytes.fromhex(name) for name in point.blobs],
        bodies=list(point.blobs.values()),
    )
