"""An approval asked in the client itself: a form, and a verdict that counts for exactly one call.

The call answers `input_required` and is sent again with the form filled in. What it was about
travels in `requestState`, sealed and bound to principal, tool and arguments, so that a retry with
other arguments is refused. A retry looks at the run there is and never makes a second call.
https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/mrtr
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import mcp_types as t
import orjson
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from apps.api.mcp import answers
from apps.api.mcp.callers import Context
from apps.governance import selectors as governance
from apps.governance.services import approvals, decisions
from apps.governance.types import Action, Approval, Resource, ResourceKind, Verdict
from apps.orchestration.types.runs import RunView
from octavo.kernel import ids
from octavo.kernel.errors import Conflict
from octavo.kernel.scope import PrincipalKind, Scope

_KEY = "approval"
_MOST_SHOWN = 4000
_FORM = {
    "type": "object",
    "properties": {
        "decision": {
            "type": "string",
            "title": "Decision",
            "enum": [verdict.value for verdict in Verdict],
        },
        "note": {"type": "string", "title": "Note", "description": "Why; the model reads it."},
    },
    "required": ["decision"],
}
_ONLY_LOOK: dict[str, Any] = {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a run waits to be told. `is_for_caller`: the person behind the key may decide it."""

    run: RunView
    approval: Approval
    is_for_caller: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an earlier round asked, as its `requestState` says."""

    run_id: UUID
    approval_id: UUID
    action_hash: str


def can_ask(context: Context) -> bool:
    """Whether the client shows forms, in the way of the newest era."""
    capabilities = context.session.client_capabilities
    if context.protocol_version not in MODERN_PROTOCOL_VERSIONS or capabilities is None:
        return False
    modes = capabilities.elicitation
    return modes is not None and (modes.form is not None or modes.url is None)


def find_question(*, scope: Scope, run: RunView) -> Question | None:
    """The approval that the run waits for, if that is what it waits for."""
    waiting = run.waiting_on
    if waiting is None or waiting.kind != "approval":
        return None
    approval = governance.get_approval(
        scope=replace(scope, run_id=run.id), approval_id=ids.decode(ids.Kind.APPROVAL, waiting.id)
    )
    resource = Resource(kind=ResourceKind.RUN, id=run.id, name=ids.encode(ids.Kind.RUN, run.id))
    may = decisions.ask(scope=scope, action=Action.APPROVAL_DECIDE, resource=resource).is_allowed
    return Question(run=run, approval=approval, is_for_caller=_is_person(scope) and may)


def ask(question: Question) -> t.InputRequiredResult:
    approval = question.approval
    state = {
        "run": str(question.run.id),
        "approval": str(approval.id),
        "hash": approval.action_hash,
    }
    return t.InputRequiredResult(
        input_requests={_KEY: t.ElicitRequest(params=form(question))},
        request_state=orjson.dumps(state).decode(),
    )


def form(question: Question) -> t.ElicitRequestFormParams:
    """The form to decide with, or for others one that says who can."""
    where = answers.console_url(question.run)
    if question.is_for_caller:
        closing, schema = f"Also at {where}.", _FORM
    else:
        closing = f"Somebody else must decide, at {where}. Continue when that is done."
        schema = _ONLY_LOOK
    return t.ElicitRequestFormParams(
        message=f"{_described(question.approval)}\n{closing}", requested_schema=schema
    )


def read_state(text: str) -> Asked:
    """`RequestStateBoundary` has unsealed it, so it is what `ask` wrote."""
    state = orjson.loads(text)
    return Asked(
        run_id=UUID(state["run"]),
        approval_id=UUID(state["approval"]),
        action_hash=state["hash"],
    )


def take_answer(*, scope: Scope, asked: Asked, responses: Mapping[str, Any] | None) -> None:
    """Give the verdict that the form holds, if it is about the call that was shown."""
    response = (responses or {}).get(_KEY)
    approval = governance.get_approval(
        scope=replace(scope, run_id=asked.run_id), approval_id=asked.approval_id
    )
    if approval.action_hash == asked.action_hash and isinstance(response, t.ElicitResult):
        decide(scope=scope, approval=approval, response=response)


def decide(*, scope: Scope, approval: Approval, response: t.ElicitResult) -> None:
    """Give a person's verdict, unless somebody was first. Raises `Forbidden` when that person may
    not decide.
    """
    found = _verdict(response)
    if found is None or not _is_person(scope):
        return
    verdict, note = found
    with contextlib.suppress(Conflict):  # decided elsewhere meanwhile: the run knows how
        approvals.decide(scope=scope, approval_id=approval.id, verdict=verdict, note=note)


def _is_person(scope: Scope) -> bool:
    """A program with a key of its own gets no form to decide with: it would approve itself."""
    return scope.principal.kind is PrincipalKind.USER


def _verdict(response: t.ElicitResult) -> tuple[Verdict, str] | None:
    """None for a form that was dismissed or only says: look again."""
    if response.action == "decline":
        return Verdict.REFUSE, "Declined in the MCP client."
    content = response.content or {}
    if response.action != "accept" or content.get("decision") not in set(Verdict):
        return None
    return Verdict(str(content["decision"])), str(content.get("note") or "")


def _described(approval: Approval) -> str:
    arguments = orjson.dumps(approval.arguments, option=orjson.OPT_INDENT_2).decode()
    if len(arguments) > _MOST_SHOWN:
        rest = len(arguments) - _MOST_SHOWN
        arguments = f"{arguments[:_MOST_SHOWN]}\n[{rest} more characters in the console]"
    return (
        f"{approval.tool} may be called only if a person approves it (rule {approval.policy}, "
        f"until {approval.expires_at:%Y-%m-%d %H:%M} UTC), with these arguments:\n{arguments}"
    )
