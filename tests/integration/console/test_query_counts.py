"""A page asks the database as often over much as over little: a query for each row is noticed."""

from django.test import Client

from octavo.kernel.scope import Principal, PrincipalKind
from tests import runs
from tests.integration.context.conftest import embedder, word_vectors
from tests.integration.context.word_vectors import WordVectors, point_embedding_at
from tests.runs import Bench

__all__ = ["embedder", "word_vectors"]

PAGES = (
    "/",
    "/runs",
    "/runs?status=failed",
    "/runs?q=box",
    "/ask",
    "/approvals",
    "/costs",
    "/agents",
    "/agents/bee-0",
    "/new/agent",
    "/context",
    "/context/space-0",
    "/context/space-0/history",
    "/context/space-0/flags",
    "/context/space-0/new",
    "/context/space-0/edit/tea-0.md",
    "/context/space-0/entry/tea-0.md",
    "/tools",
    "/tools/context_search",
    "/models",
    "/connect",
    "/keys",
    "/members",
)
MOST = 40


def grow(bench: Bench, numbers: range) -> None:
    """For each number: an agent with two versions, an open approval, a failed and a finished run,
    a space with an entry, a member, a key, a budget and a route.
    """
    from apps.accounts import services as accounts
    from apps.accounts.types import Role
    from apps.context.services import spaces, writing
    from apps.governance.services import budgets
    from apps.governance.types import BudgetScope, Limits, Period
    from apps.model_registry import services as models
    from apps.model_registry.types import ModelKind

    scope = bench.scope
    for n in numbers:
        agent = runs.save(scope, f"bee-{n}")
        for script in (
            {"calls": [["box_launch", {"n": n}]]},
            {"calls": [["box_look", {"n": n}]], "answer": "done"},
        ):
            runs.advance(scope, runs.start(scope, f"bee-{n}", **script).id)
        spaces.create_space(scope=scope, name=f"space-{n}")
        for space in {f"space-{n}", "space-0"}:
            writing.write_entry(
                scope=scope, space=space, key=f"tea-{n}.md", content=f"Tea {n}.", why="Growth."
            )
        accounts.invite_member(scope=scope, email=f"m{n}@example.test", role=Role.MEMBER)
        bee = Principal(kind=PrincipalKind.AGENT, id=agent.id, name=agent.name)
        accounts.issue_key(scope=scope, name=f"key {n}", principal=bee, scopes=("*",))
        budgets.create_budget(
            scope=scope,
            on=BudgetScope.AGENT,
            target_id=agent.id,
            period=Period.DAY,
            limits=Limits(calls=100),
        )
        models.set_route(
            scope=scope,
            name=f"route-{n}",
            kind=ModelKind.CHAT,
            targets=[("scripted", "scripted")],
        )


def count(client: Client, page: str) -> int:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as queries:
        answer = client.get(page)
    assert answer.status_code == 200, answer.content.decode()[:1000]
    return len(queries)


def test_no_page_asks_more_often_over_more(
    admin: Client, bench: Bench, embedder: WordVectors
) -> None:
    point_embedding_at(bench.scope, url=embedder.url, name="words")
    grow(bench, range(2))
    before = {page: (count(admin, page), count(admin, page))[1] for page in PAGES}
    grow(bench, range(2, 5))
    after = {page: count(admin, page) for page in PAGES}
    assert {page: (before[page], n) for page, n in after.items() if n > before[page]} == {}
    assert {page: n for page, n in after.items() if n > MOST} == {}
