"""Usage is written once, in the transaction that settles the call's budget."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from apps.model_registry.types import ModelKind
from apps.observability import metrics
from apps.observability.types import CallStatus, TraceParent
from octavo.kernel import ids
from octavo.kernel.scope import Scope
from octavo.kernel.statements import Statement, run_together

# On every model call, so it is no model's save().
_INSERT = """
INSERT INTO usage (
    id, organisation_id, team_id, project_id, principal_kind, principal_id, key_id, run_id, step,
    route, provider, model, kind, input_tokens, output_tokens, cost_usd, status, started_at,
    ended_at, trace_id, parent_id, decision_id
) VALUES (
    %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s
)
"""


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
    usage_id: UUID | None = None,
    trace: TraceParent | None = None,
    decision_id: UUID | None = None,
    along: Sequence[Statement] = (),
) -> UUID:
    """Book one model call on the scope's run (if any) and principal; returns the row's id.

    A call of a run belongs to the run's trace; another one to `trace`, or to a trace of its own.
    The row and what `along` says are written together or not at all.
    """
    usage_id = usage_id or ids.new()
    place = trace or TraceParent(trace_id=scope.run_id or usage_id)
    row = [
        usage_id,
        scope.organisation_id,
        scope.team_id,
        scope.project_id,
        scope.principal.kind.value,
        scope.principal.id,
        scope.key_id,
        scope.run_id,
        step,
        route,
        provider,
        model,
        kind.value,
        input_tokens,
        output_tokens,
        cost_usd,
        status.value,
        started_at,
        ended_at,
        place.trace_id,
        place.parent_id,
        decision_id,
    ]
    run_together(Statement(sql=_INSERT, values=row), *along)
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
    return usage_id
