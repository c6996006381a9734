"""The list of runs. Every filter is part of the address; new runs are announced, not pushed in."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_http_methods

from apps.agents import selectors as agents
from apps.console import presenting, web
from apps.console.facets import SPANS, STATUSES, Facets
from apps.governance.types import Action
from apps.orchestration import selectors as runs
from apps.orchestration.services import starting
from apps.orchestration.types.runs import RunView
from octavo.kernel import ids
from octavo.kernel.errors import NotFound, OctavoError
from octavo.kernel.scope import Scope

PAGE = 50
MOST_FRESH = 100


@require_GET
@web.signed_in
def index(request: HttpRequest, scope: Scope) -> HttpResponse:
    facets = Facets.of(request.GET)
    found = _find(scope, facets, limit=PAGE + 1, before=_cursor(request, "before"))
    page = found[:PAGE]
    shown: Mapping[str, Any] = {
        "facets": facets,
        "statuses": STATUSES,
        "spans": SPANS,
        "agents": [agent.name for agent in agents.list_agents(scope=scope, limit=200)],
        "workflows": [flow.name for flow in runs.list_workflows(scope=scope, limit=200)],
        "is_filtered": bool(facets.address()),
        "is_first": "before" not in request.GET,
        "next": facets.address(before=_public(page[-1])) if len(found) > PAGE else "",
        "may_start": web.may(scope, Action.RUN_START),
        "may_control": web.may(scope, Action.RUN_CONTROL),
        **_list(facets, page),
    }
    return web.render(request, scope, "runs", shown)


@require_GET
@web.signed_in
def fresh(request: HttpRequest, scope: Scope) -> HttpResponse:
    """What changed since the list was drawn: how many runs are new, and those that went on."""
    facets = Facets.of(request.GET)
    newest = _cursor(request, "after")
    new = _find(scope, facets, limit=MOST_FRESH, after=newest) if newest else []
    moving = [_decoded(name) for name in request.GET.get("moving", "").split(",")[:PAGE]]
    changed = runs.list_runs_of(scope=scope, run_ids=[run_id for run_id in moving if run_id])
    still = [run for run in changed if not run.status.is_final]
    shown = {
        "facets": facets,
        "new": len(new),
        "most": MOST_FRESH,
        "runs": [presenting.run_line(run) for run in changed],
        "fresh": _fresh_address(facets, request.GET.get("after", ""), still),
    }
    return web.render(request, scope, "_fresh", shown)


@require_http_methods(["GET", "POST"])
@web.signed_in
def ask(request: HttpRequest, scope: Scope) -> HttpResponse:
    """Start a run from a form: on its page when it worked, back with the refusal when not."""
    names = [agent.name for agent in agents.list_agents(scope=scope, limit=200)]
    if request.method == "GET":
        asked = request.GET.get("agent", "guide")
        return web.render(request, scope, "ask", {"agent": asked, "agents": names})
    question = web.text_of(request.POST, "question")
    agent = web.text_of(request.POST, "agent", most=200) or "guide"
    try:
        run = starting.start_run(scope=scope, agent=agent, input=question)
    except OctavoError as refusal:
        shown = {"agent": agent, "agents": names, "question": question}
        shown["refusal"] = refusal.detail
        if refusal.status == 422 and not question:
            shown["refusal"] = "Write a question first."
        return web.render(request, scope, "ask", shown, status=refusal.status)
    return redirect("console:run", run_id=_public(run))


def _find(scope: Scope, facets: Facets, *, limit: int, **window: UUID | None) -> list[RunView]:
    return runs.list_runs(scope=scope, wanted=facets.wanted, limit=limit, **window)


def _list(facets: Facets, page: list[RunView]) -> dict[str, Any]:
    newest = _public(page[0]) if page else ""
    moving = [run for run in page if not run.status.is_final]
    return {
        "runs": [presenting.run_line(run) for run in page],
        "fresh": _fresh_address(facets, newest, moving),
    }


def _fresh_address(facets: Facets, newest: str, moving: list[RunView]) -> str:
    return facets.address(after=newest, moving=",".join(map(_public, moving)))


def _public(run: RunView) -> str:
    return ids.encode(ids.Kind.RUN, run.id)


def _cursor(request: HttpRequest, name: str) -> UUID | None:
    return _decoded(request.GET.get(name, ""))


def _decoded(text: str) -> UUID | None:
    try:
        return ids.decode(ids.Kind.RUN, text)
    except NotFound:
        return None
