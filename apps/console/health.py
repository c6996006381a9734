"""Whether each layer can do its work, in the order of the stack, from what pages may ask."""

import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

import redis
from django.conf import settings

from apps.agents import selectors as agents
from apps.context import selectors as context
from apps.model_registry import selectors as models
from apps.model_registry.types import RouteView
from apps.orchestration import selectors as runs
from apps.tools import selectors as tools
from octavo.kernel.errors import NotFound
from octavo.kernel.redis import client
from octavo.kernel.scope import Scope

_PROBE_SECONDS = 0.2
_MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """`tone` is that of a status dot; `state` says in words what it means."""

    layer: str
    path: str
    tone: str
    state: str


def layers(scope: Scope) -> list[Health]:
    ready = runs.count_ready()
    route = find_default_route(scope)
    spaces = context.list_spaces(scope=scope, limit=_MOST)
    has_model = route is not None and bool(route.targets)
    chunks = sum(space.chunks for space in spaces)
    named = len(agents.list_agents(scope=scope, limit=_MOST))
    return [
        _said("Orchestration", "/runs", ready < 100, f"{ready:,} runs queued"),
        _said("Agents", "/agents", True, f"{named} agent{'' if named == 1 else 's'}"),
        _said("Context", "/context", True, f"{len(spaces)} spaces · {chunks:,} chunks"),
        _said("Tools", "/tools", True, f"{len(tools.list_tools(scope=scope))} tools"),
        _said("Models", "/models", has_model, _model_state(has_model)),
        _said("Live updates", "/", *_redis_state()),
    ]


def find_default_route(scope: Scope) -> RouteView | None:
    """The route that agents use unless they name one; None before the first start is complete."""
    try:
        return models.get_route(scope=scope, name="default")
    except NotFound:
        return None


def _said(layer: str, path: str, is_well: bool, state: str) -> Health:
    return Health(layer=layer, path=path, tone="ok" if is_well else "wait", state=state)


def _model_state(has_model: bool) -> str:
    if not has_model:
        return "no model yet"
    return "ready" if _listens() else "ready · built-in server away"


def _listens() -> bool:
    address = urlsplit(settings.MODEL_SERVER_URL)
    place = (address.hostname or "127.0.0.1", address.port or 80)
    try:
        with socket.create_connection(place, timeout=_PROBE_SECONDS):
            return True
    except OSError:
        return False


def _redis_state() -> tuple[bool, str]:
    try:
        client().ping()
    except redis.RedisError:
        return False, "Redis is away: pages poll"
    return True, "at once"
