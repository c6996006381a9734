"""Usage is written once, in the transaction that settles the call's budget."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from apps.model_registry.types import ModelKind
from apps.observability import metrics
from apps.observability.models import Usage
from apps.observability.types import CallStatus
from octavo.kernel.scope import Scope


def record_usage(
    *,
    scope: Scope,
    step: str,
    route: str,
    provider: str,
    model: str,
    kind: ModelKind,
    input_tokens: int,
    output_tokens: int,
    cost_usd: Decimal,
    status: CallStatus,
    started_at: datetime,
    ended_at: datetime,
) -> UUID:
    """Book one model call on the scope's run (if any) and principal; returns the row's id."""
    row = Usage.objects.create(
        organisation_id=scope.organisation_id,
        team_id=scope.team_id,
        project_id=scope.project_id,
        principal_kind=scope.principal.kind,
        principal_id=scope.principal.id,
        key_id=scope.key_id,
        run_id=scope.run_id,
        step=step,
        route=route,
        provider=provider,
        model=model,
        kind=kind,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost_usd=cost_usd,
        status=status,
        started_at=started_at,
        ended_at=ended_at,
    )
    metrics.count_model_call(
        provider=provider,
        model=model,
        kind=kind,
        status=status,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost_usd=cost_usd,
        seconds=(ended_at - started_at).total_seconds(),
    )
    return row.id
