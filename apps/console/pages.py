"""The console's pages. Everything shown or done goes through the same services as the API."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, cast
from urllib.parse import quote

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from apps.accounts import selectors as accounts
from apps.console import presenting
from apps.context import selectors as context
from apps.model_registry import selectors as models
from apps.model_registry.types import RouteView, Tier
from apps.orchestration import selectors as runs
from apps.orchestration.services import control, starting
from octavo.kernel import ids
from octavo.kernel.errors import NotFound, OctavoError
from octavo.kernel.scope import Scope

AGENT = "guide"
RECENT = 20
_MAX_QUESTION = 8000


def signed_in[**P](
    page: Callable[Concatenate[HttpRequest, Scope, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """A page for somebody with a scope: strangers are sent to sign in, refusals become a page."""

    @wraps(page)
    def view(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if not request.user.is_authenticated:
            return redirect(f"/login?next={quote(request.get_full_path())}")
        try:
            scope = accounts.scope_for_user(user_id=request.user.pk)
            return page(request, scope, *args, **kwargs)
        except OctavoError as refusal:
            shown = {"problem": refusal}
            return render(request, "console/problem.html", shown, status=refusal.status)

    return cast("Callable[Concatenate[HttpRequest, P], HttpResponse]", never_cache(view))


@require_GET
@signed_in
def home(request: HttpRequest, scope: Scope) -> HttpResponse:
    return render(request, "console/home.html", _home(scope))


def _home(scope: Scope) -> dict[str, Any]:
    route = _default_route(scope)
    target = route.targets[0] if route and route.targets else None
    recent = runs.list_runs(scope=scope, limit=RECENT, before=None)
    return {
        "agent": AGENT,
        "model": target.model if target else None,
        "is_starter": route is not None and route.tier is Tier.STARTER,
        "runs": [presenting.run_line(run) for run in recent],
        "spaces": context.list_spaces(scope=scope, limit=RECENT, before=None),
    }


def _default_route(scope: Scope) -> RouteView | None:
    try:
        return models.get_route(scope=scope, name="default")
    except NotFound:
        return None


@require_POST
@signed_in
def ask(request: HttpRequest, scope: Scope) -> HttpResponse:
    question = request.POST.get("question", "").replace("\0", "").strip()[:_MAX_QUESTION]
    if not question:
        page = {**_home(scope), "refusal": "Write a question first."}
        return render(request, "console/home.html", page, status=422)
    run = starting.start_run(scope=scope, agent=AGENT, input=question)
    return redirect("console:run", run_id=ids.encode(ids.Kind.RUN, run.id))


@require_GET
@signed_in
def run(request: HttpRequest, scope: Scope, run_id: str) -> HttpResponse:
    return render(request, "console/run.html", _run(scope, run_id))


@require_GET
@signed_in
def steps(request: HttpRequest, scope: Scope, run_id: str) -> HttpResponse:
    """The changing part of the run page: the very partial that the page itself includes."""
    return render(request, "console/_run.html", _run(scope, run_id))


def _run(scope: Scope, run_id: str) -> dict[str, Any]:
    found = runs.get_run(scope=scope, run_id=ids.decode(ids.Kind.RUN, run_id))
    _, spans = runs.get_trace(scope=scope, trace_id=found.trace_id)
    output = found.output or {}
    return {
        "run": presenting.run_line(found),
        "steps": presenting.step_lines(spans),
        "ticks": presenting.ticks(spans),
        "answer": output.get("text"),
        "citations": output.get("citations", ()),
        "failure": found.error,
    }


@require_POST
@signed_in
def cancel(request: HttpRequest, scope: Scope, run_id: str) -> HttpResponse:
    control.cancel_run(scope=scope, run_id=ids.decode(ids.Kind.RUN, run_id))
    return redirect("console:run", run_id=run_id)
