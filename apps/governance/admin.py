"""What staff see of governance: what was decided, asked, budgeted and done."""

from django.contrib import admin

from apps.governance.models import ApprovalRow, Budget, DecisionRow
from octavo.kernel.staff import ReadOnlyTable


@admin.register(DecisionRow)
class DecisionTable(ReadOnlyTable[DecisionRow]):
    list_display = ("at", "principal_name", "action", "resource_name", "outcome")
    list_filter = ("outcome", "action")


@admin.register(ApprovalRow)
class ApprovalTable(ReadOnlyTable[ApprovalRow]):
    list_display = ("requested_at", "tool", "requested_by", "status", "decided_by", "expires_at")
    list_filter = ("status",)


@admin.register(Budget)
class BudgetTable(ReadOnlyTable[Budget]):
    list_display = ("scope_kind", "period", "limit_usd", "limit_tokens", "limit_calls", "on_exceed")
    list_filter = ("scope_kind", "period")
