"""Calls that wait for a person: the list beside the one being read, decided with or without
JavaScript.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST

from apps.console import picturing, presenting, web
from apps.governance import selectors as governance
from apps.governance.services import approvals
from apps.governance.types import Approval, ApprovalStatus, Verdict
from apps.tools import selectors as tools
from apps.tools.services import schemas
from octavo.kernel import ids
from octavo.kernel.errors import InvalidInput, OctavoError
from octavo.kernel.scope import Scope

_PAGE = 50
_VERDICTS = {"approve": Verdict.APPROVE, "edit": Verdict.APPROVE, "refuse": Verdict.REFUSE}


@require_GET
@web.signed_in
def index(request: HttpRequest, scope: Scope) -> HttpResponse:
    """The newest pending one is open at once."""
    found = _list(request, scope)
    is_pending = bool(found) and found[0].status is ApprovalStatus.PENDING
    return _show(request, scope, found, found[0] if is_pending else None, is_chosen=False)


@require_GET
@web.signed_in
def show(request: HttpRequest, scope: Scope, approval_id: str) -> HttpResponse:
    approval = _get(scope, approval_id)
    return _show(request, scope, _list(request, scope), approval, is_chosen=True)


@require_POST
@web.signed_in
def decide(request: HttpRequest, scope: Scope, approval_id: str) -> HttpResponse:
    """Give the verdict, then go back to where the form stood. What is wrong is shown beside it."""
    approval = _get(scope, approval_id)
    said = web.text_of(request.POST, "verdict", most=20)
    edited = request.POST.get("arguments", "") if said == "edit" else None
    note = web.text_of(request.POST, "note", most=4000)
    try:
        approvals.decide(
            scope=scope,
            approval_id=approval.id,
            verdict=_verdict(said),
            note=note,
            arguments=None if edited is None else _arguments(scope, approval, edited),
        )
    except OctavoError as refusal:
        wrong = [f"{error['path']}: {error['detail']}" for error in refusal.errors]
        shown = {"refusal": refusal.detail, "wrong": wrong, "edited": edited, "note": note}
        found = _list(request, scope)
        again = _get(scope, approval_id)
        return _show(
            request, scope, found, again, is_chosen=True, status=refusal.status, more=shown
        )
    target = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(target, allowed_hosts=None)
    return redirect(target if is_ours and target.startswith("/") else f"/approvals/{approval_id}")


def _verdict(said: str) -> Verdict:
    if said not in _VERDICTS:
        raise InvalidInput("Choose to approve or to deny the call.")
    return _VERDICTS[said]


def _arguments(scope: Scope, approval: Approval, text: str) -> Mapping[str, Any]:
    """The edited arguments, as the tool's schema wants them."""
    try:
        arguments = orjson.loads(text)
    except ValueError as error:
        raise InvalidInput(f"The arguments are not JSON: {error}. Correct them.") from error
    if not isinstance(arguments, dict):
        raise InvalidInput("The arguments must be a JSON object, such as {}. Correct them.")
    tool = tools.find_tool(scope=scope, name=approval.tool)
    lines = schemas.check_instance(schema=tool.input_schema, instance=arguments) if tool else ()
    if lines:
        errors = [_error_of(line) for line in lines]
        raise InvalidInput(
            f"The arguments do not fit what {approval.tool} takes. Correct them.", errors=errors
        )
    return arguments


def _error_of(line: str) -> Mapping[str, str]:
    """`- at /days: "3" is not of type "integer"` as a path and what is wrong there."""
    path, _, detail = line.removeprefix("- at ").partition(": ")
    return {"path": path, "detail": detail}


def _get(scope: Scope, approval_id: str) -> Approval:
    return governance.get_approval(
        scope=scope, approval_id=ids.decode(ids.Kind.APPROVAL, approval_id)
    )


def _list(request: HttpRequest, scope: Scope) -> list[Approval]:
    """Those that wait come first."""
    wanted = request.GET.get("status", "")
    if wanted in list(ApprovalStatus):
        return governance.list_approvals(scope=scope, status=ApprovalStatus(wanted), limit=_PAGE)
    found = governance.list_approvals(scope=scope, limit=_PAGE)
    pending = governance.list_approvals(scope=scope, status=ApprovalStatus.PENDING, limit=_PAGE)
    known = {approval.id for approval in pending}
    return [*pending, *(approval for approval in found if approval.id not in known)]


def _show(
    request: HttpRequest,
    scope: Scope,
    found: list[Approval],
    opened: Approval | None,
    *,
    is_chosen: bool,
    status: int = 200,
    more: Mapping[str, Any] | None = None,
) -> HttpResponse:
    shown = {
        "asks": presenting.asks_of(scope, found),
        "ask": presenting.ask_of(scope, opened) if opened else None,
        "rights": picturing.rights_of(scope),
        "statuses": list(ApprovalStatus),
        "wanted": request.GET.get("status", ""),
        "is_chosen": is_chosen,
        **(more or {}),
    }
    return web.render(request, scope, "approvals", shown, status=status)
