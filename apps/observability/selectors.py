"""What was used, as it was settled."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Case, CharField, Count, F, Q, QuerySet, Sum, TextField, Value, When
from django.db.models.functions import Cast, Concat, TruncDay

from apps.governance.services import decisions
from apps.governance.types import Action, Resource, ResourceKind
from apps.observability.models import Usage
from apps.observability.types import (
    CallStatus,
    GroupBy,
    Span,
    SpanKind,
    SpanStatus,
    UsageGroup,
    UsageTotal,
    UsageView,
)
from octavo.kernel import ids
from octavo.kernel.errors import NotFound
from octavo.kernel.scope import PrincipalKind, Scope

_SUMS: Mapping[str, Any] = {
    "input_tokens": Sum("input_tokens", default=0),
    "output_tokens": Sum("output_tokens", default=0),
    "cost_usd": Sum("cost_usd", default=Decimal(0)),
}
_GROUPS: Mapping[GroupBy, Any] = {
    GroupBy.AGENT: Case(When(principal_kind=PrincipalKind.AGENT.value, then="principal_id")),
    GroupBy.MODEL: Concat("provider", Value("/"), "model", output_field=TextField()),
    GroupBy.ROUTE: F("route"),
    GroupBy.KEY: F("key_id"),
    GroupBy.PROJECT: F("project_id"),
    GroupBy.DAY: Cast(TruncDay("started_at"), CharField()),
}


def get_usage_of_run(*, run_id: UUID) -> UsageTotal:
    """Zeros for a run that has settled no model call yet."""
    return _total(Usage.objects.filter(run_id=run_id))


def list_usage_of_run(*, run_id: UUID) -> list[UsageView]:
    """The run's model calls in the order in which they were settled."""
    return [_view(row) for row in Usage.objects.filter(run_id=run_id).order_by("id")]


def list_usage(
    *,
    scope: Scope,
    group_by: GroupBy,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 50,
    offset: int = 0,
) -> list[UsageGroup]:
    """Sums over the project's calls that began in the span: newest day or dearest group first.

    Needs `run.read`.
    """
    rows = _readable(scope, since, until).values(of=_GROUPS[group_by])
    sums = rows.annotate(calls=Count("id"), failed=Count("id", filter=~Q(status="ok")), **_SUMS)
    order = ["-of"] if group_by is GroupBy.DAY else ["-cost_usd", "-calls", "of"]
    found: Any = sums.order_by(*order)[offset : offset + limit]
    return [UsageGroup(**{**row, "of": _named(row["of"], group_by)}) for row in found]


def get_usage(
    *, scope: Scope, since: datetime | None = None, until: datetime | None = None
) -> UsageTotal:
    """What all of the project's calls that began in the span add up to. Needs `run.read`."""
    return _total(_readable(scope, since, until))


def get_call_trace(*, scope: Scope, trace_id: str) -> tuple[list[Span], list[UsageView]]:
    """The model calls outside runs of this trace, oldest first, each as a span.

    Raises `NotFound`, also for a caller who may not read the project.
    """
    missing = NotFound(f"There is no trace {trace_id!r} in this project that you may read.")
    try:
        rows = Usage.objects.filter(
            project_id=scope.project_id, trace_id=UUID(hex=trace_id), run_id=None
        )
    except ValueError:
        raise missing from None
    calls = [_view(row) for row in rows.order_by("id")[:1000]] if _may_read(scope) else []
    if not calls:
        raise missing
    return [_span(call, trace_id) for call in calls], calls


def _may_read(scope: Scope) -> bool:
    kind = ResourceKind.PROJECT
    return scope.project_id in decisions.allowed_ids(scope=scope, action=Action.RUN_READ, kind=kind)


def _readable(scope: Scope, since: datetime | None, until: datetime | None) -> QuerySet[Usage]:
    decisions.check(scope=scope, action=Action.RUN_READ, resource=Resource.project_of(scope))
    rows = Usage.objects.filter(project_id=scope.project_id)
    if since is not None:
        rows = rows.filter(started_at__gte=since)
    if until is not None:
        rows = rows.filter(started_at__lt=until)
    return rows


def _total(rows: QuerySet[Usage]) -> UsageTotal:
    return UsageTotal(**rows.aggregate(calls=Count("id"), **_SUMS))


def _named(of: Any, group_by: GroupBy) -> UUID | str | None:
    return str(of)[:10] if group_by is GroupBy.DAY else of


def _span(call: UsageView, trace_id: str) -> Span:
    return Span(
        trace_id=trace_id,
        span_id=call.id.hex[16:],
        parent_id=call.parent_id or None,
        name=f"{call.kind} {call.model}",
        kind=SpanKind.MODEL,
        status=SpanStatus.OK if call.status is CallStatus.OK else SpanStatus.ERROR,
        started_at=call.started_at,
        ended_at=call.ended_at,
        attributes={
            "gen_ai.operation.name": "embeddings" if call.kind == "embedding" else call.kind,
            "gen_ai.provider.name": call.provider,
            "gen_ai.request.model": call.model,
            "gen_ai.usage.input_tokens": call.input_tokens,
            "gen_ai.usage.output_tokens": call.output_tokens,
            "octavo.route": call.route,
            "octavo.cost_usd": f"{call.cost_usd.normalize():f}",
            "octavo.usage_id": ids.encode(ids.Kind.USAGE, call.id),
            **_decided(call),
        },
    )


def _decided(call: UsageView) -> dict[str, str]:
    if call.decision_id is None:
        return {}
    return {"octavo.decision_id": ids.encode(ids.Kind.DECISION, call.decision_id)}


def _view(row: Usage) -> UsageView:
    return UsageView(
        id=row.id,
        run_id=row.run_id,
        trace_id=row.trace_id,
        parent_id=row.parent_id,
        decision_id=row.decision_id,
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
