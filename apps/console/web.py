"""What every page shares: who looks, what they may do, the frame around it, refusals as pages."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Concatenate, cast
from urllib.parse import quote

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect
from django.shortcuts import render as render_template
from django.views.decorators.cache import never_cache

from apps.accounts import selectors as accounts
from apps.console import navigation
from apps.governance import selectors as governance
from apps.governance.services import decisions
from apps.governance.types import Action, Resource
from octavo.kernel.errors import OctavoError
from octavo.kernel.scope import Scope

THEMES = ("system", "light", "dark")
THEME_COOKIE = "octavo_theme"


def signed_in[**P](
    page: Callable[Concatenate[HttpRequest, Scope, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """A page for somebody with a scope: strangers are sent to sign in, refusals become a page."""

    @wraps(page)
    def view(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return redirect(f"/login?next={quote(request.get_full_path())}")
        scope: Scope | None = None
        try:
            scope = scope_of(request)
            return page(request, scope, *args, **kwargs)
        except OctavoError as refusal:
            shown = {"problem": refusal}
            return render(request, scope, "problem", shown, status=refusal.status)

    return cast("Callable[Concatenate[HttpRequest, P], HttpResponseBase]", never_cache(view))


def scope_of(request: HttpRequest) -> Scope:
    """Raises `Forbidden` for somebody who is in no project."""
    return accounts.scope_for_user(user_id=cast("Any", request.user).pk)


def may(scope: Scope, action: Action) -> bool:
    """Whether to show a button: asks the policies about the project, and leaves no trace."""
    project = Resource.project_of(scope)
    return decisions.ask(scope=scope, action=action, resource=project).is_allowed


def render(
    request: HttpRequest,
    scope: Scope | None,
    template: str,
    context: Mapping[str, Any],
    *,
    status: int = 200,
) -> HttpResponse:
    """The template inside the frame; a part of a page (its name begins with `_`) without one."""
    is_part = template.rpartition("/")[2].startswith("_")
    frame = {} if is_part else _frame(request, scope)
    return render_template(request, f"console/{template}.html", {**frame, **context}, status=status)


def _frame(request: HttpRequest, scope: Scope | None) -> dict[str, Any]:
    theme = request.COOKIES.get(THEME_COOKIE, "")
    frame: dict[str, Any] = {"theme": theme if theme in THEMES[1:] else "", "themes": THEMES}
    if scope is None:
        return frame
    return {
        **frame,
        "groups": navigation.GROUPS,
        "current": navigation.find_current(request.path),
        "project": accounts.get_project(project_id=scope.project_id),
        "pending": governance.count_pending(scope=scope),
        "person": scope.principal.name,
    }


def text_of(form: QueryDict, name: str, *, most: int = 100_000) -> str:
    """A form's field as PostgreSQL can keep it."""
    return form.get(name, "").replace("\0", "").replace("\r\n", "\n").strip()[:most]


def errors_of(refusal: OctavoError) -> dict[str, str]:
    """What is wrong by field: `/limits/max_steps` stands at the field `limits-max_steps`."""
    found: dict[str, str] = {}
    for error in refusal.errors:
        name = str(error["path"]).strip("/").replace("/", "-")
        found.setdefault(name, str(error["detail"]))
        found.setdefault(name.partition("-")[0], str(error["detail"]))
    return found


def public_url() -> str:
    return str(settings.PUBLIC_URL).rstrip("/")
