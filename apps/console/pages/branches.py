"""Branches of a space: made, looked at beside it, taken over into it or refused."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST

from apps.console import diffing, web
from apps.console.diffing import Line
from apps.console.pages import history
from apps.context import selectors as context
from apps.context.services import merging, tidying, versions
from apps.context.types import Resolution, Side, SpaceView
from apps.governance.types import Action
from octavo.kernel.errors import Conflict, InvalidInput, NotFound, OctavoError
from octavo.kernel.scope import Scope

_ANSWER = "side:"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Conflict:
    """A key that both sides changed: the space's text on the left, the branch's on the right."""

    key: str
    diff: list[Line]


@require_POST
@web.signed_in
def create(request: HttpRequest, scope: Scope, space: str) -> HttpResponse:
    name = web.text_of(request.POST, "branch", most=63)
    try:
        versions.create_branch(scope=scope, space=space, name=name)
    except OctavoError as refusal:
        return history.render(request, scope, space, refusal=refusal)
    return redirect("console:space", space=name)


@require_POST
@web.signed_in
def tidy(request: HttpRequest, scope: Scope, space: str) -> HttpResponse:
    """A branch in which notes that say the same are one, for a person to look at."""
    try:
        found = tidying.propose_tidying(scope=scope, space=space)
    except OctavoError as refusal:
        return history.render(request, scope, space, refusal=refusal)
    if found.branch is None:
        return history.render(request, scope, space, is_tidy=True)
    return redirect("console:merge", branch=found.branch)


@require_http_methods(["GET", "POST"])
@web.signed_in
def merge(request: HttpRequest, scope: Scope, branch: str) -> HttpResponse:
    """What the branch would bring into its space; `act` takes it over or closes it."""
    source = context.get_space(scope=scope, name=branch)
    if source.parent is None:
        raise NotFound(f"{branch!r} is no branch, so there is nothing to merge.")
    if request.method == "GET":
        return _show(request, scope, source)
    why = web.text_of(request.POST, "why", most=2000)
    try:
        if request.POST.get("act") == "close":
            merging.close_branch(scope=scope, branch=branch, why=why)
        else:
            merging.merge_branch(
                scope=scope,
                space=source.parent,
                branch=branch,
                why=why,
                resolutions=_answers(request),
            )
    except OctavoError as refusal:
        return _show(request, scope, source, refusal=refusal)
    return redirect("console:history", space=source.parent)


def _answers(request: HttpRequest) -> dict[str, Resolution]:
    """Whose text stands for each key that was in conflict."""
    given = {key: value for key, value in request.POST.items() if key.startswith(_ANSWER)}
    if not set(given.values()) <= {side.value for side in Side}:
        raise InvalidInput("For each entry in conflict, choose one of the two texts.")
    return {
        key.removeprefix(_ANSWER): Resolution(side=Side(str(value))) for key, value in given.items()
    }


def _show(
    request: HttpRequest, scope: Scope, branch: SpaceView, *, refusal: OctavoError | None = None
) -> HttpResponse:
    parent = branch.parent or ""
    preview = merging.preview_merge(scope=scope, space=parent, branch=branch.name)
    found = refusal.extra.get("conflicts", []) if isinstance(refusal, Conflict) else []
    conflicts = [
        _Conflict(key=one["key"], diff=diffing.compare(one["ours"] or "", one["theirs"] or ""))
        for one in found
    ]
    shown: dict[str, Any] = {
        "branch": branch,
        "changes": preview.changes,
        "conflicts": conflicts,
        "refusal": refusal.detail if refusal and not conflicts else "",
        "posted": request.POST,
        "may_write": web.may(scope, Action.CONTEXT_WRITE) and branch.merged_at is None,
    }
    return web.render(request, scope, "merge", shown, status=refusal.status if refusal else 200)
