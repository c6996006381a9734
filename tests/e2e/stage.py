"""A running Octavo with something to show: real processes, a handbook, agents, a pending refund."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from apps.accounts import services as accounts
from apps.agents.services import definitions
from apps.agents.types import Definition, SpaceGrant, Strategy
from apps.console import seeding
from apps.context.services import spaces, versions, writing
from apps.governance import selectors as governance
from apps.governance.types import ApprovalStatus
from apps.inference.services import discovery
from apps.model_registry import services as models
from apps.model_registry.types import ModelKind, Price, ProviderKind, Tier
from apps.orchestration import selectors as orchestration
from apps.orchestration.services import (
    hooks,
    reacting,
    scheduling,
    starting,
    workflow_runs,
    workflows,
)
from apps.orchestration.types.runs import RunStatus
from apps.orchestration.types.triggers import EventSettings, TriggerEvent
from apps.tools.services import servers
from apps.tools.types import ServerSpec, Transport
from octavo.kernel import ids
from octavo.kernel.scope import Scope
from tests.e2e import shop
from tests.runs import eventually
from tests.upstreams.chat import scripted_chat

SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.e2e.settings"}
ROOT = Path(__file__).resolve().parents[2]
POLICY_PAGE = """# Refunds

An order that arrives damaged is refunded in full when the customer sends a photo.

## Who may refund

Refunds above $100 need the word of a second person. Money that was paid back cannot be taken back.
"""
COMPLAINT = "Order A-1042 arrived damaged, there is a photo. What can we do for the customer?"
REFUND = {
    "calls": [
        ["orders_lookup", {"order": "A-1042"}],
        ["risk_score", {"customer": "cus_9x"}],
        [
            "refund_issue",
            {"charge": "ch_3Pq81K", "amount": 480, "currency": "usd", "reason": "damaged"},
        ],
    ],
    "answer": "Order A-1042 arrived damaged, so I paid back $480.00 as the refund rules say.",
    "delay": 0.4,
}

BRIEFING = """\
description: Look up every topic, and publish what was found once a person agrees.
nodes:
  - id: each
    kind: map
    over: input.topics
    concurrency: 2
    body:
      nodes:
        - {id: find, kind: agent, agent: guide, input: "{{ item }}"}
        - {id: risk, kind: tool, tool: risk_score, arguments: {customer: "{{ item }}"}}
      edges: [{from: find, to: risk}]
  - {id: orders, kind: tool, tool: orders_lookup, arguments: {order: A-1042}}
  - {id: late, kind: tool, tool: risk_score, arguments: {customer: nobody}}
  - {id: enough, kind: branch}
  - {id: sure, kind: approval, message: "Publish {{ size(nodes.each.data) }} answers?"}
  - {id: more, kind: model, prompt: "What is missing?"}
edges:
  - {from: each, to: enough}
  - {from: orders, to: enough}
  - {from: orders, to: late, on: error}
  - {from: enough, to: sure, when: size(nodes.each.data) > 2}
  - {from: enough, to: more, otherwise: true}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """`url` is the web process. Database work of a test goes through `aside`: Playwright keeps an
    event loop in the test's own thread.
    """

    url: str
    scope: Scope
    email: str
    web: Any
    start_web: Callable[[], Any]

    def login_path(self) -> str:
        return aside(lambda: accounts.issue_login_link(email=self.email))


def aside[T](work: Callable[[], T]) -> T:
    """Run in a thread without an event loop, and give its database connection back."""
    from django.db import connections

    def run() -> T:
        try:
            return work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


@contextmanager
def set_up(installation: Any, processes: Any, port: int) -> Iterator[Stage]:
    """Everything up to the first page: processes, models, spaces, agents."""
    from apps.tools import registry

    # The shop's tools go at the end: other tests of this process count those that there are.
    with patch.dict(registry._tools), patch.dict(registry._views):
        shop.register()
        yield from _set_up(installation, processes, port)


def _set_up(installation: Any, processes: Any, port: int) -> Iterator[Stage]:
    scope = installation.scope
    model = processes.model(timeout=180)
    url = f"http://127.0.0.1:{port}"
    settings = {**SETTINGS, "OCTAVO_MODEL_SERVER_URL": model.url, "OCTAVO_PUBLIC_URL": url}
    with scripted_chat() as chat, _settings(OCTAVO_MODEL_SERVER_URL=model.url):
        chat.script = REFUND
        _models(scope, chat.base_url)
        processes.worker(threads=4, timeout=120, **settings)
        start_web = partial(processes.web, port=port, timeout=120, **settings)
        web = start_web()
        _seed(scope)
        email = installation.admin_email
        yield Stage(url=web.url, scope=scope, email=email, web=web, start_web=start_web)


@contextmanager
def _settings(**values: str) -> Iterator[None]:
    from django.conf import settings

    before = settings.MODEL_SERVER_URL
    settings.MODEL_SERVER_URL = values["OCTAVO_MODEL_SERVER_URL"]
    try:
        yield
    finally:
        settings.MODEL_SERVER_URL = before


def _models(scope: Scope, base_url: str) -> None:
    models.ensure_default_routes(scope=scope, found=discovery.find_model())
    models.create_provider(
        scope=scope, name="lab", kind=ProviderKind.OPENAI_COMPATIBLE, base_url=base_url
    )
    models.add_model(
        scope=scope,
        provider="lab",
        name="qwen3-8b",
        kind=ModelKind.CHAT,
        tier=Tier.STANDARD,
        context_window=32_000,
        native_tools=True,
        price=Price(input=2, output=8),  # type: ignore[arg-type]
    )
    models.set_route(
        scope=scope, name="careful", kind=ModelKind.CHAT, targets=[("lab", "qwen3-8b")]
    )


def _seed(scope: Scope) -> None:
    seeding.seed_project(scope=scope, root=ROOT)
    tickets = ServerSpec(
        name="tickets", transport=Transport.HTTP, url="https://tickets.example/mcp", enabled=False
    )
    servers.add_server(scope=scope, spec=tickets, found=None)
    spaces.create_space(scope=scope, name="shop-rules")
    writing.write_entry(
        scope=scope, space="shop-rules", key="policies/refunds.md", content=POLICY_PAGE, why="Rules"
    )
    versions.create_branch(scope=scope, space="shop-rules", name="shop-rules-draft")
    writing.write_entry(
        scope=scope, space="shop-rules-draft", key="policies/gifts.md", content="None.", why="Idea"
    )
    for instructions in ("Refund what the rules allow.", "Refund what the rules allow, no more."):
        definition = Definition(
            instructions=f"You look after refunds of the shop.\n{instructions}",
            route="careful",
            tools=("orders_lookup", "risk_score", "refund_issue"),
            spaces=(SpaceGrant(space="shop-rules"),),
            strategy=Strategy.TOOLS,
        )
        definitions.save_agent(
            scope=scope,
            name="refund-agent",
            definition=definition,
            create=instructions.endswith("allow."),
        )


def start_refund(scope: Scope) -> str:
    """A run that waits for approval of a refund; its public id."""
    run = starting.start_run(scope=scope, agent="refund-agent", input=COMPLAINT)
    eventually(lambda: is_asked(scope, run.id), within=60, what="no approval was asked for")
    return ids.encode(ids.Kind.RUN, run.id)


def start_briefing(scope: Scope) -> str:
    """A run of the workflow `briefing` that waits for approval; its public id."""
    for text in (BRIEFING, BRIEFING.replace("concurrency: 2", "concurrency: 4")):
        workflows.save_workflow(scope=scope, name="briefing", source=text, create=text == BRIEFING)
    topics = ["backups", "approvals", "budgets"]
    run = workflow_runs.start_workflow(scope=scope, workflow="briefing", input={"topics": topics})
    eventually(lambda: is_asked(scope, run.id), within=60, what="no approval was asked for")
    return ids.encode(ids.Kind.RUN, run.id)


def is_asked(scope: Scope, run_id: Any) -> bool:
    pending = governance.list_approvals(scope=scope, status=ApprovalStatus.PENDING, limit=50)
    return any(approval.run_id == run_id for approval in pending)


def ask_guide(scope: Scope, question: str) -> str:
    """A finished run of `guide`; its public id."""
    run = starting.start_run(scope=scope, agent="guide", input=question)
    over = lambda: orchestration.get_run(scope=scope, run_id=run.id).status.is_final  # noqa: E731
    eventually(over, within=60, what="the guide did not answer")
    done = orchestration.get_run(scope=scope, run_id=run.id)
    assert done.status is RunStatus.SUCCEEDED, done.error
    return ids.encode(ids.Kind.RUN, run.id)


def make_triggers(scope: Scope) -> str:
    """One trigger of each kind; the public id of a schedule that has run."""
    question = "What is new in the handbook?"
    morning = scheduling.create_schedule(
        scope=scope,
        agent="guide",
        input=question,
        cron="0 9 * * 1-5",
        timezone="Europe/Berlin",
        name="morning report",
    )
    scheduling.create_schedule(scope=scope, agent="guide", input=question, every_seconds=86400)
    hooks.create_hook(scope=scope, agent="refund-agent", input_path="/order", name="complaints")
    written = EventSettings(on=TriggerEvent.ENTRY_WRITTEN, space="shop-rules", key="policies/*")
    reacting.create_event_trigger(scope=scope, agent="guide", settings=written, name="new rules")
    scheduling.run_now(scope=scope, schedule_id=morning.id)
    return morning.public_id
