"""What agents may be granted: each tool with its risk, what it takes, and where it comes from."""

from itertools import groupby

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from apps.agents import selectors as agents
from apps.console import presenting, web
from apps.tools import selectors as tools
from octavo.kernel.scope import Scope

_MOST_AGENTS = 200
RISK_TONES = {"read": "ok", "write": "run", "irreversible": "wait"}


@require_GET
@web.signed_in
def index(request: HttpRequest, scope: Scope) -> HttpResponse:
    found = sorted(tools.list_tools(scope=scope), key=lambda tool: (tool.server, tool.name))
    servers = groupby(found, key=lambda tool: tool.server)
    shown = {
        "servers": [(server, list(of_server)) for server, of_server in servers],
        "tones": RISK_TONES,
    }
    return web.render(request, scope, "tools", shown)


@require_GET
@web.signed_in
def show(request: HttpRequest, scope: Scope, name: str) -> HttpResponse:
    tool = tools.get_tool(scope=scope, name=name)
    users = [
        agent
        for agent in agents.list_agents(scope=scope, limit=_MOST_AGENTS)
        if tools.is_granted(name, agent.definition.tools)
    ]
    shown = {
        "tool": tool,
        "effect": presenting.EFFECTS[tool.risk],
        "agents": users,
        "tone": RISK_TONES[tool.risk],
    }
    return web.render(request, scope, "tool", shown)
