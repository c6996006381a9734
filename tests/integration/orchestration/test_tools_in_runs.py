"""Governed tool calls: approvals bind, effects happen once, refusals are readable, loops end."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, connections

from apps.governance import selectors as governance
from apps.governance.services import approvals
from apps.governance.types import Approval, Verdict
from apps.orchestration import selectors
from apps.orchestration.services import control, upkeep
from apps.orchestration.types.runs import EventType, RunStatus
from octavo.kernel import ids
from octavo.kernel.errors import Conflict
from tests import runs, toolbox
from tests.runs import Bench

LAUNCH: dict[str, Any] = {"calls": [["box_launch", {"n": 1}]], "answer": "done"}


def _asked(bench: Bench, run_id: UUID) -> Approval:
    waiting = selectors.get_run(scope=bench.scope, run_id=run_id).waiting_on
    assert waiting is not None
    assert waiting.kind == "approval"
    approval_id = ids.decode(ids.Kind.APPROVAL, waiting.id)
    return governance.get_approval(scope=bench.scope, approval_id=approval_id)


def _told(bench: Bench, run_id: UUID) -> list[dict[str, Any]]:
    """The results that the model read."""
    found = runs.events(bench.scope, run_id)
    return [dict(e.data) for e in found if e.type is EventType.TOOL_ANSWERED]


def _decide(bench: Bench, approval: Approval, verdict: Verdict, **more: Any) -> None:
    approvals.decide(scope=bench.scope, approval_id=approval.id, verdict=verdict, **more)
    jobs = "DELETE FROM outbox WHERE name = 'orchestration.approval_decided' RETURNING args"
    for (arguments,) in bench.rows(jobs):
        control.on_approval_decided(**arguments)


def test_an_irreversible_call_waits_for_approval_and_is_made_once(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope, **LAUNCH)
    waiting = runs.advance(bench.scope, run.id)
    assert waiting.status is RunStatus.WAITING
    assert toolbox.read_trail() == []
    assert runs.advance(bench.scope, run.id).status is RunStatus.WAITING

    _decide(bench, _asked(bench, run.id), Verdict.APPROVE)
    done = runs.advance(bench.scope, run.id)

    assert done.status is RunStatus.SUCCEEDED, done.error
    assert len(toolbox.read_trail()) == 1
    assert EventType.APPROVAL_DECIDED in runs.types(bench.scope, run.id)
    assert _told(bench, run.id)[0]["approval"].startswith("apr_")


def test_a_refused_call_is_not_made_and_the_model_reads_why(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope, **LAUNCH)
    runs.advance(bench.scope, run.id)

    _decide(bench, _asked(bench, run.id), Verdict.REFUSE, note="not on a Friday")
    done = runs.advance(bench.scope, run.id)

    assert done.status is RunStatus.SUCCEEDED
    assert toolbox.read_trail() == []
    result = _told(bench, run.id)[0]
    assert result["is_error"]
    assert "not on a Friday" in result["message"]["content"]


def test_edited_arguments_are_the_ones_that_are_used(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope, **LAUNCH)
    runs.advance(bench.scope, run.id)

    _decide(bench, _asked(bench, run.id), Verdict.APPROVE, arguments={"n": 7})
    runs.advance(bench.scope, run.id)

    assert _told(bench, run.id)[0]["arguments"] == {"n": 7}
    assert "sent 7" in _told(bench, run.id)[0]["message"]["content"]


def test_an_expired_approval_is_a_refusal(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope, **LAUNCH)
    runs.advance(bench.scope, run.id)
    bench.rows("UPDATE approval SET expires_at = now() - interval '1 s' RETURNING id")
    approvals.expire_due()
    upkeep.redeliver_approvals()

    done = runs.advance(bench.scope, run.id)
    assert done.status is RunStatus.SUCCEEDED
    assert toolbox.read_trail() == []
    assert "expired" in _told(bench, run.id)[0]["message"]["content"]


def test_two_verdicts_at_once_execute_the_call_once(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope, **LAUNCH)
    runs.advance(bench.scope, run.id)
    approval = _asked(bench, run.id)

    def decide(verdict: Verdict) -> bool:
        try:
            approvals.decide(scope=bench.scope, approval_id=approval.id, verdict=verdict)
        except Conflict:
            return False
        finally:
            connections.close_all()
        return True

    with ThreadPoolExecutor(2) as pool:
        taken = list(pool.map(decide, [Verdict.APPROVE, Verdict.REFUSE]))
    assert taken.count(True) == 1
    upkeep.redeliver_approvals()
    upkeep.redeliver_approvals()

    def activate(_: int) -> None:
        try:
            runs.engine.advance(run_id=str(run.id))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(activate, range(4)))
    assert selectors.get_run(scope=bench.scope, run_id=run.id).status is RunStatus.SUCCEEDED
    assert len(toolbox.read_trail()) == int(taken[0])


def test_a_verdict_whose_job_was_lost_is_found_again(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope, **LAUNCH)
    runs.advance(bench.scope, run.id)
    approval = _asked(bench, run.id)
    approvals.decide(scope=bench.scope, approval_id=approval.id, verdict=Verdict.APPROVE)
    bench.rows("DELETE FROM outbox RETURNING id")

    assert upkeep.redeliver_approvals() == 1
    assert runs.advance(bench.scope, run.id).status is RunStatus.SUCCEEDED
    assert len(toolbox.read_trail()) == 1


def test_egress_after_untrusted_content_needs_approval(bench: Bench) -> None:
    runs.save(bench.scope)
    clean = runs.start(bench.scope, calls=[["box_mail", {"n": 1}]])
    assert runs.advance(bench.scope, clean.id).status is RunStatus.SUCCEEDED
    tainted = runs.start(bench.scope, calls=[["box_outside", {"n": 1}], ["box_mail", {"n": 1}]])
    assert runs.advance(bench.scope, tainted.id).status is RunStatus.WAITING
    assert len(toolbox.read_trail()) == 1


def test_an_unsafe_call_that_was_cut_off_asks_instead_of_repeating(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope, calls=[["box_send", {"n": 1}]], answer="done")
    _cut_off_after_the_intent(bench, run.id)

    waiting = runs.advance(bench.scope, run.id)
    assert waiting.status is RunStatus.WAITING
    assert waiting.waiting_on is not None
    assert (waiting.waiting_on.kind, waiting.waiting_on.id) == ("effect", "tools.1.0")
    assert len(toolbox.read_trail()) == 1

    with pytest.raises(Conflict):
        control.resolve_effect(
            scope=bench.scope, run_id=run.id, step="tools.9.0", outcome="happened"
        )
    control.resolve_effect(
        scope=bench.scope, run_id=run.id, step="tools.1.0", outcome="happened", result="it is sent"
    )
    done = runs.advance(bench.scope, run.id)
    assert done.status is RunStatus.SUCCEEDED
    assert len(toolbox.read_trail()) == 1
    assert _told(bench, run.id)[0]["message"]["content"] == "it is sent"


def test_an_unsafe_call_that_did_not_happen_is_made_after_all(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope, calls=[["box_send", {"n": 1}]], answer="done")
    _cut_off_after_the_intent(bench, run.id)
    runs.advance(bench.scope, run.id)

    control.resolve_effect(
        scope=bench.scope, run_id=run.id, step="tools.1.0", outcome="not_happened"
    )
    assert runs.advance(bench.scope, run.id).status is RunStatus.SUCCEEDED
    assert len(toolbox.read_trail()) == 2
    assert bench.rows("SELECT state FROM effect") == [("done",)]


def _cut_off_after_the_intent(bench: Bench, run_id: UUID) -> None:
    """Take the lease away while the tool runs, as a hung worker would lose it."""
    with pytest.MonkeyPatch.context() as patch:
        taking = "UPDATE run SET status = 'ready', fence = fence + 1 RETURNING id"
        patch.setattr(toolbox, "meanwhile", lambda: bench.rows(taking))
        runs.engine.advance(run_id=str(run_id))


def test_a_same_database_effect_vanishes_with_a_lost_lease(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope, calls=[["box_count", {"n": 1}]])

    def lose_the_lease() -> None:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE run SET fence = fence + 1")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toolbox, "meanwhile", lose_the_lease)
        runs.engine.advance(run_id=str(run.id))
    assert bench.rows("SELECT * FROM toolbox_count") == []

    bench.rows("UPDATE run SET lease_until = now() - interval '1 s' RETURNING id")
    assert runs.advance(bench.scope, run.id).status is RunStatus.SUCCEEDED
    assert bench.rows("SELECT count(*) FROM toolbox_count") == [(1,)]


@pytest.mark.parametrize(
    ("call", "reads"),
    [
        (["box_look", {"n": "x"}], '- at /n: "x" is not of type "integer"'),
        (["box_look", {}], '"n" is a required property'),
        (["no_such_tool", {}], "There is no tool no_such_tool."),
        (["context_search", {"query": "x"}], "There is no tool context_search."),
    ],
)
def test_a_wrong_call_is_answered_so_that_the_model_can_repair_it(
    bench: Bench, call: list[Any], reads: str
) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope, calls=[call], answer="done")
    assert runs.advance(bench.scope, run.id).status is RunStatus.SUCCEEDED
    result = _told(bench, run.id)[0]
    assert result["is_error"]
    assert reads in result["message"]["content"]


def test_the_same_call_over_and_over_ends_the_run(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope, calls=[["box_look", {"n": 1}]] * 20)
    done = runs.advance(bench.scope, run.id)
    assert done.status is RunStatus.FAILED
    assert done.error is not None
    assert done.error["code"] == "loop"
    assert len(toolbox.read_trail()) == 5
