"""How the queue of runs stands: what waits and for how long, who works, what is late."""

from datetime import datetime, timedelta

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_POST

from apps.agents import selectors as agents
from apps.console import formatting, web
from apps.governance.types import Action
from apps.model_registry import selectors as models
from apps.orchestration import selectors as runs
from apps.orchestration.services import limiting
from apps.orchestration.types.runs import RunStatus
from apps.orchestration.types.serving import LimitKind, RunsHealth
from octavo.kernel import clock
from octavo.kernel.errors import OctavoError
from octavo.kernel.scope import Scope

_ENDED = (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.QUARANTINED)
_LATE = timedelta(minutes=3)
_MOST = 200
_DAILY = ("spent keys", "spent sign-ins")


@require_GET
@web.signed_in
def index(request: HttpRequest, scope: Scope) -> HttpResponse:
    return _show(request, scope)


@require_POST
@web.signed_in
def set_limit(request: HttpRequest, scope: Scope) -> HttpResponse:
    """A new limit of the project, an agent or a route, or another one in its place."""
    kind, target = _limited(request.POST)
    most = web.text_of(request.POST, "most", most=6)
    try:
        limiting.set_limit(
            scope=scope,
            kind=kind,
            target=target,
            most=int(most) if most.isascii() and most.isdigit() else 0,
        )
    except OctavoError as refusal:
        return _show(request, scope, refusal=refusal)
    return redirect("console:queue")


@require_POST
@web.signed_in
def remove_limit(request: HttpRequest, scope: Scope) -> HttpResponse:
    kind, target = _limited(request.POST)
    limiting.remove_limit(scope=scope, kind=kind, target=target)
    return redirect("console:queue")


def _limited(form: QueryDict) -> tuple[LimitKind, str]:
    """What `kind:target` names; the project where it names nothing."""
    kind, _, target = web.text_of(form, "on", most=220).partition(":")
    return (LimitKind(kind), target) if kind in list(LimitKind) else (LimitKind.PROJECT, "")


def _show(
    request: HttpRequest, scope: Scope, *, refusal: OctavoError | None = None
) -> HttpResponse:
    health = runs.get_health(scope=scope)
    recent = health.last_hour
    shown = {
        "health": health,
        "states": [(name.title(), name, state) for name, state in health.states.items()],
        "began": sum(recent.values()),
        "ended": sum(recent.get(status, 0) for status in _ENDED),
        "failed": recent.get(RunStatus.FAILED, 0),
        "outbox_oldest": formatting.duration(timedelta(seconds=health.outbox_oldest_seconds)),
        "duties": _duties(health),
        "limits": runs.list_limits(scope=scope),
        "targets": _targets(scope),
        "may_manage": web.may(scope, Action.BUDGET_MANAGE),
        "has_worker": any(worker.is_alive for worker in health.workers),
        "posted": request.POST,
        "refusal": refusal.detail if refusal else "",
        "errors": web.errors_of(refusal) if refusal else {},
    }
    return web.render(request, scope, "queue", shown, status=refusal.status if refusal else 200)


def _targets(scope: Scope) -> list[tuple[str, str]]:
    """What a limit may count the runs of besides the project, with its title."""
    found = [("agent", agent.name) for agent in agents.list_agents(scope=scope, limit=_MOST)]
    found += [("route", route.name) for route in models.list_routes(scope=scope)]
    return [(f"{kind}:{name}", f"{kind} {name}") for kind, name in found]


def _duties(health: RunsHealth) -> list[tuple[str, datetime, bool]]:
    """Each duty with the last time that any worker did it, and whether that is long ago."""
    last: dict[str, datetime] = {}
    for worker in health.workers:
        for name, at in worker.duties.items():
            last[name] = max(at, last.get(name, at))
    soon = clock.now() - _LATE
    return [(name, at, at < soon and name not in _DAILY) for name, at in sorted(last.items())]
