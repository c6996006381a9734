"""One action on all runs that a filter finds: counted first, then done by a job in small batches.

A batch is one transaction with the job's own row, so that a job which is cut off goes on where it
was, and touches no run twice. Each run is handled with the rights that its asker has, one by one.
"""

from collections.abc import Callable
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from apps.governance.services import decisions
from apps.governance.types import Action, Resource
from apps.orchestration import bulk_jobs, finding
from apps.orchestration.finding import Among, Window
from apps.orchestration.models import BulkJob, Run
from apps.orchestration.rows import run_view
from apps.orchestration.selectors import get_bulk
from apps.orchestration.services import control, retrying
from apps.orchestration.types.serving import BulkAction, BulkPlan, BulkView, RunFilter
from octavo.kernel import audit, ids, jobs
from octavo.kernel.errors import Conflict, OctavoError
from octavo.kernel.scope import Scope

JOB = "orchestration.bulk"
BATCH = 25
_SAMPLE = 5
_MOST_PROBLEMS = 20
_STALE_SECONDS = 60
_AMONG = {BulkAction.CANCEL: Among.LIVE, BulkAction.RETRY: Among.UNSUCCESSFUL}


def plan_bulk(*, scope: Scope, action: BulkAction, wanted: RunFilter) -> BulkPlan:
    """How many runs the action would be done to now, and the newest of them. Nothing happens."""
    _check(scope)
    among = _AMONG[action]
    matching = finding.count(scope.project_id, wanted, up_to=ids.new(), among=among)
    window = Window(limit=_SAMPLE, among=among)
    sample = [run_view(row) for row in finding.find(scope.project_id, wanted, window)]
    return BulkPlan(action=action, matching=matching, sample=tuple(sample))


def start_bulk(
    *, scope: Scope, action: BulkAction, wanted: RunFilter, expected: int | None = None
) -> BulkView:
    """Queue the action for every run that fits at this moment; later runs are left alone.

    Raises `Conflict` when more than `expected` fit.
    """
    _check(scope)
    job_id = ids.new()
    matching = finding.count(scope.project_id, wanted, up_to=job_id, among=_AMONG[action])
    if expected is not None and matching > expected:
        raise Conflict(
            f"By now {matching} fit, not {expected}. Look again, then confirm that number.",
            head=matching,
        )
    principal = scope.principal
    with transaction.atomic():
        BulkJob.objects.create(
            id=job_id,
            organisation_id=scope.organisation_id,
            team_id=scope.team_id,
            project_id=scope.project_id,
            action=action,
            wanted=bulk_jobs.dump_filter(wanted),
            total=matching,
            up_to=job_id,
            principal_kind=principal.kind,
            principal_id=principal.id,
            principal_name=principal.name,
            key_id=scope.key_id,
            key_scopes=list(scope.key_scopes),
        )
        jobs.enqueue(JOB, job_id=str(job_id))
        audit.record(
            scope=scope,
            action=Action.RUN_CONTROL,
            target=ids.encode(ids.Kind.JOB, job_id),
            payload={
                "bulk": action,
                "filter": bulk_jobs.dump_filter(wanted),
                "matching": matching,
            },
        )
    return get_bulk(scope=scope, job_id=job_id)


@transaction.atomic
def run_batch(*, job_id: str) -> None:
    """Handle the next few runs, and promise the batch after it. Idempotent: one worker at a time
    holds the job, and a late hint finds nothing left.
    """
    open_jobs = BulkJob.objects.select_for_update(skip_locked=True)
    job = open_jobs.filter(id=UUID(job_id), finished_at__isnull=True).first()
    if job is None:
        return
    wanted, action = bulk_jobs.load_filter(job.wanted), BulkAction(job.action)
    before = job.cursor or bulk_jobs.following(job.up_to)
    window = Window(limit=BATCH, before=before, among=_AMONG[action])
    found = finding.list_ids(job.project_id, wanted, window)
    for run_id in found:
        _handle(job, action, run_id)
    job.cursor = found[-1] if found else job.cursor
    if len(found) < BATCH:
        job.finished_at = Now()
    else:
        jobs.enqueue(JOB, job_id=job_id)
    job.touched_at = Now()
    job.save()


def revive_bulk() -> int:
    """Send another hint for jobs that no worker has touched for a minute; how many."""
    with transaction.atomic():
        stale = bulk_jobs.take_stale(_STALE_SECONDS)
        for job_id in stale:
            jobs.enqueue(JOB, job_id=str(job_id))
    return len(stale)


def _handle(job: BulkJob, action: BulkAction, run_id: UUID) -> None:
    try:
        with transaction.atomic():
            was_done = _ACTS[action](bulk_jobs.scope_of(job), run_id)
    except Conflict:
        was_done = False  # it has moved on since it was found
    except OctavoError as refusal:
        job.refused += 1
        if len(job.problems) < _MOST_PROBLEMS:
            name = ids.encode(ids.Kind.RUN, run_id)
            job.problems = [*job.problems, {"run": name, "detail": refusal.detail}]
        return
    job.done += was_done
    job.skipped += not was_done


def _cancel(scope: Scope, run_id: UUID) -> bool:
    control.cancel_run(scope=scope, run_id=run_id)
    return True


def _retry(scope: Scope, run_id: UUID) -> bool:
    """What was retried before is left alone."""
    if Run.objects.filter(retry_of=run_id).exists():
        return False
    retrying.retry_run(scope=scope, run_id=run_id)
    return True


_ACTS: dict[BulkAction, Callable[[Scope, UUID], bool]] = {
    BulkAction.CANCEL: _cancel,
    BulkAction.RETRY: _retry,
}


def _check(scope: Scope) -> None:
    resource = Resource.project_of(scope)
    decisions.check(scope=scope, action=Action.RUN_CONTROL, resource=resource)
    decisions.check(scope=scope, action=Action.RUN_READ, resource=resource)
