"""The decision point on a real database: it fails closed, explains itself and leaves a row."""

from dataclasses import replace

import pytest
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from apps.accounts.services import create_service
from apps.accounts.types import Role
from apps.governance import facts, selectors
from apps.governance.services import decisions
from apps.governance.types import Action, Outcome, Resource, ResourceKind
from octavo.kernel import ids
from octavo.kernel.errors import Forbidden
from octavo.kernel.scope import SYSTEM, Principal, PrincipalKind

TOOL = Resource(kind=ResourceKind.TOOL, id=ids.new(), name="web__fetch")


@pytest.fixture
def admin(installation):
    principal = installation.issued_key.key.principal
    return installation.scope.acting_as(principal, run_id=ids.new())


@pytest.fixture
def agent(admin, monkeypatch):
    """An agent whose definition grants the tool above and nothing else."""

    def grants(*, scope, action, resource):
        return {"granted": resource.id == TOOL.id}

    monkeypatch.setattr(facts, "_providers", dict(facts._providers))
    decisions.register_facts(kind=PrincipalKind.AGENT, provider=grants)
    return admin.acting_as(Principal(kind=PrincipalKind.AGENT, id=ids.new(), name="guide"))


def decide(scope, action=Action.TOOL_CALL, resource=TOOL, **claimed):
    return decisions.decide(scope=scope, action=action, resource=resource, facts=claimed)


def test_every_answer_leaves_a_row_with_its_facts_and_policies(admin):
    decision = decisions.decide(
        scope=admin, action=Action.TOOL_CALL, resource=TOOL, facts={"risk": "read"}, step="tool:1"
    )
    assert decision.outcome is Outcome.ALLOW
    assert decision.policies == ("role-admin",)
    (row,) = selectors.list_decisions(run_id=admin.run_id)
    assert (row.id, row.step, row.outcome) == (decision.id, "tool:1", Outcome.ALLOW)
    assert (row.principal, row.resource) == ("user:admin@example.test", "Tool:web__fetch")
    assert row.facts["risk"] == "read"
    assert row.facts["role"] == "admin"
    assert row.bundle == decision.bundle


def test_asking_answers_the_same_and_leaves_no_row(admin):
    claimed = {"risk": "read"}
    asked = decisions.ask(scope=admin, action=Action.TOOL_CALL, resource=TOOL, facts=claimed)
    assert selectors.list_decisions(run_id=admin.run_id) == []
    decided = decide(admin, **claimed)
    assert replace(asked, id=decided.id) == decided


def test_the_policies_behind_a_decision_can_be_read_back(admin, monkeypatch):
    monkeypatch.setattr(decisions, "_recorded_bundles", set())
    decision = decide(admin)
    assert "role-admin" in selectors.get_policies(bundle=decision.bundle)


def test_a_bundle_is_recorded_again_when_its_first_transaction_failed(admin, monkeypatch):
    monkeypatch.setattr(decisions, "_recorded_bundles", set())
    with transaction.atomic():
        decide(admin)
        transaction.set_rollback(True)
    assert selectors.get_policies(bundle=decide(admin).bundle)


def test_a_decision_reads_once_and_leaves_one_row(admin):
    admin = replace(admin, run_id=ids.new())
    project = Resource.project_of(admin)
    decide(admin, Action.RUN_READ, project)
    with CaptureQueriesContext(connection) as queries:
        decide(admin, Action.RUN_READ, project)
    assert [query["sql"].split()[0] for query in queries] == ["SELECT"]
    assert len(selectors.list_decisions(run_id=admin.run_id)) == 2


def test_a_decision_about_a_call_remembers_the_role_for_a_moment(admin):
    decide(admin)
    with CaptureQueriesContext(connection) as queries:
        decide(admin)
    assert len(queries) == 0


def test_somebody_from_outside_the_project_may_do_nothing(admin):
    stranger = Principal(kind=PrincipalKind.USER, id=ids.new(), name="eve@example.test")
    decision = decide(admin.acting_as(stranger), Action.RUN_READ, Resource.project_of(admin))
    assert decision.outcome is Outcome.DENY
    assert decision.policies == ("default-deny",)
    assert "Ask an admin of the project for the role member." in decision.explain


def test_a_service_has_the_role_it_was_given(admin):
    viewer = create_service(scope=admin, name="dashboard", role=Role.VIEWER)
    scope = admin.acting_as(viewer)
    assert decide(scope, Action.RUN_READ, Resource.project_of(scope)).is_allowed
    refused = decide(scope, Action.KEY_MANAGE, Resource.project_of(scope))
    assert "role admin" in refused.explain


def test_an_agent_is_told_to_list_what_it_lacks(agent):
    assert decide(agent).is_allowed
    other = Resource(kind=ResourceKind.TOOL, id=ids.new(), name="shell")
    refused = decide(agent, resource=other)
    assert refused.policies == ("default-deny",)
    assert "agent's definition" in refused.explain


def test_an_irreversible_call_waits_for_approval_and_passes_with_it(agent):
    held = decide(agent, risk="irreversible")
    assert held.outcome is Outcome.REQUIRE_APPROVAL
    assert [o.policy for o in held.obligations] == ["irreversible-needs-approval"]
    with pytest.raises(Forbidden) as refusal:
        held.require()
    assert refusal.value.policies == ("irreversible-needs-approval",)
    assert decide(agent, risk="irreversible", approved=True).is_allowed


def test_both_reasons_for_an_approval_are_named(agent):
    held = decide(agent, risk="irreversible", tainted=True)
    assert len(held.obligations) == 2


def test_an_approval_does_not_lift_a_missing_grant(agent):
    other = Resource(kind=ResourceKind.TOOL, id=ids.new(), name="shell")
    refused = decide(agent, resource=other, risk="irreversible")
    assert refused.outcome is Outcome.DENY
    assert refused.policies == ("default-deny",)
    assert not decide(agent, resource=other, risk="irreversible", approved=True).is_allowed


def test_a_key_may_do_only_what_both_it_and_its_owner_may(admin):
    key = replace(admin, key_scopes=("context.*",))
    refused = decide(key)
    assert refused.policies == ("key-scope",)
    assert "tool.call" in refused.explain
    space = Resource(kind=ResourceKind.SPACE, id=ids.new(), name="notes")
    assert decide(key, Action.CONTEXT_READ, space).is_allowed
    stranger = Principal(kind=PrincipalKind.USER, id=ids.new(), name="eve@example.test")
    wide = replace(admin.acting_as(stranger), key_scopes=("*",))
    assert decide(wide).policies == ("default-deny",)


@pytest.mark.parametrize("missing", [None, SYSTEM.id])
@pytest.mark.parametrize("part", ["organisation_id", "team_id", "project_id"])
def test_a_scope_without_a_tenant_is_refused(admin, part, missing):
    decision = decide(replace(admin, **{part: missing}))
    assert decision.policies == ("tenant",)
    assert not decision.is_allowed


def test_even_octavo_itself_needs_a_tenant(admin):
    assert decide(admin.acting_as(SYSTEM)).is_allowed
    assert not decide(replace(admin, principal=SYSTEM, project_id=SYSTEM.id)).is_allowed


@pytest.mark.parametrize("claimed", [{"colour": "red"}, {"risk": "harmless"}, {"role": "admin"}])
def test_an_unusable_fact_refuses_and_says_why(admin, claimed):
    decision = decide(admin, **claimed)
    assert decision.policies == ("facts",)
    assert next(iter(claimed)) in decision.explain


def test_a_request_that_does_not_fit_the_schema_is_refused(admin):
    decision = decide(admin, resource=Resource(kind=ResourceKind.RUN, id=ids.new(), name="run"))
    assert decision.policies == ("schema",)
    assert not decision.is_allowed


def test_a_provider_that_fails_lets_nothing_through(admin, monkeypatch):
    def fails(*, scope, action, resource):
        raise OperationalError("the database is down")

    monkeypatch.setattr(facts, "_providers", dict(facts._providers))
    decisions.register_facts(kind=PrincipalKind.USER, provider=fails)
    with pytest.raises(OperationalError):
        decide(admin)


def test_check_raises_with_the_deciding_policy(admin):
    stranger = Principal(kind=PrincipalKind.USER, id=ids.new(), name="eve@example.test")
    with pytest.raises(Forbidden, match="permitted by no policy") as refusal:
        decisions.check(scope=admin.acting_as(stranger), action=Action.TOOL_CALL, resource=TOOL)
    assert refusal.value.policies == ("default-deny",)


def test_allowed_ids_are_those_the_policies_let_through(admin, agent, monkeypatch):
    tools = [TOOL] + [
        Resource(kind=ResourceKind.TOOL, id=ids.new(), name=f"tool{n}") for n in range(5)
    ]
    monkeypatch.setattr(facts, "_listers", {})
    decisions.register_lister(kind=ResourceKind.TOOL, lister=lambda *, scope: tools)

    def allowed(scope):
        return decisions.allowed_ids(scope=scope, action=Action.TOOL_CALL, kind=ResourceKind.TOOL)

    assert allowed(agent) == (TOOL.id,)
    with CaptureQueriesContext(connection) as queries:
        assert allowed(admin) == tuple(tool.id for tool in tools)
    assert len(queries) == 1
    assert allowed(replace(admin, key_scopes=("run.*",))) == ()
    assert selectors.list_decisions(run_id=admin.run_id) == []


def test_identities_alone_list_the_project(admin, monkeypatch):
    from django.apps import apps

    monkeypatch.setattr(facts, "_listers", {})
    apps.get_app_config("accounts").ready()
    found = decisions.allowed_ids(scope=admin, action=Action.RUN_READ, kind=ResourceKind.PROJECT)
    assert found == (admin.project_id,)


def test_a_kind_that_nobody_lists_is_an_error_and_not_an_empty_answer(admin, monkeypatch):
    monkeypatch.setattr(facts, "_listers", {})
    with pytest.raises(LookupError, match="register_lister"):
        decisions.allowed_ids(scope=admin, action=Action.MODEL_CALL, kind=ResourceKind.ROUTE)
