"""What was used, as it was settled."""

from decimal import Decimal
from uuid import UUID

from django.db.models import Count, Sum

from apps.observability.models import Usage
from apps.observability.types import CallStatus, UsageTotal, UsageView


def get_usage_of_run(*, run_id: UUID) -> UsageTotal:
    """Zeros for a run that has settled no model call yet."""
    sums = Usage.objects.filter(run_id=run_id).aggregate(
        calls=Count("id"),
        input_tokens=Sum("input_tokens", default=0),
        output_tokens=Sum("output_tokens", default=0),
        cost_usd=Sum("cost_usd", default=Decimal(0)),
    )
    return UsageTotal(**sums)


def list_usage_of_run(*, run_id: UUID) -> list[UsageView]:
    """The run's model calls in the order in which they were settled."""
    return [_view(row) for row in Usage.objects.filter(run_id=run_id).order_by("id")]


def _view(row: Usage) -> UsageView:
    return UsageView(
        id=row.id,
        run_id=row.run_id,
        step=row.step,
        kind=row.kind,
        model=row.model,
        provider=row.provider,
        route=row.route,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cost_usd=row.cost_usd,
        status=CallStatus(row.status),
        started_at=row.started_at,
        ended_at=row.ended_at,
    )
