"""One verdict per approval, bound to exactly one call, told once to whoever waits."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from django.db import connections

from apps.accounts.services import create_service
from apps.accounts.types import Role
from apps.governance import cedar, facts, selectors
from apps.governance.services import approvals, decisions
from apps.governance.types import (
    Action,
    ApprovalStatus,
    Outcome,
    Resource,
    ResourceKind,
    Verdict,
)
from octavo.kernel import events, ids
from octavo.kernel.errors import Conflict, Forbidden, InvalidInput, NotFound
from octavo.kernel.models import Outbox
from octavo.kernel.scope import Principal, PrincipalKind

JOB = "orchestration.approval_decided"
ARGUMENTS = {"to": "ada", "amount": 5}
TOOL = Resource(kind=ResourceKind.TOOL, id=ids.new(), name="bank__pay")


@pytest.fixture
def admin(installation, monkeypatch):
    monkeypatch.setattr(events, "_subscribers", {approvals.DECIDED: [JOB]})
    return installation.scope.acting_as(installation.issued_key.key.principal)


@pytest.fixture
def member(admin):
    return admin.acting_as(create_service(scope=admin, name="bot", role=Role.MEMBER))


@pytest.fixture
def run(admin, monkeypatch):
    """The scope of a run, acting as an agent that may use every tool."""
    monkeypatch.setattr(facts, "_providers", dict(facts._providers))
    decisions.register_facts(
        kind=PrincipalKind.AGENT, provider=lambda *, scope, action, resource: {"granted": True}
    )
    agent = Principal(kind=PrincipalKind.AGENT, id=ids.new(), name="guide")
    return admin.acting_as(agent, run_id=ids.new())


def ask(run, *, step="tool:1", arguments=ARGUMENTS, expires_in=timedelta(hours=24)):
    decision = decisions.decide(
        scope=run, action=Action.TOOL_CALL, resource=TOOL, facts={"risk": "irreversible"}
    )
    assert decision.outcome is Outcome.REQUIRE_APPROVAL
    return approvals.request(
        scope=run,
        step=step,
        tool=TOOL.name,
        arguments=arguments,
        decision=decision,
        expires_in=expires_in,
    )


def give(scope, approval, verdict=Verdict.APPROVE, **more):
    return approvals.decide(scope=scope, approval_id=approval.id, verdict=verdict, **more)


def told():
    return [row.args for row in Outbox.objects.filter(name=JOB)]


def test_an_approved_call_is_verified_and_told_once(admin, run):
    asked = ask(run)
    assert (asked.status, asked.requested_by) == (ApprovalStatus.PENDING, "agent:guide")
    assert asked.policy == "irreversible-needs-approval"
    given = give(admin, asked, note="go on")
    assert (given.status, given.decided_by) == (ApprovalStatus.APPROVED, "user:admin@example.test")
    assert given.note == "go on"
    verified = approvals.verify(approval_id=asked.id, tool=TOOL.name, arguments=ARGUMENTS)
    assert verified == given
    assert told() == [{"approval_id": str(asked.id), "run_id": str(run.run_id)}]


def test_asking_again_for_the_same_call_returns_the_same_approval(admin, run):
    asked = ask(run)
    assert ask(run) == asked
    give(admin, asked, Verdict.REFUSE)
    assert ask(run).status is ApprovalStatus.REFUSED


def test_a_different_call_at_the_same_step_replaces_what_was_pending(admin, run):
    first = ask(run)
    second = ask(run, arguments={"to": "eve", "amount": 5})
    assert second.id != first.id
    assert selectors.get_approval(scope=run, approval_id=first.id).status == "cancelled"
    with pytest.raises(Conflict, match="already cancelled"):
        give(admin, first)


def test_of_two_verdicts_at_once_exactly_one_holds(admin, member, run):
    for step in range(10):
        asked = ask(run, step=f"tool:{step}")
        start = threading.Barrier(2)

        def decide(scope, verdict, asked=asked, start=start):
            start.wait(timeout=10)
            try:
                return give(scope, asked, verdict).status
            except Conflict:
                return "conflict"
            finally:
                connections.close_all()

        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(decide, (admin, member), (Verdict.APPROVE, Verdict.REFUSE)))
        kept = selectors.get_approval(scope=run, approval_id=asked.id).status
        assert sorted(answers) == sorted([kept, "conflict"])
    assert len(told()) == 10


def test_the_same_verdict_of_the_same_person_is_idempotent(admin, member, run):
    asked = ask(run)
    assert give(admin, asked) == give(admin, asked)
    for scope, verdict in ((admin, Verdict.REFUSE), (member, Verdict.APPROVE)):
        with pytest.raises(Conflict, match="already approved by user:admin") as refusal:
            give(scope, asked, verdict)
        assert refusal.value.extra["head"] == "approved"
    assert len(told()) == 1


def test_edited_arguments_bind_the_approval_to_the_edited_call(admin, run):
    asked = ask(run)
    edited = {"to": "ada", "amount": 1}
    given = give(admin, asked, arguments=edited)
    assert given.action_hash != asked.action_hash
    assert given.arguments == edited
    assert approvals.verify(approval_id=asked.id, tool=TOOL.name, arguments=edited) == given
    with pytest.raises(Conflict, match="different call"):
        approvals.verify(approval_id=asked.id, tool=TOOL.name, arguments=ARGUMENTS)
    with pytest.raises(Conflict):
        give(admin, asked, arguments=ARGUMENTS)
    with pytest.raises(InvalidInput, match="refusal carries no arguments"):
        give(admin, ask(run, step="tool:2"), Verdict.REFUSE, arguments=edited)


@pytest.mark.parametrize(
    "call",
    [
        {"tool": "bank__refund", "arguments": ARGUMENTS},
        {"tool": TOOL.name, "arguments": {"to": "ada", "amount": 6}},
        {"tool": TOOL.name, "arguments": {}},
    ],
)
def test_an_approval_covers_no_other_call(admin, run, call):
    asked = ask(run)
    give(admin, asked)
    with pytest.raises(Conflict, match="different call"):
        approvals.verify(approval_id=asked.id, **call)


def test_an_approval_does_not_outlive_the_policies_it_was_given_under(admin, run, monkeypatch):
    asked = ask(run)
    give(admin, asked)
    shipped = cedar.shipped_bundle()
    changed = cedar.load_bundle(policies=shipped.policies + "\n", schema=shipped.schema)
    monkeypatch.setattr(cedar, "shipped_bundle", lambda: changed)
    with pytest.raises(Conflict, match="policies have changed"):
        approvals.verify(approval_id=asked.id, tool=TOOL.name, arguments=ARGUMENTS)
    assert ask(run).status is ApprovalStatus.PENDING


def test_undecided_and_refused_calls_are_not_verified(admin, run):
    asked = ask(run)
    with pytest.raises(Conflict, match="is pending"):
        approvals.verify(approval_id=asked.id, tool=TOOL.name, arguments=ARGUMENTS)
    give(admin, asked, Verdict.REFUSE)
    with pytest.raises(Forbidden, match="refused by user:admin") as refusal:
        approvals.verify(approval_id=asked.id, tool=TOOL.name, arguments=ARGUMENTS)
    assert refusal.value.policies == ("irreversible-needs-approval",)


def test_what_nobody_decides_in_time_expires_once_and_is_told(admin, run, postgres):
    asked = ask(run)
    assert approvals.expire_due() == 0
    with psycopg.connect(postgres.owner_url) as connection:
        connection.execute("UPDATE approval SET expires_at = now()")
    assert approvals.expire_due() == 1
    assert approvals.expire_due() == 0
    with pytest.raises(Conflict, match="already expired"):
        give(admin, asked)
    with pytest.raises(Forbidden, match="expired"):
        approvals.verify(approval_id=asked.id, tool=TOOL.name, arguments=ARGUMENTS)
    assert len(told()) == 1


def test_a_verdict_that_comes_too_late_expires_the_approval_itself(admin, run):
    asked = ask(run, expires_in=timedelta(0))
    with pytest.raises(Conflict, match="already expired"):
        give(admin, asked)
    assert len(told()) == 1
    assert approvals.expire_due() == 0


def test_an_agent_cannot_approve_and_a_requester_cannot_approve_itself(member, run):
    asked = ask(run)
    with pytest.raises(Forbidden):
        give(run, asked)
    own = ask(member.acting_as(member.principal, run_id=ids.new()))
    with pytest.raises(Forbidden) as refusal:
        give(member, own)
    assert refusal.value.policies == ("approver-is-not-requester",)


def test_an_approval_of_another_project_does_not_exist(admin, run):
    asked = ask(run)
    elsewhere = replace(admin, project_id=ids.new())
    for look in (
        lambda: give(elsewhere, asked),
        lambda: selectors.get_approval(scope=elsewhere, approval_id=asked.id),
    ):
        with pytest.raises(NotFound):
            look()


def test_a_run_that_ends_takes_its_questions_back(admin, run):
    asked = ask(run)
    assert approvals.cancel_pending(run_id=run.run_id) == 1
    with pytest.raises(Conflict, match="already cancelled"):
        give(admin, asked)
    assert told() == []


def test_the_verdict_is_in_the_audit_chain(admin, run):
    give(admin, ask(run))
    entry = selectors.list_audit(scope=admin)[0]
    assert (entry.action, entry.outcome) == ("approval.decide", "approved")
    assert entry.actor == "user:admin@example.test"
    assert entry.payload["tool"] == TOOL.name


def test_approvals_are_listed_newest_first_by_status_and_page(admin, run):
    asked = [ask(run, step=f"tool:{number}") for number in range(3)]
    give(admin, asked[0])
    listed = selectors.list_approvals(scope=admin, limit=2)
    assert [approval.id for approval in listed] == [asked[2].id, asked[1].id]
    rest = selectors.list_approvals(scope=admin, before=listed[-1].id)
    assert [approval.id for approval in rest] == [asked[0].id]
    pending = selectors.list_approvals(scope=admin, status=ApprovalStatus.PENDING)
    assert len(pending) == 2
    with pytest.raises(Forbidden):
        selectors.list_approvals(scope=run)
