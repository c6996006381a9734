"""Event triggers: each event starts each trigger that it fits once, and no chain is endless.

An event is taken out of the kernel's kept events in the transaction that starts its runs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any
from uuid import UUID

from django.conf import settings as installation
from django.db import transaction

from apps.agents import selectors as agents
from apps.context import selectors as context
from apps.governance.services import decisions
from apps.governance.types import Action, Resource
from apps.orchestration import triggering
from apps.orchestration.announcing import RUN_FINISHED
from apps.orchestration.models import Run, Trigger
from apps.orchestration.rows import run_view
from apps.orchestration.trigger_rows import event_of, public_id, stored, trigger_view
from apps.orchestration.triggering import Call
from apps.orchestration.types.runs import RunStatus
from apps.orchestration.types.triggers import (
    EventSettings,
    FiringOutcome,
    TriggerEvent,
    TriggerKind,
    TriggerView,
)
from apps.orchestration.workflows import catalog
from octavo.kernel import events, ids
from octavo.kernel.clock import rfc3339
from octavo.kernel.errors import InvalidInput
from octavo.kernel.scope import Scope

LONGEST_CHAIN = 8
_KIND = TriggerKind.EVENT
_ENTRY_WRITTEN = "context.entry_written"
_AT_ONCE = 200
_LONGEST_KEY = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class _Occurred:
    """One event, as triggers are compared with it and as their runs are told.

    `run_id` is the run that caused it, `check` raises for somebody who may not know of it.
    """

    key: str
    project_id: UUID
    at: datetime
    run_id: UUID | None
    tainted: bool
    input: Mapping[str, Any]
    fits: Callable[[EventSettings], bool]
    check: Callable[[Scope], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chain:
    """What led to an event: how many runs so far, and the trigger that started the last of them."""

    depth: int = 0
    trigger: str = ""


def create_event_trigger(
    *,
    scope: Scope,
    agent: str = "",
    workflow: str = "",
    settings: EventSettings,
    name: str = "",
) -> TriggerView:
    """Start a run of the agent or of the workflow with each such event as its input, in the
    caller's name.

    Needs `trigger.manage`, the right to start it, and to read what it reacts to.
    """
    triggering.check_manage(scope)
    settings = _checked(scope, settings)
    row = triggering.create(
        scope,
        _KIND,
        **triggering.checked_target(scope, agent=agent, workflow=workflow),
        name=triggering.check_name(name),
        settings=stored(settings),
    )
    return trigger_view(row)


def change_event_trigger(
    *, scope: Scope, trigger_id: UUID, changes: Mapping[str, Any]
) -> TriggerView:
    """Change `agent` or `workflow`, `settings` or `name`. It acts for the caller from then on."""
    triggering.check_manage(scope)
    with transaction.atomic():
        row = triggering.get_row(scope, _KIND, trigger_id, lock=True)
        settings = _checked(scope, changes.get("settings", event_of(row)))
        target = triggering.changed_target(scope, row, changes)
        name = triggering.check_name(changes.get("name", row.name))
        triggering.save(scope, row, **target, name=name, settings=stored(settings))
    return trigger_view(row)


def _checked(scope: Scope, settings: EventSettings) -> EventSettings:
    if settings.on is TriggerEvent.ENTRY_WRITTEN:
        if settings.agent or settings.workflow or settings.statuses:
            detail = "an entry has a space and a key, no agent, workflow or statuses."
            raise _invalid("/match", detail)
        if not 0 < len(settings.key) <= _LONGEST_KEY:
            raise _invalid("/match/key", "use a key, or a pattern such as docs/*.md.")
        if not settings.space:
            raise _invalid("/match/space", "name the space to watch.")
        context.get_space(scope=scope, name=settings.space)
        return settings
    if settings.space or settings.key != "*":
        raise _invalid("/match", "a run has an agent or workflow and statuses, no space or key.")
    _check_run_read(scope)
    if settings.agent and settings.workflow:
        raise _invalid("/match", "a run has either an agent or a workflow, and not both.")
    if settings.agent:
        agents.get_agent(scope=scope, name=settings.agent)
    if settings.workflow:
        catalog.get_workflow(scope=scope, name=settings.workflow)
    final = tuple(status for status in RunStatus if status.is_final)
    statuses = tuple(dict.fromkeys(settings.statuses)) or final
    if not set(statuses) <= set(final):
        raise _invalid("/match/statuses", f"a finished run is {', '.join(final)}.")
    return replace(settings, statuses=statuses)


def _check_run_read(scope: Scope) -> None:
    project = Resource.project_of(scope)
    decisions.ask(scope=scope, action=Action.RUN_READ, resource=project).require()


def _invalid(path: str, detail: str) -> InvalidInput:
    return InvalidInput(
        f"The trigger fits no event: {detail}", errors=[{"path": path, "detail": detail}]
    )


def react(*, limit: int = _AT_ONCE) -> int:
    """Deal with events, each in a transaction of its own; how many there were.

    Any number of processes may do so at once: an event is dealt with by one.
    """
    for count in range(limit):
        if not _react_to_next():
            return count
    return limit


@transaction.atomic
def _react_to_next() -> bool:
    kept = events.take([_ENTRY_WRITTEN, RUN_FINISHED])
    if kept is None:
        return False
    occurred = _entry_written(kept) if kept.name == _ENTRY_WRITTEN else _run_finished(kept)
    fitting = _fitting(occurred) if occurred else []
    if occurred and fitting:
        chain = _chain_of(occurred.run_id)
        for row in fitting:
            _meet(row, occurred, chain)
    return True


def _fitting(occurred: _Occurred) -> Sequence[Trigger]:
    """The triggers that were there when it happened, and wait for such an event."""
    rows = Trigger.objects.filter(
        project_id=occurred.project_id,
        kind=_KIND.value,
        paused_at=None,
        created_at__lte=occurred.at,
    )
    return [row for row in rows.order_by("id") if occurred.fits(event_of(row))]


def _meet(row: Trigger, occurred: _Occurred, chain: _Chain) -> None:
    call = Call(
        key=occurred.key,
        due_at=occurred.at,
        input=dict(occurred.input),
        tainted=occurred.tainted,
        depth=chain.depth,
        check=occurred.check,
    )
    if chain.trigger == public_id(row):
        reason = "A run of this trigger caused the event, and a trigger does not start itself."
        triggering.note(row, call, FiringOutcome.SKIPPED, reason=reason)
    elif chain.depth > LONGEST_CHAIN:
        reason = (
            f"{chain.depth} runs led to this event, each started by the one before; "
            f"{LONGEST_CHAIN} are the most. Look for triggers that start each other."
        )
        triggering.note(row, call, FiringOutcome.REFUSED, reason=reason)
    elif triggering.seconds_until_room(row, FiringOutcome.STARTED):
        reason = (
            f"The trigger has started {installation.TRIGGER_RUNS_PER_MINUTE} runs within a minute "
            "already. Narrow what it fits, or raise OCTAVO_TRIGGER_RUNS_PER_MINUTE."
        )
        triggering.note(row, call, FiringOutcome.REFUSED, reason=reason)
    else:
        triggering.fire(row, call)


def _chain_of(run_id: UUID | None) -> _Chain:
    """Where in a chain the run stands: children stand where their root does."""
    run = Run.objects.filter(id=run_id).only("root_id").first() if run_id else None
    if run is None:
        return _Chain()
    root = Run.objects.only("chain_depth", "triggered_by").get(id=run.root_id)
    return _Chain(depth=root.chain_depth + 1, trigger=root.triggered_by)


def _entry_written(kept: events.Kept) -> _Occurred | None:
    """None when the revision was erased meanwhile."""
    revision_id = UUID(str(kept.arguments["revision_id"]))
    written = context.find_written(revision_id=revision_id)
    if written is None:
        return None
    revision, space, key = written.revision, written.space, written.key

    def fits(settings: EventSettings) -> bool:
        is_there = settings.on is TriggerEvent.ENTRY_WRITTEN and settings.space == space
        return is_there and fnmatchcase(key, settings.key)

    return _Occurred(
        key=f"entry:{revision_id}",
        project_id=written.project_id,
        at=kept.at,
        run_id=revision.run_id,
        tainted=written.trust != "trusted",
        input={
            "event": TriggerEvent.ENTRY_WRITTEN.value,
            "space": space,
            "key": key,
            "revision": revision.number,
            "operation": revision.operation.value,
            "author": revision.author,
            "why": revision.why,
            "trust": written.trust,
            "at": rfc3339(revision.created_at),
        },
        fits=fits,
        check=lambda scope: context.get_space(scope=scope, name=space),
    )


def _run_finished(kept: events.Kept) -> _Occurred | None:
    row = Run.objects.filter(id=str(kept.arguments["run_id"])).first()
    if row is None:
        return None
    run = run_view(row)

    def fits(settings: EventSettings) -> bool:
        is_such = settings.on is TriggerEvent.RUN_FINISHED and run.status in settings.statuses
        is_its = settings.agent in {"", run.agent} and settings.workflow in {"", run.workflow}
        return is_such and is_its

    return _Occurred(
        key=f"run:{run.id}",
        project_id=row.project_id,
        at=kept.at,
        run_id=run.id,
        tainted=bool(kept.arguments["tainted"]),
        input={
            "event": TriggerEvent.RUN_FINISHED.value,
            "run": ids.encode(ids.Kind.RUN, run.id),
            "agent": run.agent,
            "workflow": run.workflow,
            "status": run.status.value,
            "output": run.output,
            "error": run.error,
            "at": rfc3339(run.finished_at),
        },
        fits=fits,
        check=_check_run_read,
    )
