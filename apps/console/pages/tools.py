"""What agents may be granted: each tool with its risk, and a person's word about it."""

from datetime import timedelta
from itertools import groupby
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_POST

from apps.agents import selectors as agents
from apps.console import diffing, presenting, web
from apps.governance.types import Action
from apps.tools import selectors as tools
from apps.tools.services import reviewing
from apps.tools.types import (
    Classes,
    Definition,
    Effect,
    Risk,
    ToolReview,
    ToolState,
    Transport,
    Trust,
)
from octavo.kernel.errors import InvalidInput, OctavoError
from octavo.kernel.scope import Scope

_MOST_AGENTS = 200
_LONGEST = timedelta(hours=1)
RISK_TONES = {"read": "ok", "write": "run", "irreversible": "wait"}
STATE_TONES = {"approved": "ok", "pending": "wait", "quarantined": "bad"}
_HEALTH_TONES = {"healthy": "ok", "failing": "bad"}
_EFFECTS = [effect for effect in Effect if effect is not Effect.SAME_DATABASE]


@require_GET
@web.signed_in
def index(request: HttpRequest, scope: Scope) -> HttpResponse:
    return render_index(request, scope)


def render_index(
    request: HttpRequest, scope: Scope, *, refusal: OctavoError | None = None, at: str = ""
) -> HttpResponse:
    """`at` names the server that a refused act was about; "" is the form for a new one."""
    found = sorted(tools.list_tools(scope=scope), key=lambda tool: (tool.server, tool.name))
    may_manage = web.may(scope, Action.TOOL_MANAGE)
    shown = {
        "groups_of_tools": [
            (server, list(of_server)) for server, of_server in groupby(found, lambda t: t.server)
        ],
        "servers": tools.list_servers(scope=scope) if may_manage else (),
        "may_manage": may_manage,
        "transports": list(Transport),
        "tones": RISK_TONES,
        "states": STATE_TONES,
        "healths": _HEALTH_TONES,
        "posted": request.POST,
        "refusal": refusal.detail if refusal else "",
        "errors": web.errors_of(refusal) if refusal else {},
        "refused_at": at,
    }
    return web.render(request, scope, "tools", shown, status=refusal.status if refusal else 200)


@require_GET
@web.signed_in
def show(request: HttpRequest, scope: Scope, name: str) -> HttpResponse:
    return _show(request, scope, name)


@require_POST
@web.signed_in
def review(request: HttpRequest, scope: Scope, name: str) -> HttpResponse:
    """Approve the tool as it was looked at, or withdraw it."""
    try:
        if request.POST.get("act") == "withdraw":
            why = web.text_of(request.POST, "why", most=2000)
            reviewing.quarantine(scope=scope, name=name, why=why or "Withdrawn in the console.")
        else:
            reviewing.approve_definition(
                scope=scope,
                name=name,
                classes=_classes(request),
                definition_hash=web.text_of(request.POST, "definition_hash", most=64),
            )
    except OctavoError as refusal:
        return _show(request, scope, name, refusal=refusal)
    return redirect("console:tool", name=name)


def _show(
    request: HttpRequest, scope: Scope, name: str, *, refusal: OctavoError | None = None
) -> HttpResponse:
    found = tools.get_review(scope=scope, name=name)
    tool = found.tool
    users = [
        agent
        for agent in agents.list_agents(scope=scope, limit=_MOST_AGENTS)
        if tools.is_granted(name, agent.definition.tools)
    ]
    shown = {
        "review": found,
        "tool": tool,
        "drift": _drift(found),
        "warnings": found.seen.warnings if found.seen else tool.warnings,
        "hash": found.seen.hash if found.seen else tool.definition_hash,
        "effect": presenting.EFFECTS[tool.risk],
        "agents": users,
        "tone": RISK_TONES[tool.risk],
        "state_tone": STATE_TONES[tool.state],
        "may_review": tool.is_remote and web.may(scope, Action.TOOL_MANAGE),
        "is_approved": tool.state is ToolState.APPROVED,
        "risks": presenting.EFFECTS,
        "effects": _EFFECTS,
        "trusts": list(Trust),
        "timeout": int(tool.timeout.total_seconds()),
        "refusal": refusal.detail if refusal else "",
    }
    return web.render(request, scope, "tool", shown, status=refusal.status if refusal else 200)


def _classes(request: HttpRequest) -> Classes:
    form = request.POST
    try:
        return Classes(
            risk=Risk(form.get("risk", "")),
            egress=form.get("egress") == "yes",
            effect=Effect(form.get("effect", "")),
            trust=Trust(form.get("trust", "")),
            timeout=_timeout(form.get("timeout", "")),
        )
    except ValueError:
        raise InvalidInput("Choose a risk, an effect and a trust for the tool.") from None


def _timeout(text: str) -> timedelta:
    seconds = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    if not 1 <= seconds <= _LONGEST.total_seconds():
        raise InvalidInput(
            f"A call may take 1 to {_LONGEST.total_seconds():.0f} seconds: write a whole number."
        )
    return timedelta(seconds=seconds)


def _drift(found: ToolReview) -> list[diffing.Line] | None:
    """What was approved beside what the server shows now; None while they are the same."""
    if found.pinned is None or found.seen is None:
        return None
    return diffing.compare(_told(found.pinned), _told(found.seen))


def _told(definition: Definition) -> str:
    """All of a definition that a model or a person is shown, as lines."""
    parts: dict[str, Any] = {
        "title": definition.title,
        "takes": definition.input_schema,
        "gives": definition.output_schema,
        "claims": definition.annotations,
    }
    shown = [f"{name}: {presenting.as_json(value)}" for name, value in parts.items() if value]
    return "\n".join([definition.description, "", *shown])
