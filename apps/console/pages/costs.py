"""What was used, by whom and through what; and what each budget still leaves."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_POST

from apps.accounts import selectors as accounts
from apps.agents import selectors as agents
from apps.console import costing, web
from apps.governance import selectors as governance
from apps.governance.services import budgets
from apps.governance.types import Action, BudgetScope, BudgetView, Period
from apps.observability import selectors as observability
from apps.observability.types import GroupBy
from octavo.kernel import clock, ids
from octavo.kernel.errors import InvalidInput, OctavoError
from octavo.kernel.scope import Scope

SPANS = {"week": 7, "month": 30, "quarter": 90}
_MOST_SHARES, _MOST_AGENTS = 12, 200
_HIGHEST = Decimal(10**9)


@require_GET
@web.signed_in
def index(request: HttpRequest, scope: Scope) -> HttpResponse:
    return _show(request, scope)


@require_POST
@web.signed_in
def set_budget(request: HttpRequest, scope: Scope) -> HttpResponse:
    """A new limit of the project or of an agent, or another one in its place."""
    form = request.POST
    try:
        on, target = _target(scope, form.get("on", ""))
        period = form.get("period", "")
        budgets.set_limit(
            scope=scope,
            on=on,
            target_id=target,
            period=Period(period) if period in list(Period) else Period.DAY,
            limit_usd=_dollars(form.get("limit_usd", "")),
        )
    except OctavoError as refusal:
        return _show(request, scope, refusal=refusal)
    return redirect("console:costs")


@require_POST
@web.signed_in
def remove_budget(request: HttpRequest, scope: Scope, budget_id: str) -> HttpResponse:
    budgets.delete_budget(scope=scope, budget_id=ids.decode(ids.Kind.BUDGET, budget_id))
    return redirect("console:costs")


def budget_lines(scope: Scope) -> list[costing.BudgetLine]:
    """All budgets that the project falls under, the one nearest to its limit first."""
    found = governance.list_budgets(scope=scope)
    names = _budget_names(scope, found) if found else {}
    lines = [costing.budget_line(budget, names[budget.id]) for budget in found]
    return sorted(lines, key=lambda line: line.used, reverse=True)


def _show(
    request: HttpRequest, scope: Scope, *, refusal: OctavoError | None = None
) -> HttpResponse:
    span = request.GET.get("span", "")
    span = span if span in SPANS else "month"
    midnight = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    since = midnight - timedelta(days=SPANS[span] - 1)
    by_day = observability.list_usage(
        scope=scope, group_by=GroupBy.DAY, since=since, limit=SPANS[span]
    )
    shown = {
        "span": span,
        "spans": SPANS,
        "total": observability.get_usage(scope=scope, since=since),
        "failed": sum(day.failed for day in by_day),
        "chart": costing.chart(by_day, since=since.date(), days=SPANS[span]),
        "by_agent": _by_agent(scope, since),
        "by_model": _by_model(scope, since),
        "by_tool": governance.list_tool_calls(scope=scope, since=since, limit=_MOST_SHARES),
        "budgets": budget_lines(scope),
        "may_manage": web.may(scope, Action.BUDGET_MANAGE),
        "agents": [a.name for a in agents.list_agents(scope=scope, limit=_MOST_AGENTS)],
        "periods": list(Period),
        "posted": request.POST,
        "refusal": refusal.detail if refusal else "",
        "errors": web.errors_of(refusal) if refusal else {},
    }
    return web.render(request, scope, "costs", shown, status=refusal.status if refusal else 200)


def _by_agent(scope: Scope, since: datetime) -> list[costing.Share]:
    groups = observability.list_usage(
        scope=scope, group_by=GroupBy.AGENT, since=since, limit=_MOST_SHARES
    )
    known = [group.of for group in groups if isinstance(group.of, UUID)]
    names = agents.agent_names(scope=scope, agent_ids=known)
    told = {of: (names[of], f"/runs?agent={names[of]}") for of in known if of in names}
    gone = {of: ("an agent that is gone", "") for of in known if of not in names}
    return costing.shares(groups, {**told, **gone})


def _by_model(scope: Scope, since: datetime) -> list[costing.Share]:
    groups = observability.list_usage(
        scope=scope, group_by=GroupBy.MODEL, since=since, limit=_MOST_SHARES
    )
    return costing.shares(groups, {})


def _budget_names(scope: Scope, found: list[BudgetView]) -> Mapping[UUID, str]:
    """What each budget bounds, in words. A key is told by its id: its name is not everybody's."""
    ground = {kind: name for kind, (_, name) in accounts.list_ground(scope=scope).items()}
    of_agents = [budget.target_id for budget in found if budget.on is BudgetScope.AGENT]
    names = agents.agent_names(scope=scope, agent_ids=of_agents) if of_agents else {}
    told = {}
    for budget in found:
        if budget.on is BudgetScope.AGENT:
            name = names.get(budget.target_id, "that is gone")
        elif budget.on is BudgetScope.KEY:
            name = ids.encode(ids.Kind.KEY, budget.target_id)
        else:
            name = ground[budget.on]
        told[budget.id] = f"{budget.on} {name}"
    return told


def _target(scope: Scope, on: str) -> tuple[BudgetScope, UUID]:
    """`project`, or `agent:<name>`."""
    kind, _, name = on.partition(":")
    if kind == BudgetScope.AGENT:
        return BudgetScope.AGENT, agents.get_agent(scope=scope, name=name).id
    return BudgetScope.PROJECT, scope.project_id


def _dollars(text: str) -> Decimal:
    try:
        value = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        value = Decimal(-1)
    if not value.is_finite() or not 0 <= value <= _HIGHEST:
        detail = "Write US dollars as a number, such as 10 or 0.50; 0 stops all calls."
        raise InvalidInput(detail, errors=[{"path": "/limit_usd", "detail": detail}])
    return value.quantize(Decimal("0.000001"))
