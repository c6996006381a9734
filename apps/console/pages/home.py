"""What needs a person now, what today has cost, and whether every layer is well."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST

from apps.agents import selectors as agents
from apps.console import presenting, web
from apps.console.health import find_default_route, layers
from apps.console.pages.costs import budget_lines
from apps.context import selectors as context
from apps.governance import selectors as governance
from apps.governance.types import Action, ApprovalStatus
from apps.model_registry.types import Tier
from apps.orchestration import selectors as runs
from apps.orchestration.types.runs import RunStatus, RunView
from apps.orchestration.types.serving import RunFilter
from octavo.kernel import clock, ids
from octavo.kernel.errors import NotFound
from octavo.kernel.scope import Scope

_RECENT, _MOST_NEEDS, _MOST_BUDGETS, _FOUND = 10, 8, 2, 8


@require_GET
@web.signed_in
def index(request: HttpRequest, scope: Scope) -> HttpResponse:
    today = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    route = find_default_route(scope)
    pending = governance.list_approvals(
        scope=scope, status=ApprovalStatus.PENDING, limit=_MOST_NEEDS
    )
    failures = RunFilter(status=RunStatus.FAILED, since=today)
    failed = runs.list_runs(scope=scope, wanted=failures, limit=_MOST_NEEDS)
    totals = runs.sum_runs(scope=scope, since=today)
    shown = {
        "asks": presenting.asks_of(scope, pending),
        "doubts": _lines(runs.list_waiting(scope=scope, kind="effect", limit=_MOST_NEEDS)),
        "failed": _lines(failed),
        "totals": totals,
        "budgets": budget_lines(scope)[:_MOST_BUDGETS],
        "failures": totals.by_status.get(RunStatus.FAILED, 0),
        "recent": _lines(runs.list_runs(scope=scope, limit=_RECENT)),
        "layers": layers(scope),
        "model": route.targets[0].model if route and route.targets else None,
        "is_starter": route is not None and route.tier is Tier.STARTER,
        "may_start": web.may(scope, Action.RUN_START),
    }
    return web.render(request, scope, "home", shown)


def _lines(found: list[RunView]) -> list[presenting.RunLine]:
    return [presenting.run_line(run) for run in found]


@require_GET
@web.signed_in
def find(request: HttpRequest, scope: Scope) -> HttpResponse:
    """What the palette lists below the pages: agents, spaces, and a run by its id."""
    words = request.GET.get("q", "").replace("\0", "").strip().lower()[:200]
    found = [
        {"name": agent.name, "href": f"/agents/{agent.name}", "kind": "agent"}
        for agent in agents.list_agents(scope=scope, limit=200)
        if words in agent.name
    ][:_FOUND]
    found += [
        {"name": space.name, "href": f"/context/{space.name}", "kind": "space"}
        for space in context.list_spaces(scope=scope, limit=200)
        if words in space.name
    ][:_FOUND]
    try:
        run = runs.get_run(scope=scope, run_id=ids.decode(ids.Kind.RUN, words))
        found.append({"name": words, "href": f"/runs/{words}", "kind": f"run of {run.subject}"})
    except NotFound:
        found += [
            {
                "name": line.question[:120],
                "href": f"/runs/{line.public_id}",
                "kind": f"run · {line.status.lower()}",
            }
            for line in _lines(
                runs.list_runs(scope=scope, wanted=RunFilter(text=words), limit=_FOUND)
            )
        ]
    return JsonResponse({"found": found})


@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Remember a theme without JavaScript; console.js sets the same cookie by itself."""
    wanted, target = request.POST.get("theme", ""), request.POST.get("next", "/")
    is_ours = url_has_allowed_host_and_scheme(target, allowed_hosts=None)
    answer = redirect(target if is_ours and target.startswith("/") else "/")
    if wanted in web.THEMES:
        answer.set_cookie(
            web.THEME_COOKIE,
            wanted,
            max_age=31536000,
            samesite="Lax",
            secure=settings.SESSION_COOKIE_SECURE,
        )
    return answer
