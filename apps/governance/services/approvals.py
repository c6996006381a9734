"""A person's verdict on exactly one call: bound to its tool, arguments and policies, given once.

Every change of state is a compare-and-set, told to upper layers by the event `approval.decided`.
"""

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import rfc8785
from django.db import transaction
from django.db.models.functions import Now

from apps.governance import cedar
from apps.governance.models import ApprovalRow
from apps.governance.rows import approval_of, find_approval_row
from apps.governance.services import decisions
from apps.governance.services.audit import label
from apps.governance.types import (
    Action,
    Approval,
    ApprovalStatus,
    Decision,
    Resource,
    ResourceKind,
    Verdict,
)
from octavo.kernel import audit, events, ids
from octavo.kernel.errors import Conflict, Forbidden, InvalidInput, NotFound
from octavo.kernel.scope import SYSTEM, Scope

DECIDED = "approval.decided"
_STATUS = {Verdict.APPROVE: ApprovalStatus.APPROVED, Verdict.REFUSE: ApprovalStatus.REFUSED}


def request(
    *,
    scope: Scope,
    step: str,
    tool: str,
    arguments: Mapping[str, Any],
    decision: Decision,
    expires_in: timedelta = timedelta(hours=24),
) -> Approval:
    """Ask a person about the call that `decision` holds back, in the caller's transaction.

    Repeated for the same run, step and call, it returns the approval there is. A different call at
    the same step, or the same one under changed policies, is asked about anew, and what was pending
    is cancelled.
    """
    if scope.run_id is None:
        raise InvalidInput("An approval belongs to a run: the scope names none.")
    bound = hash_action(tool=tool, arguments=arguments, bundle=decision.bundle)
    policy = ", ".join(obligation.policy for obligation in decision.obligations)
    with transaction.atomic():
        row, created = ApprovalRow.objects.get_or_create(
            run_id=scope.run_id,
            step=step,
            requested_hash=bound,
            defaults={
                "organisation_id": scope.organisation_id,
                "team_id": scope.team_id,
                "project_id": scope.project_id,
                "tool": tool,
                "arguments": dict(arguments),
                "action_hash": bound,
                "policy": policy,
                "bundle": decision.bundle,
                **_requester(scope),
                "expires_at": Now() + expires_in,
            },
        )
        if created:
            pending = ApprovalRow.objects.filter(run_id=scope.run_id, step=step, status="pending")
            pending.exclude(id=row.id).update(status=ApprovalStatus.CANCELLED, decided_at=Now())
            row.refresh_from_db(fields=["expires_at", "requested_at"])
    return approval_of(row)


def decide(
    *,
    scope: Scope,
    approval_id: UUID,
    verdict: Verdict,
    note: str = "",
    arguments: Mapping[str, Any] | None = None,
) -> Approval:
    """Give the verdict that everybody else's is then too late for.

    `arguments` approves an edited call: the approval is bound to those from now on. Idempotent for
    the same principal, verdict and arguments; otherwise `Conflict` once decided or expired.
    """
    row = find_approval_row(scope=scope, approval_id=approval_id)
    _check_may_decide(scope, row)
    if arguments is not None and verdict is Verdict.REFUSE:
        raise InvalidInput(
            "A refusal carries no arguments. Leave them out, or approve the edited call.",
            errors=[{"path": "/arguments", "detail": "only with approve"}],
        )
    wanted = dict(row.arguments if arguments is None else arguments)
    bound = hash_action(tool=row.tool, arguments=wanted, bundle=row.bundle)
    with transaction.atomic():
        changed = ApprovalRow.objects.filter(
            id=row.id, status=ApprovalStatus.PENDING, expires_at__gt=Now()
        ).update(
            status=_STATUS[verdict],
            arguments=wanted,
            action_hash=bound,
            decided_by_id=scope.principal.id,
            decided_by=label(scope.principal),
            decided_at=Now(),
            note=note,
        )
        row.refresh_from_db()
        if changed:
            _announce(row, scope=scope, edited=bound != row.requested_hash)
    if not changed:
        _refuse_unless_repeated(row, scope, _STATUS[verdict], bound)
    return approval_of(row)


def expire_due() -> int:
    """Expire what nobody decided in time: an expiry is a refusal. Safe to run in many processes."""
    due = ApprovalRow.objects.filter(status=ApprovalStatus.PENDING, expires_at__lte=Now())
    return sum(
        _leave_pending(approval_id, ApprovalStatus.EXPIRED)
        for approval_id in due.order_by("expires_at").values_list("id", flat=True)[:500]
    )


def cancel_pending(*, run_id: UUID) -> int:
    """Cancel what an ended run still asks; how many there were. No event: the run is over."""
    pending = ApprovalRow.objects.filter(run_id=run_id, status=ApprovalStatus.PENDING)
    return pending.update(status=ApprovalStatus.CANCELLED, decided_at=Now())


def verify(*, approval_id: UUID, tool: str, arguments: Mapping[str, Any]) -> Approval:
    """The approval, if it covers exactly this call under the policies in force now.

    Raises `Forbidden` when it was refused or expired, and `Conflict` when it is undecided, was
    given for another call, or the policies have changed since it was asked for: ask again.
    """
    name = ids.encode(ids.Kind.APPROVAL, approval_id)
    row = ApprovalRow.objects.filter(id=approval_id).first()
    if row is None:
        raise NotFound(f"There is no approval {name}, so {tool} may not be called.")
    if row.status in {ApprovalStatus.REFUSED, ApprovalStatus.EXPIRED}:
        who = f" by {row.decided_by}" if row.decided_by else ""
        raise Forbidden(
            f"The call of {row.tool} was {row.status}{who} ({name}).",
            policies=row.policy.split(", "),
        )
    if row.status != ApprovalStatus.APPROVED:
        raise Conflict(f"{name} is {row.status}, so {row.tool} may not be called.", head=row.status)
    bundle = cedar.shipped_bundle().sha256
    if row.bundle != bundle:
        raise Conflict(
            f"The policies have changed since {name} was asked for. Ask for approval again.",
            head=bundle,
        )
    if hash_action(tool=tool, arguments=arguments, bundle=bundle) != row.action_hash:
        raise Conflict(
            f"{name} was given for a different call. Ask for approval of this one.",
            head=row.action_hash,
        )
    return approval_of(row)


def hash_action(*, tool: str, arguments: Mapping[str, Any], bundle: str) -> str:
    """SHA-256 of the call's canonical JSON (RFC 8785), in hex.

    Raises `InvalidInput` for what has no canonical form (NaN, integers beyond 2^53).
    """
    action: Any = {"tool": tool, "arguments": dict(arguments), "bundle": bundle}
    try:
        return hashlib.sha256(rfc8785.dumps(action)).hexdigest()
    except rfc8785.CanonicalizationError as error:
        raise InvalidInput(
            f"The arguments of {tool} have no canonical JSON form ({error}), so no approval could "
            "be bound to them. Send large integers as strings.",
            errors=[{"path": "/arguments", "detail": str(error)}],
        ) from error


def _requester(scope: Scope) -> dict[str, Any]:
    """Who asks: the principal, or the program behind a key that lets a model choose for it."""
    if scope.is_autonomous and scope.key_id is not None:
        return {
            "requested_by_id": scope.key_id,
            "requested_by": f"a client of {label(scope.principal)}",
        }
    return {"requested_by_id": scope.principal.id, "requested_by": label(scope.principal)}


def _check_may_decide(scope: Scope, row: ApprovalRow) -> None:
    run = Resource(kind=ResourceKind.RUN, id=row.run_id, name=ids.encode(ids.Kind.RUN, row.run_id))
    decisions.check(scope=scope, action=Action.APPROVAL_DECIDE, resource=run, step=row.step)
    asked_itself = scope.is_autonomous and scope.key_id == row.requested_by_id
    if asked_itself or scope.principal.id == row.requested_by_id:
        raise Forbidden(
            f"{row.requested_by} asked for this approval, and cannot give it. "
            "Ask another person of the project.",
            policies=["approver-is-not-requester"],
        )


def _refuse_unless_repeated(
    row: ApprovalRow, scope: Scope, wanted: ApprovalStatus, bound: str
) -> None:
    same = (row.status, row.decided_by_id, row.action_hash) == (wanted, scope.principal.id, bound)
    if same:
        return
    if row.status == ApprovalStatus.PENDING:
        _leave_pending(row.id, ApprovalStatus.EXPIRED)
        row.refresh_from_db()
    who = f" by {row.decided_by}" if row.decided_by else ""
    raise Conflict(f"This approval is already {row.status}{who}.", head=row.status)


def _leave_pending(approval_id: UUID, status: ApprovalStatus) -> int:
    with transaction.atomic():
        pending = ApprovalRow.objects.filter(id=approval_id, status=ApprovalStatus.PENDING)
        changed = pending.update(status=status, decided_at=Now())
        if changed:
            row = ApprovalRow.objects.get(id=approval_id)
            scope = Scope(
                organisation_id=row.organisation_id,
                team_id=row.team_id,
                project_id=row.project_id,
                principal=SYSTEM,
            )
            _announce(row, scope=scope, edited=False)
    return changed


def _announce(row: ApprovalRow, *, scope: Scope, edited: bool) -> None:
    """Tell the upper layers and the audit chain; the chain last, because its head stays locked."""
    events.emit(DECIDED, approval_id=str(row.id), run_id=str(row.run_id))
    audit.record(
        scope=scope,
        action="approval.decide",
        target=ids.encode(ids.Kind.APPROVAL, row.id),
        outcome=row.status,
        payload={
            "run": ids.encode(ids.Kind.RUN, row.run_id),
            "step": row.step,
            "tool": row.tool,
            "action_hash": row.action_hash,
            "edited": edited,
            "requested_by": row.requested_by,
            "policy": row.policy,
            "bundle": row.bundle,
        },
    )
