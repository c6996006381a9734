"""Rows as the values that cross layers; rows themselves never do."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db.models import Q, QuerySet

from apps.governance.models import ApprovalRow, Budget, BudgetWindow
from apps.governance.types import (
    Amount,
    Approval,
    ApprovalStatus,
    BudgetScope,
    BudgetView,
    OnExceed,
    Period,
)
from octavo.kernel import ids
from octavo.kernel.clock import now
from octavo.kernel.errors import NotFound
from octavo.kernel.scope import Scope


def find_approval_row(*, scope: Scope, approval_id: UUID) -> ApprovalRow:
    """Raises `NotFound` for an approval of another project, as for none."""
    row = ApprovalRow.objects.filter(id=approval_id, project_id=scope.project_id).first()
    if row is None:
        name = ids.encode(ids.Kind.APPROVAL, approval_id)
        raise NotFound(f"There is no approval {name} in this project. List approvals to see all.")
    return row


def approval_of(row: ApprovalRow) -> Approval:
    return Approval(
        id=row.id,
        run_id=row.run_id,
        step=row.step,
        tool=row.tool,
        arguments=row.arguments,
        action_hash=row.action_hash,
        policy=row.policy,
        bundle=row.bundle,
        requested_by=row.requested_by,
        requested_at=row.requested_at,
        expires_at=row.expires_at,
        status=ApprovalStatus(row.status),
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        note=row.note,
    )


def budget_rows(scope: Scope) -> QuerySet[Budget]:
    """Budgets of the project, its team and its organisation."""
    ground = Q(project_id=scope.project_id) | Q(
        project_id=None, target_id__in=[scope.team_id, scope.organisation_id]
    )
    return Budget.objects.filter(ground, organisation_id=scope.organisation_id)


def get_budget_row(scope: Scope, budget_id: UUID) -> Budget:
    """Raises `NotFound` for a budget of another project, as for none."""
    row = budget_rows(scope).filter(id=budget_id).first()
    if row is None:
        name = ids.encode(ids.Kind.BUDGET, budget_id)
        raise NotFound(
            f"There is no budget {name} here. GET /api/v1/budgets lists those there are."
        )
    return row


def budgets_of(rows: Sequence[Budget]) -> list[BudgetView]:
    """In the same order, each with its present window, read at once."""
    starts = {period: _bounds(period)[0] for period in Period}
    present = BudgetWindow.objects.filter(
        budget_id__in=[row.id for row in rows], starts_at__in=starts.values()
    )
    windows = {(window.budget_id, window.starts_at): window for window in present}
    return [
        _budget_of(row, windows.get((row.id, starts[Period(row.period)])) or _EMPTY) for row in rows
    ]


def _budget_of(row: Budget, window: BudgetWindow) -> BudgetView:
    return BudgetView(
        id=row.id,
        on=BudgetScope(row.scope_kind),
        target_id=row.target_id,
        period=Period(row.period),
        limit_usd=row.limit_usd,
        limit_tokens=row.limit_tokens,
        limit_calls=row.limit_calls,
        on_exceed=OnExceed(row.on_exceed),
        spent=Amount(usd=window.spent_usd, tokens=window.spent_tokens, calls=window.spent_calls),
        reserved=Amount(
            usd=window.reserved_usd, tokens=window.reserved_tokens, calls=window.reserved_calls
        ),
        resets_at=_bounds(Period(row.period))[1],
    )


def _bounds(period: Period) -> tuple[datetime, datetime | None]:
    """Begin and end of today, this month, or all time, which has no end."""
    midnight = now().replace(hour=0, minute=0, second=0, microsecond=0)
    first = midnight.replace(day=1)
    match period:
        case Period.DAY:
            return midnight, midnight + timedelta(days=1)
        case Period.MONTH:
            return first, (first + timedelta(days=31)).replace(day=1)
        case Period.TOTAL:
            return datetime.fromtimestamp(0, UTC), None


_EMPTY = BudgetWindow(
    spent_usd=Decimal(0),
    spent_tokens=0,
    spent_calls=0,
    reserved_usd=Decimal(0),
    reserved_tokens=0,
    reserved_calls=0,
)
