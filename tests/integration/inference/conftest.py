"""A fresh installation, a scripted model server, and a route that leads to it."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.integration.inference.upstream import Upstream, running

SECRET = "sk-upstream-secret-0123456789"


@pytest.fixture
def scope(installation: Any) -> Any:
    return installation.scope


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running() as server:
        yield server


@pytest.fixture
def point(scope: Any) -> Callable[..., Any]:
    """`point(upstream, name="a")` registers a provider and a chat model on it."""
    from apps.model_registry import services
    from apps.model_registry.types import ModelKind, Price, ProviderKind

    def register(
        upstream: Upstream | str,
        *,
        name: str = "remote",
        native_tools: bool = True,
        kind: ModelKind = ModelKind.CHAT,
        price: Price = Price(input=Decimal(2), output=Decimal(10)),  # noqa: B008  a frozen value
        api_key: str = SECRET,
    ) -> tuple[str, str]:
        address = upstream if isinstance(upstream, str) else upstream.url
        services.create_provider(
            scope=scope,
            name=name,
            kind=ProviderKind.OPENAI_COMPATIBLE,
            base_url=address,
            api_key=api_key,
        )
        services.add_model(
            scope=scope,
            provider=name,
            name=f"{name}-model",
            kind=kind,
            native_tools=native_tools,
            price=price,
        )
        return name, f"{name}-model"

    return register


@pytest.fixture
def chat_route(scope: Any, upstream: Upstream, point: Callable[..., Any]) -> str:
    """Route `main` to one model on the scripted upstream: 2 USD in, 10 USD out a million tokens."""
    from apps.model_registry import services
    from apps.model_registry.types import ModelKind

    services.set_route(scope=scope, name="main", kind=ModelKind.CHAT, targets=[point(upstream)])
    return "main"
