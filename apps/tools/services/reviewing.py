"""A person's word about a tool: what class it has, and that it may be used as it is defined now.

Needs `tool.manage`. Nothing an upstream says about itself takes the place of that word.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction

from apps.governance.services import decisions
from apps.governance.types import Action
from apps.tools import naming, pins, rows, selectors
from apps.tools.models import Tool
from apps.tools.types import Classes, ToolReview
from octavo.kernel import audit
from octavo.kernel.errors import Conflict, InvalidInput
from octavo.kernel.scope import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkApproval:
    """Public names. `skipped` were left for a person to look at one by one, with the reason."""

    approved: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]


def approve_definition(
    *, scope: Scope, name: str, classes: Classes, definition_hash: str = ""
) -> ToolReview:
    """Offer the tool with the definition that its server shows now, and pin that.

    Raises `Conflict` when that is not `definition_hash` (where given), or cannot be used.
    """
    with transaction.atomic():
        row = _locked(scope, name)
        if definition_hash and definition_hash != row.seen_hash:
            raise Conflict(
                f"The definition of {name} is another by now: look at it again.", head=row.seen_hash
            )
        _check_usable(row)
        pins.approve(row, classes, by=scope.principal.name)
        _record(scope, "tool.approved", row)
    return rows.review_of(row)


def approve_server(*, scope: Scope, server: str, classes: Classes) -> BulkApproval:
    """Approve every tool of a server that is not approved yet, with the same classes.

    Skipped are those with warnings, those that a person withdrew, and those that cannot be used.
    """
    approved, skipped = [], []
    with transaction.atomic():
        owner = selectors.server_row(scope=scope, name=server, lock=True)
        resource = selectors.resource_of_server(owner)
        decisions.check(scope=scope, action=Action.TOOL_MANAGE, resource=resource)
        waiting = Tool.objects.select_for_update(of=("self",)).select_related("server")
        for row in waiting.filter(server=owner).exclude(state="approved").order_by("name"):
            reason = _why_alone(row)
            if reason:
                skipped.append((row.name, reason))
                continue
            pins.approve(row, classes, by=scope.principal.name)
            approved.append(row.name)
        audit.record(
            scope=scope, action="tool.approved", target=server, payload={"tools": approved}
        )
    return BulkApproval(approved=tuple(approved), skipped=tuple(skipped))


def quarantine(*, scope: Scope, name: str, why: str) -> ToolReview:
    """Offer the tool to nobody from now on, until a person approves it again."""
    with transaction.atomic():
        row = _locked(scope, name)
        pins.hold(row, why)
        audit.record(scope=scope, action="tool.quarantined", target=name, payload={"why": why})
    return rows.review_of(row)


def _locked(scope: Scope, name: str) -> Tool:
    if not naming.is_upstream(name):
        selectors.get_tool(scope=scope, name=name)
        raise InvalidInput(f"{name} is a tool of Octavo's own, and needs no review.")
    row = selectors.tool_row(scope=scope, name=name, lock=True)
    decisions.check(
        scope=scope,
        action=Action.TOOL_MANAGE,
        resource=selectors.resource_of(rows.tool_view(row)),
    )
    return row


def _check_usable(row: Tool) -> None:
    if row.problem:
        raise Conflict(f"{row.name} cannot be approved: {row.problem}. Its server must mend that.")
    if row.missing_since is not None:
        raise Conflict(
            f"{row.name} cannot be approved: {row.server.name!r} no longer lists it. "
            f"POST /api/v1/tool-servers/{row.server.name}/refresh looks again."
        )


def _why_alone(row: Tool) -> str:
    """Why nobody should approve this tool without looking at it; "" when they may."""
    warnings: Sequence[str] = row.seen["warnings"] if row.seen else row.warnings
    if row.problem:
        return row.problem
    if row.held:
        return f"a person withdrew it: {row.held}"
    if row.missing_since is not None:
        return "the server no longer lists it"
    return warnings[0] if warnings else ""


def _record(scope: Scope, action: str, row: Tool) -> None:
    payload = {
        "definition_hash": row.definition_hash,
        "risk": row.risk,
        "egress": row.egress,
        "effect": row.effect,
        "trust": row.trust,
        "timeout_seconds": row.timeout_seconds,
    }
    audit.record(scope=scope, action=action, target=row.name, payload=payload)
