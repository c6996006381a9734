"""Rows as the values that cross layers; rows themselves never do."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

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


def budget_of(row: Budget) -> BudgetView:
    window = _present_window(row)
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
    )


def _present_window(row: Budget) -> BudgetWindow:
    """The window of today, this month or for ever; an empty one before anything was spent in it."""
    midnight = now().replace(hour=0, minute=0, second=0, microsecond=0)
    starts = {
        Period.DAY: midnight,
        Period.MONTH: midnight.replace(day=1),
        Period.TOTAL: datetime.fromtimestamp(0, UTC),
    }
    starts_at = starts[Period(row.period)]
    found = BudgetWindow.objects.filter(budget=row, starts_at=starts_at).first()
    if found is not None:
        return found
    return BudgetWindow(
        spent_usd=Decimal(0),
        spent_tokens=0,
        spent_calls=0,
        reserved_usd=Decimal(0),
        reserved_tokens=0,
        reserved_calls=0,
    )
