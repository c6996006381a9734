"""The unchanged OpenAI SDK against a real web process, whose routes lead to a scripted provider.

The process serves all tests of a module; each finds no usage, no budget and an empty script.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import openai
import psycopg
import pytest

from tests.conftest import Processes
from tests.integration.inference.upstream import Upstream, running

PROVIDER_KEY = "sk-upstream-secret-0123456789"


@dataclass(frozen=True, kw_only=True)
class Edge:
    """A web process; `upstream` answers what its routes `main`, `small` and `vectors` ask."""

    url: str
    key: str
    scope: Any
    upstream: Upstream
    database: str
    process: Any

    def sdk(self, *, key: str = "", **options: Any) -> openai.OpenAI:
        options = {"max_retries": 0, "timeout": 30} | options
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key or self.key, **options)

    def async_sdk(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            base_url=f"{self.url}/v1", api_key=self.key, max_retries=0, timeout=30
        )

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database, autocommit=True) as connection:
            found = connection.execute(sql, values)
            return found.fetchall() if found.description else []

    def usage(self) -> list[tuple[Any, ...]]:
        """Status, input tokens and output tokens of every call, oldest first."""
        return self.rows("SELECT status, input_tokens, output_tokens FROM usage ORDER BY id")


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """What the web process is started with beyond the usual; a module overrides it."""
    return {}


@pytest.fixture(scope="module")
def _edge(
    postgres: Any,
    redis_url: str,
    _empty_database: Callable[[], None],
    tmp_path_factory: pytest.TempPathFactory,
    settings: dict[str, str],
) -> Iterator[Edge]:
    from django.db import connections

    from apps.accounts.services import bootstrap_installation

    installed = bootstrap_installation(admin_email="admin@example.test")
    assert installed.issued_key is not None
    processes = Processes(tmp_path_factory.mktemp("web"))
    with running() as upstream:
        try:
            point_routes(installed.scope, upstream.url)
            web = processes.web(timeout=90, **settings)
            yield Edge(
                url=web.url,
                key=installed.issued_key.secret,
                scope=installed.scope,
                upstream=upstream,
                database=postgres.superuser_url,
                process=web,
            )
        finally:
            processes.stop_all()
            connections.close_all()
            _empty_database()


@pytest.fixture
def edge(_edge: Edge) -> Iterator[Edge]:
    """A clean slate on the module's process."""
    yield _edge
    from django.db import connections

    connections.close_all()
    _edge.rows("TRUNCATE usage, budget, budget_window, reservation")
    _edge.upstream.script.clear()
    _edge.upstream.seen.clear()
    _edge.upstream.arrived.clear()
    _edge.upstream.gone.clear()


@pytest.fixture
def sdk(edge: Edge) -> Iterator[openai.OpenAI]:
    with edge.sdk() as client:
        yield client


def point_routes(scope: Any, url: str) -> None:
    """`main`: a model with tools of its own; `small`: one without; `vectors`: two dimensions."""
    from apps.model_registry import services
    from apps.model_registry.types import ModelKind, Price, ProviderKind

    services.create_provider(
        scope=scope,
        name="lab",
        kind=ProviderKind.OPENAI_COMPATIBLE,
        base_url=url,
        api_key=PROVIDER_KEY,
    )
    price = Price(input=Decimal(2), output=Decimal(10))
    kinds: list[tuple[str, ModelKind, dict[str, Any]]] = [
        ("main", ModelKind.CHAT, {"native_tools": True}),
        ("small", ModelKind.CHAT, {"native_tools": False}),
        ("vectors", ModelKind.EMBEDDING, {"dimensions": 2}),
    ]
    for name, kind, more in kinds:
        model = f"lab-{name}"
        services.add_model(scope=scope, provider="lab", name=model, kind=kind, price=price, **more)
        services.set_route(scope=scope, name=name, kind=kind, targets=[("lab", model)])
