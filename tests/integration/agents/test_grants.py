"""An agent may use what its definition lists: the one its run is pinned to, not the newest."""

from dataclasses import replace
from typing import Any

import pytest

from apps.agents.services import definitions
from apps.agents.types import SpaceGrant
from apps.context.services import spaces
from apps.governance.services import decisions
from apps.governance.types import Action, Resource, ResourceKind
from octavo.kernel import ids
from octavo.kernel.scope import Principal, PrincipalKind, Scope
from tests import runs
from tests.runs import Bench


@pytest.fixture
def agent(bench: Bench) -> Any:
    spaces.create_space(scope=bench.scope, name="handbook")
    return runs.save(bench.scope, spaces=(SpaceGrant(space="handbook"),), tools=("box_look",))


def allows(scope: Scope, action: Action, kind: ResourceKind, name: str) -> bool:
    resource = Resource(kind=kind, id=ids.new(), name=name)
    return decisions.decide(scope=scope, action=action, resource=resource).is_allowed


def test_an_agent_may_use_what_its_definition_lists_and_nothing_else(
    bench: Bench, agent: Any
) -> None:
    principal = Principal(kind=PrincipalKind.AGENT, id=agent.id, name=agent.name)
    scope = bench.scope.acting_as(principal)
    assert allows(scope, Action.MODEL_CALL, ResourceKind.ROUTE, "default")
    assert allows(scope, Action.MODEL_CALL, ResourceKind.ROUTE, "embedding")
    assert not allows(scope, Action.MODEL_CALL, ResourceKind.ROUTE, "fast")
    assert allows(scope, Action.TOOL_CALL, ResourceKind.TOOL, "box_look")
    assert not allows(scope, Action.TOOL_CALL, ResourceKind.TOOL, "box_count")
    assert allows(scope, Action.CONTEXT_READ, ResourceKind.SPACE, "handbook")
    assert not allows(scope, Action.CONTEXT_WRITE, ResourceKind.SPACE, "handbook")
    assert not allows(scope, Action.CONTEXT_READ, ResourceKind.SPACE, "notes")
    assert not allows(scope, Action.RUN_START, ResourceKind.AGENT, agent.name)
    assert not allows(scope, Action.AGENT_MANAGE, ResourceKind.AGENT, agent.name)


def test_a_run_keeps_the_grants_of_its_version(bench: Bench, agent: Any) -> None:
    run = runs.start(bench.scope, answer="x")
    narrower = replace(agent.definition, tools=())
    definitions.save_agent(scope=bench.scope, name=agent.name, definition=narrower, create=False)
    principal = Principal(kind=PrincipalKind.AGENT, id=agent.id, name=agent.name)
    pinned = bench.scope.acting_as(principal, run_id=run.id)
    newest = bench.scope.acting_as(principal)
    assert allows(pinned, Action.TOOL_CALL, ResourceKind.TOOL, "box_look")
    assert not allows(newest, Action.TOOL_CALL, ResourceKind.TOOL, "box_look")


def test_an_unknown_agent_is_granted_nothing(bench: Bench) -> None:
    ghost = Principal(kind=PrincipalKind.AGENT, id=ids.new(), name="ghost")
    scope = bench.scope.acting_as(ghost)
    assert not allows(scope, Action.MODEL_CALL, ResourceKind.ROUTE, "default")
    assert not allows(
        bench.scope.acting_as(ghost, run_id=ids.new()),
        Action.MODEL_CALL,
        ResourceKind.ROUTE,
        "default",
    )
