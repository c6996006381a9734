"""The rows of bulk jobs: their filter as JSON and back, their asker's scope, how they stand."""

from dataclasses import asdict
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models.functions import Now

from apps.orchestration import journal
from apps.orchestration.models import BulkJob
from apps.orchestration.types.runs import RunStatus
from apps.orchestration.types.serving import BulkAction, BulkView, RunFilter
from octavo.kernel import clock
from octavo.kernel.scope import Principal, PrincipalKind, Scope

_READ: dict[str, Any] = {
    "status": RunStatus,
    "tags": tuple,
    "min_cost": Decimal,
    "max_cost": Decimal,
    "parent": UUID,
    "retry_of": UUID,
    "since": datetime.fromisoformat,
    "until": datetime.fromisoformat,
}


def dump_filter(wanted: RunFilter) -> dict[str, Any]:
    """What is set, as plain JSON."""
    unset = asdict(RunFilter())
    given = {name: value for name, value in asdict(wanted).items() if value != unset[name]}
    plain: dict[str, Any] = journal.from_json(journal.as_json(given))
    return plain


def load_filter(stored: dict[str, Any]) -> RunFilter:
    return RunFilter(**{name: _READ.get(name, _as_is)(value) for name, value in stored.items()})


def _as_is(value: Any) -> Any:
    return value


def following(run_id: UUID) -> UUID:
    return UUID(int=run_id.int + 1)


def scope_of(job: BulkJob) -> Scope:
    """The rights that the asker has now."""
    return Scope(
        organisation_id=job.organisation_id,
        team_id=job.team_id,
        project_id=job.project_id,
        principal=Principal(
            kind=PrincipalKind(job.principal_kind), id=job.principal_id, name=job.principal_name
        ),
        key_id=job.key_id,
        key_scopes=tuple(job.key_scopes),
    )


def take_stale(seconds: float) -> list[UUID]:
    """Open jobs without a sign of work for so long, marked as touched now."""
    stale = BulkJob.objects.select_for_update(skip_locked=True).filter(
        finished_at__isnull=True, touched_at__lt=clock.now() - timedelta(seconds=seconds)
    )
    found = list(stale.values_list("id", flat=True))
    BulkJob.objects.filter(id__in=found).update(touched_at=Now())
    return found


def bulk_view(job: BulkJob) -> BulkView:
    return BulkView(
        id=job.id,
        action=BulkAction(job.action),
        wanted=load_filter(job.wanted),
        total=job.total,
        done=job.done,
        skipped=job.skipped,
        refused=job.refused,
        problems=tuple(job.problems),
        started_by=job.principal_name,
        created_at=job.created_at,
        finished_at=job.finished_at,
    )
