"""The one decision point. What is not clearly permitted is refused; each decision leaves a row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from uuid import UUID

import orjson
from django.db import transaction

from apps.governance import cedar, explanations
from apps.governance import facts as known_facts
from apps.governance.models import PolicyBundle
from apps.governance.types import (
    Action,
    Decision,
    Fact,
    FactProvider,
    Obligation,
    Outcome,
    Resource,
    ResourceKind,
    ResourceLister,
)
from octavo.kernel import ids, sql
from octavo.kernel.scope import PrincipalKind, Scope

NO_FACTS: Mapping[str, Fact] = MappingProxyType({})
_NO_GROUND = (None, UUID(int=0))
_recorded_bundles: set[str] = set()

_INSERT = """
INSERT INTO decision (
    id, organisation_id, project_id, run_id, step, principal_kind, principal_id, principal_name,
    action, resource_kind, resource_id, resource_name, outcome, policies, facts, bundle, explain
) VALUES (
    %(id)s, %(organisation_id)s, %(project_id)s, %(run_id)s, %(step)s, %(principal_kind)s,
    %(principal_id)s, %(principal_name)s, %(action)s, %(resource_kind)s, %(resource_id)s,
    %(resource_name)s, %(outcome)s, %(policies)s::jsonb, %(facts)s::jsonb, %(bundle)s, %(explain)s
)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judgement:
    outcome: Outcome
    policies: tuple[str, ...]
    explain: str
    facts: Mapping[str, Fact] = NO_FACTS
    obligations: tuple[Obligation, ...] = ()


def decide(
    *,
    scope: Scope,
    action: Action,
    resource: Resource,
    facts: Mapping[str, Fact] = NO_FACTS,
    step: str = "",
) -> Decision:
    """Answer for `scope.principal`, and write one row of the decision log.

    `facts` may claim `risk`, `egress`, `tainted`, `approved` and `access`; `role` and `granted`
    come from the registered providers. Never raises for a refusal: see `Decision.require`.
    """
    bundle = cedar.shipped_bundle()
    decision = _answer(bundle, scope, action, resource, facts)
    _record(decision, scope=scope, action=action, resource=resource, step=step)
    _record_bundle(bundle)
    return decision


def ask(
    *, scope: Scope, action: Action, resource: Resource, facts: Mapping[str, Fact] = NO_FACTS
) -> Decision:
    """What `decide` would answer. Nothing happens, so the log of what happened gets no row."""
    return _answer(cedar.shipped_bundle(), scope, action, resource, facts)


def check(
    *,
    scope: Scope,
    action: Action,
    resource: Resource,
    facts: Mapping[str, Fact] = NO_FACTS,
    step: str = "",
) -> Decision:
    """`decide`, then raise `Forbidden` naming the deciding policies unless it is allowed."""
    return decide(scope=scope, action=action, resource=resource, facts=facts, step=step).require()


def allowed_ids(*, scope: Scope, action: Action, kind: ResourceKind) -> tuple[UUID, ...]:
    """Ids of the resources of `kind` in the project that the principal may act on, for `= ANY(…)`.

    Asks all at once and writes no decision rows. Raises `LookupError` when no layer lists `kind`.
    """
    resources = known_facts.lister_of(kind)(scope=scope)
    if not resources or _gate(scope, action) is not None:
        return ()
    gathered = known_facts.gather_each(scope=scope, action=action, resources=resources)
    questions = [
        cedar.Question(action=action, resource=resource, facts=facts)
        for resource, facts in zip(resources, gathered, strict=True)
    ]
    verdicts = cedar.evaluate(bundle=cedar.shipped_bundle(), scope=scope, questions=questions)
    return tuple(
        resource.id
        for resource, verdict in zip(resources, verdicts, strict=True)
        if verdict.allowed
    )


def register_facts(
    *, kind: PrincipalKind, provider: FactProvider, depends_on_resource: bool = True
) -> None:
    """Ask `provider` about every principal of `kind`.

    `depends_on_resource=False`: its answer is the same for all resources of a project, so
    `allowed_ids` asks it once.
    """
    known_facts.register_provider(kind, provider, depends_on_resource=depends_on_resource)


def register_lister(*, kind: ResourceKind, lister: ResourceLister) -> None:
    """Ask `lister` for the resources of `kind` in a project."""
    known_facts.register_lister(kind, lister)


def key_covers(*, key_scopes: Sequence[str], action: Action) -> bool:
    """Whether a key made for `key_scopes` (`*`, `context.*`, `run.start`) may ask for `action`."""
    return any(
        pattern in {"*", action.value}
        or (pattern.endswith(".*") and action.value.startswith(pattern[:-1]))
        for pattern in key_scopes
    )


def _answer(
    bundle: cedar.Bundle,
    scope: Scope,
    action: Action,
    resource: Resource,
    claimed: Mapping[str, Fact],
) -> Decision:
    judged = _judge(bundle, scope, action, resource, claimed)
    return Decision(
        id=ids.new(),
        outcome=judged.outcome,
        policies=judged.policies,
        obligations=judged.obligations,
        facts=judged.facts,
        bundle=bundle.sha256,
        explain=judged.explain,
    )


def _judge(
    bundle: cedar.Bundle,
    scope: Scope,
    action: Action,
    resource: Resource,
    claimed: Mapping[str, Fact],
) -> _Judgement:
    stopped = _gate(scope, action)
    if stopped is not None:
        return stopped
    try:
        gathered = known_facts.gather(
            scope=scope, action=action, resource=resource, claimed=claimed
        )
    except known_facts.UnusableFactError as error:
        return _refused("facts", explanations.unusable_fact(scope, action, resource, error))
    question = cedar.Question(action=action, resource=resource, facts=gathered)
    verdict = cedar.evaluate(bundle=bundle, scope=scope, questions=[question])[0]
    if verdict.allowed:
        policies = tuple(policy.id for policy in verdict.deciding)
        return _Judgement(
            outcome=Outcome.ALLOW,
            policies=policies,
            explain=explanations.allowed(policies),
            facts=gathered,
        )
    return _refusal(bundle, scope, question, verdict)


def _gate(scope: Scope, action: Action) -> _Judgement | None:
    """What stops a request before any policy is asked: no tenant, or a key not made for it."""
    ground = (scope.organisation_id, scope.team_id, scope.project_id)
    if any(part in _NO_GROUND for part in ground):
        return _refused("tenant", explanations.NO_TENANT)
    if not key_covers(key_scopes=scope.key_scopes, action=action):
        return _refused("key-scope", explanations.key_scope(scope, action))
    return None


def _refused(policy: str, explain: str) -> _Judgement:
    return _Judgement(outcome=Outcome.DENY, policies=(policy,), explain=explain)


def _refusal(
    bundle: cedar.Bundle, scope: Scope, question: cedar.Question, verdict: cedar.Verdict
) -> _Judgement:
    """Deny, unless all that stands in the way are forbids that an approval lifts."""
    if verdict.errors:
        explain = explanations.policy_errors(scope, question, verdict.errors)
        return _Judgement(
            outcome=Outcome.DENY, policies=("schema",), explain=explain, facts=question.facts
        )
    lifted = _once_approved(bundle, scope, question, verdict)
    if lifted.allowed:
        return _needs_approval(scope, question, verdict)
    if not lifted.deciding:
        explain = explanations.not_permitted(bundle, scope, question)
        return _Judgement(
            outcome=Outcome.DENY, policies=("default-deny",), explain=explain, facts=question.facts
        )
    return _Judgement(
        outcome=Outcome.DENY,
        policies=tuple(policy.id for policy in verdict.deciding),
        explain=explanations.forbidden(scope, question, verdict.deciding),
        facts=question.facts,
    )


def _once_approved(
    bundle: cedar.Bundle, scope: Scope, question: cedar.Question, verdict: cedar.Verdict
) -> cedar.Verdict:
    """The verdict after an approval; the same one where a forbid stands that no approval lifts."""
    if not verdict.deciding or any(policy.obligation is None for policy in verdict.deciding):
        return verdict
    approved = cedar.Question(
        action=question.action,
        resource=question.resource,
        facts={**question.facts, "approved": True},
    )
    return cedar.evaluate(bundle=bundle, scope=scope, questions=[approved])[0]


def _needs_approval(scope: Scope, question: cedar.Question, verdict: cedar.Verdict) -> _Judgement:
    policies = tuple(policy.id for policy in verdict.deciding)
    return _Judgement(
        outcome=Outcome.REQUIRE_APPROVAL,
        policies=policies,
        explain=explanations.needs_approval(scope, question, verdict.deciding),
        facts=question.facts,
        obligations=tuple(
            Obligation(kind=Outcome.REQUIRE_APPROVAL, policy=policy) for policy in policies
        ),
    )


def _record(
    decision: Decision, *, scope: Scope, action: Action, resource: Resource, step: str
) -> None:
    sql.run(
        _INSERT,
        id=decision.id,
        organisation_id=scope.organisation_id,
        project_id=scope.project_id,
        run_id=scope.run_id,
        step=step,
        principal_kind=scope.principal.kind.value,
        principal_id=scope.principal.id,
        principal_name=scope.principal.name,
        action=action.value,
        resource_kind=resource.kind.value,
        resource_id=resource.id,
        resource_name=resource.name,
        outcome=decision.outcome.value,
        policies=orjson.dumps(decision.policies).decode(),
        facts=orjson.dumps(decision.facts, default=dict).decode(),
        bundle=decision.bundle,
        explain=decision.explain,
    )


def _record_bundle(bundle: cedar.Bundle) -> None:
    """Keep the text behind the hash, once; a process remembers only what was committed."""
    if bundle.sha256 in _recorded_bundles:
        return
    row = PolicyBundle(sha256=bundle.sha256, policies=bundle.policies, schema=bundle.schema)
    PolicyBundle.objects.bulk_create([row], ignore_conflicts=True)
    transaction.on_commit(lambda: _recorded_bundles.add(bundle.sha256))
