"""Waits for a person without a worker; the verdict holds for exactly the call it was given for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from apps.governance import selectors as governance
from apps.governance.services import approvals
from apps.governance.types import Approval, ApprovalStatus, Decision
from apps.orchestration import drafts
from apps.orchestration.activation import Activation
from apps.orchestration.steps.answering import refusal
from apps.orchestration.waits import Wait
from apps.tools.types import ToolResult, ToolView
from octavo.kernel import ids
from octavo.kernel.errors import Conflict, Forbidden


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """An approval that covers the call now; `arguments` are those that were approved."""

    approval: str
    arguments: Mapping[str, Any]


def find_verdict(
    activation: Activation, step: str, tool: ToolView
) -> Given | ToolResult | Wait | None:
    """What a person said: the approval, or their refusal for the model to read.

    None when nobody was asked yet, or the answer no longer holds because the policies have changed:
    then the call is decided afresh.
    """
    asked = activation.state.progress(step).approval
    if asked is None:
        return None
    approval = governance.get_approval(
        scope=activation.scope, approval_id=ids.decode(ids.Kind.APPROVAL, asked)
    )
    if approval.status is ApprovalStatus.PENDING:
        return _wait_for(approval)
    if activation.state.progress(step).verdict is None:
        activation.record(drafts.approval_decided(step, approval))
    if approval.status is not ApprovalStatus.APPROVED:
        return _refused(approval, tool)
    try:
        approvals.verify(approval_id=approval.id, tool=tool.name, arguments=approval.arguments)
    except Conflict:
        return None
    except Forbidden as error:
        return refusal(str(error))
    return Given(approval=asked, arguments=approval.arguments)


def _refused(approval: Approval, tool: ToolView) -> ToolResult:
    by = f" by {approval.decided_by}" if approval.decided_by else ""
    note = f" They said: {approval.note}" if approval.note else ""
    return refusal(
        f"The call of {tool.name} was {approval.status}{by}, and was not made.{note} Do not make "
        "it again; go on without it, or say what is missing."
    )


def ask(
    activation: Activation,
    step: str,
    tool: ToolView,
    arguments: Mapping[str, Any],
    decision: Decision,
) -> Wait:
    """Ask, once; the call waits until there is an answer."""
    progress = activation.state.progress(step)
    with transaction.atomic():
        approval = approvals.request(
            scope=activation.scope,
            step=step,
            tool=tool.name,
            arguments=arguments,
            decision=decision,
        )
        name = ids.encode(ids.Kind.APPROVAL, approval.id)
        if progress.approval != name:
            draft = drafts.approval_requested(step, approval, decision, progress.attempt + 1)
            activation.record(draft)
    return _wait_for(approval)


def _wait_for(approval: Approval) -> Wait:
    name = ids.encode(ids.Kind.APPROVAL, approval.id)
    return Wait(kind="approval", waits_for=name, until=approval.expires_at)
