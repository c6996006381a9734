"""Agents are saved in versions that never change, and grant only what there is and what may be."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.db import connections

from apps.accounts import services as accounts
from apps.accounts.types import Role
from apps.agents import selectors
from apps.agents.services import definitions
from apps.agents.types import Access, Definition, Limits, SpaceGrant, Strategy
from apps.context.services import spaces
from octavo.kernel.errors import Conflict, Forbidden, InvalidInput, NotFound
from tests.runs import Bench

FULL = Definition(
    instructions="Answer from the handbook.",
    tools=("box_look", "context_*"),
    spaces=(SpaceGrant(space="handbook", access=Access.WRITE),),
    strategy=Strategy.TOOLS,
    output_schema={"type": "object"},
    limits=Limits(max_steps=5, max_tokens=100, max_cost_usd=Decimal("0.5"), deadline_seconds=60),
)


def save(bench: Bench, definition: Definition = FULL, *, create: bool = True) -> Any:
    return definitions.save_agent(
        scope=bench.scope, name="guide", definition=definition, create=create
    )


@pytest.fixture
def handbook(bench: Bench) -> Bench:
    spaces.create_space(scope=bench.scope, name="handbook")
    return bench


def test_a_definition_comes_back_as_it_was_saved(handbook: Bench) -> None:
    saved = save(handbook)
    assert (saved.version, saved.definition) == (1, FULL)
    assert selectors.get_agent(scope=handbook.scope, name="guide") == saved


def test_a_change_is_a_new_version_and_the_old_one_stays(handbook: Bench) -> None:
    save(handbook)
    newer = save(handbook, replace(FULL, instructions="Answer briefly."), create=False)
    assert newer.version == 2
    old = selectors.get_agent(scope=handbook.scope, name="guide", version=1)
    assert old.definition == FULL
    versions = selectors.list_versions(scope=handbook.scope, name="guide")
    assert [view.version for view in versions] == [2, 1]
    assert [view.version for view in selectors.list_agents(scope=handbook.scope)] == [2]


def test_concurrent_saves_each_make_a_version(handbook: Bench) -> None:
    save(handbook)

    def change(n: int) -> None:
        try:
            save(handbook, replace(FULL, instructions=f"Version {n}."), create=False)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(change, range(8)))
    assert selectors.get_agent(scope=handbook.scope, name="guide").version == 9


def test_creating_twice_and_changing_nothing_are_refused(handbook: Bench) -> None:
    with pytest.raises(NotFound):
        save(handbook, create=False)
    save(handbook)
    with pytest.raises(Conflict) as conflict:
        save(handbook)
    assert conflict.value.extra["head"] == 1


def test_every_wrong_field_is_named_with_its_path(bench: Bench) -> None:
    wrong = Definition(
        instructions=" ",
        route="nowhere",
        tools=("box_look", "no_such_tool"),
        spaces=(SpaceGrant(space="nothing"),),
        output_schema={"type": "nonsense"},
        limits=Limits(max_steps=0, max_tokens=-1),
    )
    with pytest.raises(InvalidInput) as error:
        definitions.save_agent(scope=bench.scope, name="Bad Name", definition=wrong, create=True)
    assert [problem["path"] for problem in error.value.errors] == [
        "/name",
        "/instructions",
        "/output_schema",
        "/limits/max_steps",
        "/limits/max_tokens",
        "/route",
        "/tools/1",
        "/spaces/0/space",
    ]


def test_a_viewer_cannot_save_agents(handbook: Bench) -> None:
    viewer = accounts.create_service(scope=handbook.scope, name="reader", role=Role.VIEWER)
    with pytest.raises(Forbidden):
        definitions.save_agent(
            scope=handbook.scope.acting_as(viewer), name="mine", definition=FULL, create=True
        )


def test_a_saved_version_cannot_be_changed_by_the_running_role(
    handbook: Bench, postgres: Any
) -> None:
    save(handbook)
    with (
        psycopg.connect(postgres.app_url) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("UPDATE agent_version SET definition = '{}'")
