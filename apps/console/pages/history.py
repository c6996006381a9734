"""A space through time: its changes, named moments, how it stood then, and the way back to it."""

from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_POST

from apps.console import web
from apps.context import selectors as context
from apps.context.services import versions
from apps.governance.types import Action
from octavo.kernel.errors import InvalidInput, OctavoError
from octavo.kernel.scope import Scope

_MOST, PAGE = 100, 30


@require_GET
@web.signed_in
def show(request: HttpRequest, scope: Scope, space: str) -> HttpResponse:
    """`?to=41` or `?to=reviewed-may` shows what going back there would change; `?before=41` the
    changes before that one.
    """
    return render(
        request, scope, space, to=request.GET.get("to", "").replace("\0", "").strip()[:63]
    )


@require_POST
@web.signed_in
def take_snapshot(request: HttpRequest, scope: Scope, space: str) -> HttpResponse:
    name = web.text_of(request.POST, "name", most=63)
    try:
        versions.take_snapshot(scope=scope, space=space, name=name)
    except OctavoError as refusal:
        return render(request, scope, space, refusal=refusal)
    return redirect("console:history", space=space)


@require_POST
@web.signed_in
def delete_snapshot(request: HttpRequest, scope: Scope, space: str) -> HttpResponse:
    """Forgets the name; the history that it named stays."""
    name = web.text_of(request.POST, "name", most=63)
    versions.delete_snapshot(scope=scope, space=space, name=name)
    return redirect("console:history", space=space)


@require_POST
@web.signed_in
def roll_back(request: HttpRequest, scope: Scope, space: str) -> HttpResponse:
    to = web.text_of(request.POST, "to", most=63)
    try:
        why = web.text_of(request.POST, "why", most=2000)
        versions.roll_back(scope=scope, space=space, to=target_of(to), why=why)
    except OctavoError as refusal:
        return render(request, scope, space, to=to, refusal=refusal)
    return redirect("console:history", space=space)


def target_of(text: str) -> int | str:
    """A sequence number, or else the name of a snapshot."""
    return int(text) if _is_number(text) else text


def moment_of(text: str) -> int | datetime | None:
    """A sequence number or a time as browsers write it, in UTC; None for now."""
    if not text:
        return None
    if _is_number(text):
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"{text[:60]!r} is no moment of a space: give a sequence number, or a time such as "
            "2026-01-31T12:00."
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def stood_of(moment: int | datetime | None) -> str:
    """The moment in words, "" for now."""
    if moment is None:
        return ""
    is_time = isinstance(moment, datetime)
    return f"at {moment:%Y-%m-%d %H:%M} UTC" if is_time else f"after change {moment}"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 16


def render(
    request: HttpRequest,
    scope: Scope,
    space: str,
    *,
    to: str = "",
    refusal: OctavoError | None = None,
    is_tidy: bool = False,
) -> HttpResponse:
    """The page; `is_tidy` says that somebody asked to tidy up and there was nothing to do."""
    before = request.GET.get("before", "")
    changes = context.list_changes(
        scope=scope, space=space, limit=PAGE + 1, before=int(before) if _is_number(before) else None
    )
    shown: dict[str, Any] = {
        "changes": changes[:PAGE],
        "older": changes[PAGE - 1].revision.seq if len(changes) > PAGE else None,
        "space": context.get_space(scope=scope, name=space),
        "snapshots": context.list_snapshots(scope=scope, space=space, limit=_MOST),
        "branches": context.list_branches(scope=scope, space=space, limit=_MOST),
        "may_write": web.may(scope, Action.CONTEXT_WRITE),
        "may_branch": web.may(scope, Action.SPACE_MANAGE),
        "is_tidy": is_tidy,
        "to": to,
        "preview": None,
        "posted": request.POST,
    }
    if to:
        try:
            shown["preview"] = versions.preview_rollback(scope=scope, space=space, to=target_of(to))
        except OctavoError as unknown:
            refusal = refusal or unknown
    shown["refusal"] = refusal.detail if refusal else ""
    return web.render(request, scope, "history", shown, status=refusal.status if refusal else 200)
