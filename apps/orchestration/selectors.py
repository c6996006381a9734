"""Runs, their journals and traces, and what starts them, within the project of whoever asks."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db.models import Count, Sum

from apps.governance import selectors as governance
from apps.governance.services import decisions
from apps.governance.types import Action, Resource, ResourceKind
from apps.observability.types import Span
from apps.orchestration import (
    bulk_jobs,
    comparing,
    drafts,
    explaining,
    finding,
    health,
    journal,
    reasons,
    tracing,
    workers,
)
from apps.orchestration.fold import is_result
from apps.orchestration.models import FINAL, BulkJob, ConcurrencyLimit, Firing, Run, Trigger
from apps.orchestration.records import Record
from apps.orchestration.rows import PUBLIC_STATUS, run_view
from apps.orchestration.trigger_rows import firing_view, trigger_view, trigger_views
from apps.orchestration.types.histories import Explained, RunDiff
from apps.orchestration.types.runs import EventView, RunTotals, RunView
from apps.orchestration.types.serving import (
    BulkView,
    ConcurrencyLimitView,
    Explanation,
    LimitKind,
    RunFilter,
    RunsHealth,
)
from apps.orchestration.types.triggers import FiringOutcome, FiringView, TriggerKind, TriggerView
from apps.orchestration.types.workflows import WorkflowPicture
from apps.orchestration.workflows import catalog
from apps.orchestration.workflows.catalog import get_workflow as get_workflow
from apps.orchestration.workflows.catalog import list_workflow_versions as list_workflow_versions
from apps.orchestration.workflows.catalog import list_workflows as list_workflows
from apps.orchestration.workflows.catalog import picture_workflow as picture_workflow
from apps.orchestration.workflows.interpreting import Interpreter
from apps.orchestration.workflows.picturing import picture
from octavo.kernel import ids
from octavo.kernel.errors import NotFound
from octavo.kernel.scope import Scope

EVERYTHING = RunFilter()


def get_run(*, scope: Scope, run_id: UUID) -> RunView:
    """Raises `NotFound`, also for a run that the caller may not read."""
    return run_view(_readable(scope, run_id))


def list_runs(
    *,
    scope: Scope,
    wanted: RunFilter = EVERYTHING,
    limit: int = 50,
    before: UUID | None = None,
    after: UUID | None = None,
) -> list[RunView]:
    """Those that fit, newest first; `before` is the id of the last run of the page before, `after`
    that of a run which all are newer than.
    """
    if not _may_read(scope):
        return []
    window = finding.Window(limit=limit, before=before, after=after)
    return [run_view(row) for row in finding.find(scope.project_id, wanted, window)]


def get_bulk(*, scope: Scope, job_id: UUID) -> BulkView:
    """Raises `NotFound`, also for a job on runs that the caller may not read."""
    row = BulkJob.objects.filter(id=job_id, project_id=scope.project_id).first()
    if row is None or not _may_read(scope):
        name = ids.encode(ids.Kind.JOB, job_id)
        raise NotFound(f"There is no bulk job {name} here. GET /api/v1/runs/bulk lists all.")
    return bulk_jobs.bulk_view(row)


def list_bulk(*, scope: Scope, limit: int = 50, before: UUID | None = None) -> list[BulkView]:
    """Newest first."""
    if not _may_read(scope):
        return []
    rows = BulkJob.objects.filter(project_id=scope.project_id).order_by("-id")
    if before is not None:
        rows = rows.filter(id__lt=before)
    return [bulk_jobs.bulk_view(row) for row in rows[:limit]]


def explain_run(*, scope: Scope, run_id: UUID) -> Explanation:
    """Why the run stands where it does, through the runs that it waits for, and what to do."""
    return explaining.explain(scope, _readable(scope, run_id))


def get_health(*, scope: Scope) -> RunsHealth:
    """The queue as it stands. Needs `run.read` on the project."""
    project = Resource.project_of(scope)
    decisions.check(scope=scope, action=Action.RUN_READ, resource=project)
    return health.read(scope.project_id)


def list_limits(*, scope: Scope) -> list[ConcurrencyLimitView]:
    """The concurrency limits of the project, and how full they are."""
    if not _may_read(scope):
        return []
    found = []
    for row in ConcurrencyLimit.objects.filter(project_id=scope.project_id).order_by("id"):
        runs = Run.objects.filter(project_id=scope.project_id, tool="", heard_at=None)
        named = {"agent": {"agent_name": row.target}, "route": {"route": row.target}}
        runs = runs.filter(status="running", **named.get(row.kind, {}))
        found.append(
            ConcurrencyLimitView(
                kind=LimitKind(row.kind),
                target=row.target,
                most=row.most,
                running=runs.count(),
                waiting=Run.objects.filter(status="ready", slot_wait=row.id).count(),
            )
        )
    return found


def list_runs_of(*, scope: Scope, run_ids: Sequence[UUID]) -> list[RunView]:
    """Those of these runs that the caller may read, newest first."""
    if not run_ids or not _may_read(scope):
        return []
    rows = Run.objects.filter(project_id=scope.project_id, id__in=run_ids)
    return [run_view(row) for row in rows.order_by("-id")]


def list_waiting(*, scope: Scope, kind: str, limit: int = 50) -> list[RunView]:
    """Runs that wait for something of this kind (`approval`, `effect`, …), the oldest first."""
    if not _may_read(scope):
        return []
    rows = Run.objects.filter(
        project_id=scope.project_id, status="waiting", waiting_on__kind=kind
    ).order_by("id")
    return [run_view(row) for row in rows[:limit]]


def sum_runs(*, scope: Scope, since: datetime) -> RunTotals:
    """All runs created since then; none for a caller who may not read."""
    if not _may_read(scope):
        return RunTotals(by_status={}, cost_usd=Decimal(0))
    rows = Run.objects.filter(project_id=scope.project_id, id__gte=ids.first_at(since))
    sums = list(rows.values("status").annotate(count=Count("id"), cost=Sum("cost_usd")))
    return RunTotals(
        by_status={PUBLIC_STATUS[row["status"]]: row["count"] for row in sums},
        cost_usd=sum((row["cost"] for row in sums), Decimal(0)),
    )


def get_trigger(*, scope: Scope, kind: TriggerKind, trigger_id: UUID) -> TriggerView:
    """Raises `NotFound`, also for a caller who may not read runs."""
    rows = Trigger.objects.filter(id=trigger_id, project_id=scope.project_id, kind=kind)
    row = rows.first() if _may_read(scope) else None
    if row is None:
        name = ids.encode(kind.id_kind, trigger_id)
        raise NotFound(f"There is no {kind} trigger {name} in this project that you may read.")
    return trigger_view(row)


def list_triggers(
    *,
    scope: Scope,
    kind: TriggerKind,
    limit: int = 50,
    before: UUID | None = None,
    agent: str | None = None,
    workflow: str | None = None,
    is_paused: bool | None = None,
) -> list[TriggerView]:
    """Newest first; `before` is the id of the last one of the page before."""
    if not _may_read(scope):
        return []
    wanted = {
        "id__lt": before,
        "agent": agent,
        "workflow": workflow,
        "paused_at__isnull": None if is_paused is None else not is_paused,
    }
    given = {name: value for name, value in wanted.items() if value is not None}
    rows = Trigger.objects.filter(project_id=scope.project_id, kind=kind, **given)
    return trigger_views(rows.order_by("-id")[:limit])


def list_firings(
    *,
    scope: Scope,
    kind: TriggerKind,
    trigger_id: UUID,
    limit: int = 50,
    before: UUID | None = None,
    outcome: FiringOutcome | None = None,
) -> list[FiringView]:
    """What came of each firing, newest first."""
    trigger = get_trigger(scope=scope, kind=kind, trigger_id=trigger_id)
    wanted = {"id__lt": before, "outcome": outcome}
    given = {name: value for name, value in wanted.items() if value is not None}
    rows = Firing.objects.filter(trigger_id=trigger.id, **given)
    return [firing_view(row) for row in rows.order_by("-id")[:limit]]


def count_workers() -> int:
    """How many processes of the installation take runs."""
    return sum(worker.is_alive for worker in workers.list_seen())


def count_ready() -> int:
    """How many runs of the installation wait for a worker now."""
    return Run.objects.filter(status="ready").count()


def list_events(*, scope: Scope, run_id: UUID, after: int = 0, limit: int = 200) -> list[EventView]:
    """The journal in order, from the event after `after`."""
    run = _readable(scope, run_id)
    return _views(run, journal.read_events(run.id, after=after, limit=limit))


def get_run_with_events(*, scope: Scope, run_id: UUID) -> tuple[RunView, list[EventView]]:
    """The run and its whole journal, for whoever may read it and for the caller of a tool call."""
    row = Run.objects.filter(id=run_id, project_id=scope.project_id).first()
    if row is None or not (row.tool and row.starter_id == scope.principal.id):
        row = _readable(scope, run_id)
    return run_view(row), _views(row, journal.read_events(row.id))


def get_prompt(*, scope: Scope, run_id: UUID, seq: int) -> list[dict[str, Any]]:
    """The messages that the model call journaled as `seq` was sent, in order."""
    run = _readable(scope, run_id)
    names: list[str] = []
    for record in journal.read_events(run.id, limit=seq):
        prompt = record.data.get("prompt")
        if prompt is not None:
            names = [*names[: prompt["keep"]], *prompt["add"]]
        if record.seq == seq and prompt is not None:
            contents = journal.read_blobs(run.organisation_id, sorted(set(names)))
            return [contents[name] for name in names]
    raise NotFound(f"Event {seq} of this run is no model call, so it has no prompt.")


def get_trace(*, scope: Scope, trace_id: str) -> tuple[RunView, tuple[Span, ...]]:
    """The run with this trace id, and its spans, read from the journal."""
    try:
        run = _readable(scope, UUID(hex=trace_id))
    except ValueError:
        raise NotFound(f"There is no trace {trace_id!r}: a trace id is 32 hex digits.") from None
    view = run_view(run)
    events = _views(run, journal.read_events(run.id))
    recorded = governance.list_decisions(run_id=run.id)
    return view, tracing.project(view, events, recorded)


def compare_runs(*, scope: Scope, a: UUID, b: UUID) -> RunDiff:
    """The two runs step by step. Raises `NotFound` unless the caller may read both."""
    rows = [_readable(scope, run_id) for run_id in (a, b)]
    one, other = (_journal_of(row) for row in rows)
    upto_a, upto_b = (row.forked_at_seq or 0 for row in rows)
    return comparing.compare(one, other, inherited=(upto_a, upto_b))


def _journal_of(row: Run) -> comparing.Journal:
    records = journal.read_events(row.id)
    names = {name for r in records for name in drafts.blob_names(r.type, r.data)}
    names |= comparing.prompt_names(records)
    return run_view(row), records, journal.read_blobs(row.organisation_id, sorted(names))


def list_reasons(*, scope: Scope, run_id: UUID) -> list[Explained]:
    """Each tool call and the answer, with what spoke for it. Raises `NotFound`."""
    row = _readable(scope, run_id)
    events = _views(row, journal.read_events(row.id))
    return reasons.explain(run_view(row), events, governance.list_decisions(run_id=row.id))


def picture_run(*, scope: Scope, run_id: UUID) -> WorkflowPicture | None:
    """How far each node of a workflow's run is; None for a run of anything else."""
    run = _readable(scope, run_id)
    if run.workflow_version_id is None:
        return None
    definition = catalog.get_definition(version_id=run.workflow_version_id)
    program = Interpreter(definition, run.input)
    records = [record for record in journal.read_events(run.id) if is_result(record)]
    names = {name for r in records for name in drafts.blob_names(r.type, r.data)}
    contents = journal.read_blobs(run.organisation_id, sorted(names))
    for record in records:
        program.apply(record, drafts.fill(record.type, record.data, contents))
    if run.status in FINAL:
        program.close()
    return picture(definition.graph, program.tally)


@lru_cache(maxsize=4096)
def _pins_of(run_id: UUID) -> tuple[UUID | None, str]:
    return Run.objects.values_list("agent_version_id", "given_route").get(id=run_id)


def find_pinned_version(run_id: UUID) -> UUID | None:
    """The agent version that the run is pinned to, if it is an agent's; it never changes."""
    try:
        return _pins_of(run_id)[0]
    except Run.DoesNotExist:
        return None


def find_pinned_route(run_id: UUID) -> str:
    """The route that a fork was given in place of its agent's, or ""; it never changes."""
    try:
        return _pins_of(run_id)[1]
    except Run.DoesNotExist:
        return ""


def _readable(scope: Scope, run_id: UUID) -> Run:
    row = Run.objects.filter(id=run_id, project_id=scope.project_id).first()
    if row is None or not (scope.run_id == run_id or _may_read(scope)):
        raise NotFound(
            f"There is no run {ids.encode(ids.Kind.RUN, run_id)} in this project that you may "
            "read. GET /api/v1/runs lists those there are."
        )
    return row


def _may_read(scope: Scope) -> bool:
    """Asked as a batch of one, because that leaves no decision row: watching a run reads a lot."""
    allowed = decisions.allowed_ids(scope=scope, action=Action.RUN_READ, kind=ResourceKind.PROJECT)
    return scope.project_id in allowed


def _views(run: Run, records: Iterable[Record]) -> list[EventView]:
    records = list(records)
    names = {name for r in records for name in drafts.blob_names(r.type, r.data)}
    contents = journal.read_blobs(run.organisation_id, sorted(names))
    return [
        EventView(
            seq=record.seq,
            type=record.type,
            step=record.step,
            attempt=record.attempt,
            started_at=record.started_at,
            at=record.at,
            data=_public(drafts.fill(record.type, record.data, contents)),
            inherited=1 < record.seq <= (run.forked_at_seq or 0),
        )
        for record in records
    ]


def _public(data: dict[str, Any]) -> dict[str, Any]:
    """Without what only the fold needs."""
    return {key: value for key, value in data.items() if key not in {"prompt", "digest"}}
