"""What governance knows: approvals, decisions, budgets, the audit chain; each on its own ground."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import Count, Q, TextField, Value
from django.db.models.functions import Cast, Concat

from apps.governance.models import (
    ApprovalRow,
    AuditRow,
    DecisionRow,
    PolicyBundle,
)
from apps.governance.rows import (
    approval_of,
    budget_rows,
    budgets_of,
    find_approval_row,
    get_budget_row,
)
from apps.governance.services import decisions
from apps.governance.types import (
    Action,
    Approval,
    ApprovalStatus,
    AuditCheck,
    AuditEntry,
    BudgetScope,
    BudgetView,
    Outcome,
    RecordedDecision,
    Resource,
    ToolCalls,
)
from octavo.kernel import ids
from octavo.kernel.errors import NotFound
from octavo.kernel.scope import Scope

# A link holds when it follows its predecessor, names its hash, and has the hash of its own fields.
_VERIFY = """
WITH link AS (
    SELECT seq, hash, seq = lag(seq, 1, 0::bigint) OVER chain + 1
        AND prev_hash = lag(hash, 1, ''::bytea) OVER chain
        AND hash = audit_hash(
            prev_hash, organisation_id, seq, at, project_id, actor_id, actor, action, target,
            outcome, payload
        ) AS holds
    FROM audit_entry WHERE organisation_id = %(organisation)s WINDOW chain AS (ORDER BY seq)
), seen AS (
    SELECT count(*) AS checked, coalesce(bool_and(holds), true) AS holds, max(seq) AS last FROM link
)
SELECT seen.holds
        AND coalesce(head.seq, 0) = coalesce(seen.last, 0)
        AND coalesce(head.hash, '') = coalesce(link.hash, ''),
    seen.checked, encode(coalesce(link.hash, ''), 'hex')
FROM seen
LEFT JOIN link ON link.seq = seen.last
LEFT JOIN audit_head head ON head.organisation_id = %(organisation)s
"""


def get_approval(*, scope: Scope, approval_id: UUID) -> Approval:
    """One approval of the project. Needs `run.read`, except for the run that waits for it."""
    row = find_approval_row(scope=scope, approval_id=approval_id)
    if scope.run_id != row.run_id:
        _check_may_read(scope)
    return approval_of(row)


def list_approvals(
    *,
    scope: Scope,
    status: ApprovalStatus | None = None,
    limit: int = 50,
    before: UUID | None = None,
) -> list[Approval]:
    """Newest first; `before` is the id of the last approval of the page before."""
    _check_may_read(scope)
    rows = ApprovalRow.objects.filter(project_id=scope.project_id)
    if status is not None:
        rows = rows.filter(status=status.value)
    if before is not None:
        rows = rows.filter(id__lt=before)
    return [approval_of(row) for row in rows.order_by("-id")[:limit]]


def count_pending(*, scope: Scope) -> int:
    """Approvals that wait for a verdict; leaves no decision row, because every page asks."""
    project = Resource.project_of(scope)
    if not decisions.ask(scope=scope, action=Action.RUN_READ, resource=project).is_allowed:
        return 0
    rows = ApprovalRow.objects.filter(project_id=scope.project_id)
    return rows.filter(status=ApprovalStatus.PENDING.value).count()


def list_decisions(*, run_id: UUID) -> list[RecordedDecision]:
    """Every answer given to a run, oldest first. The caller has checked that it may be read."""
    rows = DecisionRow.objects.filter(run_id=run_id).order_by("id")
    return [
        RecordedDecision(
            id=row.id,
            at=row.at,
            run_id=row.run_id,
            step=row.step,
            principal=f"{row.principal_kind}:{row.principal_name}",
            action=row.action,
            resource=f"{row.resource_kind}:{row.resource_name}",
            outcome=Outcome(row.outcome),
            policies=tuple(row.policies),
            facts=row.facts,
            bundle=row.bundle,
            explain=row.explain,
        )
        for row in rows
    ]


def list_tool_calls(*, scope: Scope, since: datetime, limit: int = 50) -> list[ToolCalls]:
    """The project's tool calls since then, by tool, most called first. Needs `run.read`.

    A call that is asked about again after an approval is counted once.
    """
    _check_may_read(scope)
    rows = DecisionRow.objects.filter(
        project_id=scope.project_id,
        id__gte=ids.first_at(since),
        action=Action.TOOL_CALL.value,
        run_id__isnull=False,  # else it is about a grant, not a call
    )
    call = Concat(Cast("run_id", TextField()), Value("/"), "step", output_field=TextField())
    refused = Count(call, distinct=True, filter=Q(outcome=Outcome.DENY.value))
    sums = rows.values("resource_name").annotate(calls=Count(call, distinct=True), refused=refused)
    return [
        ToolCalls(tool=row["resource_name"], calls=row["calls"], refused=row["refused"])
        for row in sums.order_by("-calls", "resource_name")[:limit]
    ]


def get_policies(*, bundle: str) -> str:
    """The policy text behind a decision's bundle hash."""
    row = PolicyBundle.objects.filter(sha256=bundle).first()
    if row is None:
        raise NotFound(f"No decision was made with the policy bundle {bundle}.")
    return row.policies


def list_budgets(
    *, scope: Scope, limit: int | None = None, before: UUID | None = None
) -> list[BudgetView]:
    """Budgets of the project, its team and organisation, newest first; those of runs left out."""
    _check_may_read(scope)
    rows = budget_rows(scope).exclude(scope_kind=BudgetScope.RUN.value).order_by("-id")
    if before is not None:
        rows = rows.filter(id__lt=before)
    return budgets_of(list(rows[:limit]))


def get_budget(*, scope: Scope, budget_id: UUID) -> BudgetView:
    """One budget, of a run too. Raises `NotFound` for one that the project does not fall under."""
    _check_may_read(scope)
    return budgets_of([get_budget_row(scope, budget_id)])[0]


def list_audit(*, scope: Scope, limit: int = 50, before: int | None = None) -> list[AuditEntry]:
    """The organisation's chain, newest first; `before` is the last `seq` of the page before."""
    decisions.check(scope=scope, action=Action.POLICY_MANAGE, resource=Resource.project_of(scope))
    rows = AuditRow.objects.filter(organisation_id=scope.organisation_id)
    if before is not None:
        rows = rows.filter(seq__lt=before)
    return [
        AuditEntry(
            seq=row.seq,
            at=row.at,
            actor=row.actor,
            action=row.action,
            target=row.target,
            outcome=row.outcome,
            payload=row.payload,
            hash=bytes(row.hash).hex(),
        )
        for row in rows.order_by("-seq")[:limit]
    ]


def verify_audit(*, organisation_id: UUID) -> AuditCheck:
    """Recompute the whole chain, and compare its end with the recorded head."""
    with connection.cursor() as cursor:
        cursor.execute(_VERIFY, {"organisation": organisation_id})
        return AuditCheck(*cursor.fetchone())


def _check_may_read(scope: Scope) -> None:
    decisions.check(scope=scope, action=Action.RUN_READ, resource=Resource.project_of(scope))


def list_decided(*, approval_ids: Sequence[UUID]) -> list[UUID]:
    """Those of these approvals that are pending no longer, for the layer that asked for them."""
    rows = ApprovalRow.objects.filter(id__in=approval_ids)
    return list(rows.exclude(status=ApprovalStatus.PENDING).values_list("id", flat=True))
