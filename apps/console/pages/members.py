"""Who is in the project, with which role. An invitation is a link that works once."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts import selectors as accounts
from apps.accounts import services
from apps.accounts.types import Role
from apps.console import web
from apps.governance.types import Action
from octavo.kernel import ids
from octavo.kernel.errors import OctavoError
from octavo.kernel.scope import Scope


@require_http_methods(["GET", "POST"])
@web.signed_in
def index(request: HttpRequest, scope: Scope) -> HttpResponse:
    if request.method == "GET":
        return _show(request, scope)
    email = web.text_of(request.POST, "email", most=300)
    try:
        path = services.invite_member(scope=scope, email=email, role=_role(request))
    except OctavoError as refusal:
        return _show(request, scope, refusal=refusal)
    return _show(request, scope, invited=email, link=f"{web.public_url()}{path}")


def _show(
    request: HttpRequest,
    scope: Scope,
    *,
    invited: str = "",
    link: str = "",
    refusal: OctavoError | None = None,
) -> HttpResponse:
    shown = {
        "members": accounts.list_members(scope=scope),
        "roles": list(Role),
        "invited": invited,
        "link": link,
        "days": services.INVITATION_LIFE.days,
        "may_manage": web.may(scope, Action.MEMBER_MANAGE),
        "email": request.POST.get("email", ""),
        "me": scope.principal.id,
        "refusal": refusal.detail if refusal else "",
        "errors": web.errors_of(refusal) if refusal else {},
    }
    return web.render(request, scope, "members", shown, status=refusal.status if refusal else 200)


@require_POST
@web.signed_in
def change(request: HttpRequest, scope: Scope, member_id: str) -> HttpResponse:
    """Another role, or none at all."""
    kind = ids.Kind.SERVICE if member_id.startswith("svc_") else ids.Kind.USER
    member = ids.decode(kind, member_id)
    try:
        if request.POST.get("act") == "remove":
            services.remove_member(scope=scope, member_id=member)
        else:
            services.set_role(scope=scope, member_id=member, role=_role(request))
    except OctavoError as refusal:
        return _show(request, scope, refusal=refusal)
    return redirect("console:members")


def _role(request: HttpRequest) -> Role:
    role = request.POST.get("role", "")
    return Role(role) if role in list(Role) else Role.VIEWER
