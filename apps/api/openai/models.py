"""`GET /v1/models`: the routes that the caller may call, each a model to its SDK."""

from typing import Any
from urllib.parse import unquote

from apps.accounts import services as accounts
from apps.api.authentication import bearer
from apps.api.openai.wire import Exchange, json_bytes
from apps.model_registry import selectors as registry
from apps.model_registry.types import RouteView
from octavo.kernel import io
from octavo.kernel.errors import NotFound

PREFIX = "/v1/models/"


async def list_models(exchange: Exchange) -> None:
    routes = await io.db(_routes, _secret(exchange))
    data = [_model(route) for route in routes]
    await exchange.answer(json_bytes({"object": "list", "data": data}))


async def get_model(exchange: Exchange) -> None:
    name = unquote(exchange.path.removeprefix(PREFIX))
    routes = await io.db(_routes, _secret(exchange))
    for route in routes:
        if route.name == name:
            await exchange.answer(json_bytes(_model(route)))
            return
    known = ", ".join(route.name for route in routes) or "none"
    raise NotFound(f"There is no model {name!r} that you may call. Models: {known}.")


def _secret(exchange: Exchange) -> str:
    """Clients of other vendors' protocols ask here too, with their own header."""
    return exchange.header(b"x-api-key") or bearer(exchange.header(b"authorization"))


def _routes(secret: str) -> list[RouteView]:
    return registry.list_callable_routes(scope=accounts.authenticate_key(secret=secret))


def _model(route: RouteView) -> dict[str, Any]:
    return {
        "id": route.name,
        "object": "model",
        "created": int(route.updated_at.timestamp()),
        "owned_by": "octavo",
    }
