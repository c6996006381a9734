"""The shipped policies, action by action: who may do what before anybody writes a policy."""

import pytest

from apps.governance import cedar
from apps.governance.facts import DEFAULTS
from apps.governance.types import Action, Resource, ResourceKind
from octavo.kernel import ids
from octavo.kernel.scope import SYSTEM, Principal, PrincipalKind, Scope

VIEWER = {Action.RUN_READ, Action.CONTEXT_READ}
AGENT = {
    Action.MODEL_CALL,
    Action.TOOL_CALL,
    Action.CONTEXT_READ,
    Action.CONTEXT_WRITE,
    Action.AGENT_DELEGATE,
}
MEMBER = (
    VIEWER
    | AGENT
    | {
        Action.RUN_START,
        Action.RUN_CONTROL,
        Action.AGENT_MANAGE,
        Action.SPACE_MANAGE,
        Action.TRIGGER_MANAGE,
        Action.WORKFLOW_MANAGE,
        Action.APPROVAL_DECIDE,
    }
)
RESOURCES = {
    Action.MODEL_CALL: ResourceKind.ROUTE,
    Action.TOOL_CALL: ResourceKind.TOOL,
    Action.CONTEXT_READ: ResourceKind.SPACE,
    Action.CONTEXT_WRITE: ResourceKind.SPACE,
    Action.RUN_START: ResourceKind.AGENT,
    Action.AGENT_DELEGATE: ResourceKind.AGENT,
    Action.RUN_CONTROL: ResourceKind.RUN,
    Action.RUN_READ: ResourceKind.RUN,
    Action.APPROVAL_DECIDE: ResourceKind.RUN,
}


def may(kind, action, **facts):
    principal = (
        SYSTEM
        if kind is PrincipalKind.SYSTEM
        else Principal(kind=kind, id=ids.new(), name="somebody")
    )
    scope = Scope(
        organisation_id=ids.new(), team_id=ids.new(), project_id=ids.new(), principal=principal
    )
    resource = Resource(
        kind=RESOURCES.get(action, ResourceKind.PROJECT), id=ids.new(), name="something"
    )
    question = cedar.Question(action=action, resource=resource, facts={**DEFAULTS, **facts})
    verdict = cedar.evaluate(bundle=cedar.shipped_bundle(), scope=scope, questions=[question])[0]
    assert verdict.errors == ()
    return verdict.allowed


@pytest.mark.parametrize("kind", [PrincipalKind.USER, PrincipalKind.SERVICE])
@pytest.mark.parametrize(
    ("role", "allowed"),
    [("", set()), ("viewer", VIEWER), ("member", MEMBER), ("admin", set(Action))],
)
def test_a_role_grants_exactly_this(kind, role, allowed):
    assert {action for action in Action if may(kind, action, role=role)} == allowed


def test_an_agent_may_use_what_its_definition_grants_and_nothing_else():
    assert {action for action in Action if may(PrincipalKind.AGENT, action, granted=True)} == AGENT
    assert not any(may(PrincipalKind.AGENT, action) for action in Action)


def test_octavo_itself_may_do_everything_that_needs_no_approval():
    assert all(may(PrincipalKind.SYSTEM, action) for action in Action)


@pytest.mark.parametrize(
    ("facts", "allowed"),
    [
        ({"risk": "read"}, True),
        ({"risk": "write"}, True),
        ({"risk": "irreversible"}, False),
        ({"risk": "irreversible", "approved": True}, True),
        ({"tainted": True}, False),
        ({"tainted": True, "egress": False}, True),
        ({"tainted": True, "approved": True}, True),
    ],
)
def test_an_irreversible_call_and_one_out_of_a_tainted_run_need_approval(facts, allowed):
    assert may(PrincipalKind.AGENT, Action.TOOL_CALL, granted=True, **facts) is allowed
    assert may(PrincipalKind.USER, Action.TOOL_CALL, role="admin", **facts) is allowed
