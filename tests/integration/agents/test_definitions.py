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
from apps.orchestration.services import starting
from apps.tools import selectors as tool_selectors
from octavo.kernel import ids
from octavo.kernel.errors import Conflict, Forbidden, InvalidInput, NotFound
from octavo.kernel.scope import Principal, PrincipalKind
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


@pytest.mark.parametrize("tools", [("*",), ("nothing_yet_*",), ("box_look",)])
def test_nobody_grants_tools_they_may_not_call(bench: Bench, tools: tuple[str, ...]) -> None:
    definition = Definition(instructions="Do it.", tools=tools)
    narrow = replace(bench.scope, key_scopes=("agent.manage", "model.call"))
    with pytest.raises(Forbidden, match=r"tool\.call"):
        definitions.save_agent(scope=narrow, name="mine", definition=definition, create=True)
    wider = replace(narrow, key_scopes=(*narrow.key_scopes, "tool.call"))
    saved = definitions.save_agent(scope=wider, name="mine", definition=definition, create=True)
    assert saved.definition.tools == tools


def test_a_tool_whose_calls_need_approval_may_be_granted(bench: Bench) -> None:
    definition = Definition(instructions="Launch.", tools=("box_launch",))
    saved = definitions.save_agent(
        scope=bench.scope, name="launcher", definition=definition, create=True
    )
    assert saved.version == 1


def test_spaces_grant_the_embedding_route_so_it_is_asked_about(
    handbook: Bench, postgres: Any
) -> None:
    save(handbook)
    asked = (
        "SELECT resource_name FROM decision WHERE action = 'model.call' "
        "AND resource_kind = 'Route' ORDER BY 1"
    )
    assert handbook.rows(asked) == [("default",), ("embedding",)]


@pytest.mark.parametrize("ground", ["stranger", "key"])
def test_only_who_may_read_the_project_sees_its_agents_and_tools(
    handbook: Bench, ground: str
) -> None:
    save(handbook)
    stranger = Principal(kind=PrincipalKind.SERVICE, id=ids.new(), name="gone")
    scope = {
        "stranger": handbook.scope.acting_as(stranger),
        "key": replace(handbook.scope, key_scopes=("run.start",)),
    }[ground]
    with pytest.raises(NotFound):
        selectors.get_agent(scope=scope, name="guide")
    with pytest.raises(NotFound):
        selectors.list_versions(scope=scope, name="guide")
    with pytest.raises(NotFound):
        tool_selectors.get_tool(scope=scope, name="box_look")
    assert selectors.list_agents(scope=scope) == []
    assert tool_selectors.list_tools(scope=scope) == ()
    viewer = accounts.create_service(scope=handbook.scope, name="reader", role=Role.VIEWER)
    reader = handbook.scope.acting_as(viewer)
    assert selectors.get_agent(scope=reader, name="guide").version == 1
    assert tool_selectors.get_tool(scope=reader, name="box_look") in tool_selectors.list_tools(
        scope=reader
    )


def test_a_key_made_to_start_runs_needs_no_right_to_read(handbook: Bench) -> None:
    save(handbook)
    scope = replace(handbook.scope, key_scopes=("run.start",))
    assert starting.start_run(scope=scope, agent="guide", input="Hello?").agent == "guide"


def test_a_saved_version_cannot_be_changed_by_the_running_role(
    handbook: Bench, postgres: Any
) -> None:
    save(handbook)
    with (
        psycopg.connect(postgres.app_url) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("UPDATE agent_version SET definition = '{}'")
