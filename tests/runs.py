"""What tests of runs share: agents on a scripted model, and waiting for what the journal shows."""

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from apps.accounts import services as accounts
from apps.accounts.types import Role
from apps.agents.services import definitions
from apps.agents.types import AgentView, Definition, Strategy
from apps.model_registry import services as model_registry
from apps.model_registry.types import ModelKind, ProviderKind, Tier
from apps.orchestration import selectors
from apps.orchestration.services import engine, starting
from apps.orchestration.types.runs import EventType, EventView, RunView
from octavo.kernel.scope import Scope
from tests import toolbox
from tests.upstreams.chat import ScriptedChat, scripted_chat


def prepare_toolbox(folder: Path, superuser_url: str) -> None:
    """Let the test tools leave their trail in `folder`, and give them their table."""
    os.environ[toolbox.FOLDER] = str(folder)
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS toolbox_count (run_id uuid, step text)")
        connection.execute("TRUNCATE toolbox_count")
        connection.execute("GRANT SELECT, INSERT ON toolbox_count TO octavo_app")
    toolbox.register()


def route_to(scope: Scope, base_url: str, *, name: str = "default") -> None:
    """A chat route to an OpenAI-compatible upstream whose model has native tool calls."""
    model_registry.create_provider(
        scope=scope, name="scripted", kind=ProviderKind.OPENAI_COMPATIBLE, base_url=base_url
    )
    model_registry.add_model(
        scope=scope,
        provider="scripted",
        name="scripted",
        kind=ModelKind.CHAT,
        tier=Tier.STANDARD,
        context_window=32_000,
        native_tools=True,
    )
    model_registry.set_route(
        scope=scope, name=name, kind=ModelKind.CHAT, targets=[("scripted", "scripted")]
    )


def save(scope: Scope, name: str = "worker-bee", **fields: Any) -> AgentView:
    values: dict[str, Any] = {
        "instructions": "Follow the script.",
        "tools": ("box_*",),
        "strategy": Strategy.TOOLS,
        **fields,
    }
    definition = Definition(**values)
    return definitions.save_agent(scope=scope, name=name, definition=definition, create=True)


def save_again(scope: Scope, name: str = "worker-bee") -> AgentView:
    """A newer version than the one that runs have so far."""
    definition = Definition(instructions="Otherwise.", tools=("box_*",), strategy=Strategy.TOOLS)
    return definitions.save_agent(scope=scope, name=name, definition=definition, create=False)


def start(scope: Scope, agent: str = "worker-bee", **script: Any) -> RunView:
    return starting.start_run(scope=scope, agent=agent, input=json.dumps(script))


def advance(scope: Scope, run_id: UUID) -> RunView:
    """One activation, in this process."""
    engine.advance(run_id=str(run_id))
    return selectors.get_run(scope=scope, run_id=run_id)


def events(scope: Scope, run_id: UUID) -> list[EventView]:
    return selectors.list_events(scope=scope, run_id=run_id, limit=10_000)


def types(scope: Scope, run_id: UUID) -> list[EventType]:
    return [event.type for event in events(scope, run_id)]


def eventually(condition: Callable[[], object], *, within: float = 20.0, what: str = "") -> None:
    """Poll until `condition` holds; fails after `within` seconds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, what or "the condition did not come true in time"
        time.sleep(0.05)


def robot_of(scope: Scope) -> Scope:
    """A service in the scope's project, whose approvals the scope's own person may give."""
    service = accounts.create_service(scope=scope, name="robot", role=Role.MEMBER)
    return replace(scope, principal=service)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """An installation whose `default` route is a scripted model, with the test tools registered."""

    scope: Scope
    chat: ScriptedChat
    superuser_url: str

    def rows(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.superuser_url, autocommit=True) as connection:
            return connection.execute(sql, parameters).fetchall()


def bench_on(scope: Scope, superuser_url: str, folder: Path) -> Iterator[Bench]:
    """The body of the `bench` fixture."""
    prepare_toolbox(folder, superuser_url)
    with scripted_chat() as chat:
        route_to(scope, chat.base_url)
        yield Bench(scope=scope, chat=chat, superuser_url=superuser_url)
