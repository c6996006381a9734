"""API keys and the services they stand for. A secret is on one page, once."""

from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts import selectors as accounts
from apps.accounts import services
from apps.accounts.types import IssuedKey, Role
from apps.console import web
from apps.governance.types import Action
from octavo.kernel import clock, ids
from octavo.kernel.errors import NotFound, OctavoError
from octavo.kernel.scope import Principal, PrincipalKind, Scope

_MOST = 200
_LIVES = {"": None, "30": timedelta(days=30), "90": timedelta(days=90), "365": timedelta(days=365)}
_PURPOSES = {
    "everything": ("*",),
    "run": ("run.start", "run.read"),
    "models": ("model.call",),
    "context": ("context.*",),
}


@require_http_methods(["GET", "POST"])
@web.signed_in
def index(request: HttpRequest, scope: Scope) -> HttpResponse:
    if request.method == "GET":
        return _show(request, scope)
    try:
        issued = services.issue_key(
            scope=scope,
            name=web.text_of(request.POST, "name", most=300),
            principal=_principal(scope, request.POST.get("owner", "")),
            scopes=_scopes(request),
            expires_at=_expiry(request),
        )
    except OctavoError as refusal:
        return _show(request, scope, refusal=refusal)
    return _show(request, scope, issued=issued)


def _show(
    request: HttpRequest,
    scope: Scope,
    *,
    issued: IssuedKey | None = None,
    refusal: OctavoError | None = None,
) -> HttpResponse:
    keys = accounts.list_keys(scope=scope, limit=_MOST)
    shown: dict[str, Any] = {
        "keys": [(ids.encode(ids.Kind.KEY, key.id), key) for key in keys],
        "services": _services(scope),
        "issued": issued,
        "actions": list(Action),
        "roles": list(Role),
        "posted": request.POST,
        "purpose": request.POST.get("purpose") or request.GET.get("for") or "everything",
        "now": clock.now(),
        "refusal": refusal.detail if refusal else "",
        "errors": web.errors_of(refusal) if refusal else {},
    }
    return web.render(request, scope, "keys", shown, status=refusal.status if refusal else 200)


@require_POST
@web.signed_in
def revoke(request: HttpRequest, scope: Scope, key_id: str) -> HttpResponse:
    services.revoke_key(scope=scope, key_id=ids.decode(ids.Kind.KEY, key_id))
    return redirect("console:keys")


@require_POST
@web.signed_in
def create_service(request: HttpRequest, scope: Scope) -> HttpResponse:
    role = request.POST.get("role", "")
    try:
        services.create_service(
            scope=scope,
            name=web.text_of(request.POST, "name", most=300),
            role=Role(role) if role in list(Role) else Role.MEMBER,
        )
    except OctavoError as refusal:
        return _show(request, scope, refusal=refusal)
    return redirect("console:keys")


def _services(scope: Scope) -> list[Principal]:
    members = accounts.list_members(scope=scope)
    return [m.principal for m in members if m.principal.kind is PrincipalKind.SERVICE]


def _principal(scope: Scope, owner: str) -> Principal | None:
    """Whom the key stands for: None is whoever asks."""
    if not owner:
        return None
    for service in _services(scope):
        if service.public_id == owner:
            return service
    raise NotFound("There is no such service in this project. Reload the page.")


def _scopes(request: HttpRequest) -> tuple[str, ...]:
    purpose = request.POST.get("purpose", "")
    return _PURPOSES.get(purpose) or tuple(request.POST.getlist("scopes"))


def _expiry(request: HttpRequest) -> datetime | None:
    life = _LIVES.get(request.POST.get("life", ""))
    return clock.now() + life if life else None
