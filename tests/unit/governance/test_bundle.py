"""The policies as text: what loads, what is refused, and that an error never permits."""

import pytest

from apps.governance import cedar
from apps.governance.facts import DEFAULTS
from apps.governance.types import Action, Outcome, Resource, ResourceKind
from octavo.kernel import ids
from octavo.kernel.scope import Principal, PrincipalKind, Scope

SCHEMA = cedar.shipped_bundle().schema
SCOPE = Scope(
    organisation_id=ids.new(),
    team_id=ids.new(),
    project_id=ids.new(),
    principal=Principal(kind=PrincipalKind.USER, id=ids.new(), name="ada@example.test"),
)
TOOL = Resource(kind=ResourceKind.TOOL, id=ids.new(), name="web__fetch")


def ask(policies, *, resource=TOOL, **facts):
    question = cedar.Question(
        action=Action.TOOL_CALL, resource=resource, facts={**DEFAULTS, **facts}
    )
    bundle = cedar.load_bundle(policies=policies, schema=SCHEMA)
    return cedar.evaluate(bundle=bundle, scope=SCOPE, questions=[question])[0]


def test_the_shipped_bundle_names_every_policy_and_explains_every_obligation():
    bundle = cedar.shipped_bundle()
    assert {"role-admin", "agent-granted", "system"} <= {p.id for p in bundle.by_reason.values()}
    lifted = [p for p in bundle.by_reason.values() if p.obligation is Outcome.REQUIRE_APPROVAL]
    assert lifted
    assert all(policy.explain for policy in lifted)


@pytest.mark.parametrize(
    ("policies", "message"),
    [
        ("permit(principal, action, resource", "do not parse"),
        ('@id("a") permit(principal, action, resource) when { context.nope };', "fit the schema"),
        ("permit(principal, action, resource);", "has no @id"),
        ('@id("a") @obligation("pray") forbid(principal, action, resource);', "unknown obligation"),
        (
            '@id("a") @obligation("require_approval") permit(principal, action, resource);',
            "only a forbid",
        ),
        (
            '@id("a") permit(principal, action, resource); '
            '@id("a") forbid(principal, action, resource);',
            "More than one policy",
        ),
    ],
)
def test_a_bundle_that_could_not_be_trusted_does_not_load(policies, message):
    with pytest.raises(cedar.InvalidBundleError, match=message):
        cedar.load_bundle(policies=policies, schema=SCHEMA)


def test_a_malformed_schema_does_not_load():
    with pytest.raises(cedar.InvalidBundleError, match="do not parse"):
        cedar.load_bundle(policies='@id("a") permit(principal, action, resource);', schema="entity")


def test_no_policies_permit_nothing():
    verdict = ask("")
    assert (verdict.allowed, verdict.deciding, verdict.errors) == (False, (), ())


def test_a_forbid_that_errs_refuses_what_cedar_would_have_allowed():
    overflow = (
        '@id("all") permit(principal, action, resource); '
        '@id("errs") forbid(principal, action == Action::"tool.call", resource) '
        "when { 9223372036854775807 * 2 == 1 };"
    )
    verdict = ask(overflow)
    assert not verdict.allowed
    assert "overflow" in verdict.errors[0]
    assert verdict.deciding == ()


def test_a_context_that_the_schema_does_not_know_is_refused():
    permit_all = '@id("all") permit(principal, action, resource);'
    assert ask(permit_all).allowed
    assert not ask(permit_all, weather="fine").allowed
    assert not ask(permit_all, risk=3).allowed


def test_a_resource_that_the_action_does_not_fit_is_refused():
    permit_all = '@id("all") permit(principal, action, resource);'
    space = Resource(kind=ResourceKind.SPACE, id=ids.new(), name="notes")
    verdict = ask(permit_all, resource=space)
    assert not verdict.allowed
    assert verdict.errors


def test_a_policy_can_name_a_resource_by_its_name():
    policies = (
        '@id("all") permit(principal, action, resource); '
        '@id("not-fetch") forbid(principal, action, resource is Tool) '
        'when { resource.name == "web__fetch" };'
    )
    assert [policy.id for policy in ask(policies).deciding] == ["not-fetch"]
    other = Resource(kind=ResourceKind.TOOL, id=ids.new(), name="clock")
    assert ask(policies, resource=other).allowed


def test_the_hash_changes_with_policies_and_with_the_schema():
    one = cedar.load_bundle(policies="", schema=SCHEMA)
    assert one.sha256 == cedar.load_bundle(policies="", schema=SCHEMA).sha256
    assert one.sha256 != cedar.load_bundle(policies=" ", schema=SCHEMA).sha256
    assert one.sha256 != cedar.load_bundle(policies="", schema=SCHEMA + " ").sha256
