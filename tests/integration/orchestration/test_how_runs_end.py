"""Runs end with an answer or a reason: failures are retried without a worker, limits hold."""

import threading
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connections

from apps.agents.types import Limits
from apps.governance.types import BudgetScope, Period
from apps.inference.services import delivery
from apps.orchestration import journal, leases, selectors
from apps.orchestration.records import Head
from apps.orchestration.services import control, engine, starting, upkeep
from apps.orchestration.types.runs import EventType, RunStatus
from apps.orchestration.types.serving import RunFilter
from octavo.kernel import ids
from octavo.kernel.errors import Conflict, Forbidden, InvalidInput, NotFound
from octavo.kernel.scope import SYSTEM, Principal, PrincipalKind
from tests import runs, toolbox
from tests.runs import Bench

EXPIRE = "UPDATE run SET status = 'running', lease_until = now() - interval '1 s' RETURNING id"
AGE = "UPDATE event SET at = at - interval '1 min' WHERE type = 'model_failed' RETURNING seq"


def _let_timers_pass(bench: Bench) -> None:
    bench.rows("UPDATE timer SET fire_at = now() - interval '1 s' RETURNING id")
    bench.rows(AGE)
    upkeep.fire_timers()


def test_a_failed_model_call_is_retried_by_a_timer_and_then_succeeds(bench: Bench) -> None:
    runs.save(bench.scope)
    bench.chat.failures[:] = [500, 500]
    run = runs.start(bench.scope, answer="better")

    waiting = runs.advance(bench.scope, run.id)
    assert waiting.status is RunStatus.WAITING
    assert waiting.waiting_on is not None
    assert waiting.waiting_on.kind == "timer"
    assert runs.advance(bench.scope, run.id).status is RunStatus.WAITING

    _let_timers_pass(bench)
    done = runs.advance(bench.scope, run.id)
    assert done.status is RunStatus.SUCCEEDED, done.error
    failed = [e for e in runs.events(bench.scope, run.id) if e.type is EventType.MODEL_FAILED]
    assert [e.attempt for e in failed] == [1]
    assert failed[0].data["retry_in"] == 1


def test_a_model_that_never_answers_fails_the_run_in_its_own_words(bench: Bench) -> None:
    runs.save(bench.scope)
    bench.chat.failures[:] = [500] * 50
    run = runs.start(bench.scope)
    for _ in range(10):
        ended = runs.advance(bench.scope, run.id)
        if ended.status.is_final:
            break
        _let_timers_pass(bench)
    assert ended.status is RunStatus.FAILED
    assert ended.error is not None
    assert ended.error["code"] == "model_failed"
    assert "scripted" in ended.error["detail"]


def test_a_run_outlives_a_model_server_that_restarts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.save(bench.scope)
    bench.chat.failures[:] = [503] * 50
    run = runs.start(bench.scope, answer="back")
    for _ in range(12):
        assert runs.advance(bench.scope, run.id).status is RunStatus.WAITING
        _let_timers_pass(bench)
    failed = [e for e in runs.events(bench.scope, run.id) if e.type is EventType.MODEL_FAILED]
    assert any("is left alone" in e.data["detail"] for e in failed)
    assert [e.data["retry_in"] for e in failed] == [1, 2, 4, 8, 15, *[30] * 7]

    bench.chat.failures.clear()
    monkeypatch.setattr(delivery, "_circuits", {})  # as in a worker that saw none of it
    assert runs.advance(bench.scope, run.id).status is RunStatus.SUCCEEDED


def test_a_refused_request_is_not_repeated(bench: Bench) -> None:
    runs.save(bench.scope)
    bench.chat.failures[:] = [400]
    run = runs.start(bench.scope)
    ended = runs.advance(bench.scope, run.id)
    assert ended.status is RunStatus.FAILED
    assert ended.error is not None
    assert ended.error["code"] == "model_failed"
    assert "scripted failure" in ended.error["detail"]


def test_a_run_without_budget_left_fails_and_says_so(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope)
    from apps.governance.services import budgets

    budgets.set_limit(
        scope=bench.scope.acting_as(SYSTEM),
        on=BudgetScope.RUN,
        target_id=run.id,
        period=Period.TOTAL,
        limit_calls=0,
    )
    ended = runs.advance(bench.scope, run.id)
    assert ended.status is RunStatus.FAILED
    assert ended.error is not None
    assert ended.error["code"] == "budget_exceeded"


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(max_steps=3), "max_steps"),
        (Limits(max_tokens=40), "max_tokens"),
        (Limits(deadline_seconds=1), "deadline"),
    ],
)
def test_limits_end_a_run(bench: Bench, limits: Limits, code: str) -> None:
    runs.save(bench.scope, limits=limits)
    calls = [["box_look", {"n": n}] for n in range(20)]
    run = runs.start(bench.scope, calls=calls)
    if code == "deadline":
        bench.rows("UPDATE run SET deadline_at = now() RETURNING id")
    ended = runs.advance(bench.scope, run.id)
    assert ended.status is RunStatus.FAILED
    assert ended.error is not None
    assert ended.error["code"] == code


def test_a_deadline_wakes_a_run_that_waits(bench: Bench) -> None:
    runs.save(bench.scope, limits=Limits(deadline_seconds=3600))
    run = runs.start(bench.scope, calls=[["box_launch", {"n": 1}]])
    assert runs.advance(bench.scope, run.id).status is RunStatus.WAITING
    bench.rows("UPDATE run SET deadline_at = now() RETURNING id")
    _let_timers_pass(bench)
    ended = runs.advance(bench.scope, run.id)
    assert ended.error is not None
    assert ended.error["code"] == "deadline"
    assert bench.rows("SELECT status FROM approval") == [("cancelled",)]


def test_a_queued_and_a_waiting_run_can_be_cancelled(bench: Bench) -> None:
    runs.save(bench.scope)
    queued = runs.start(bench.scope)
    control.cancel_run(scope=bench.scope, run_id=queued.id)
    assert runs.advance(bench.scope, queued.id).status is RunStatus.CANCELLED
    assert bench.chat.requests == []

    waiting = runs.start(bench.scope, calls=[["box_launch", {"n": 1}]])
    runs.advance(bench.scope, waiting.id)
    control.cancel_run(scope=bench.scope, run_id=waiting.id)
    assert runs.advance(bench.scope, waiting.id).status is RunStatus.CANCELLED
    assert bench.rows("SELECT status FROM approval") == [("cancelled",)]
    assert control.cancel_run(scope=bench.scope, run_id=waiting.id).status is RunStatus.CANCELLED


def test_cancelling_cuts_off_a_live_model_call(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope, delay=30)
    thread = threading.Thread(target=_advance_and_close, args=[str(run.id)])
    thread.start()
    runs.eventually(lambda: bench.chat.open_calls == 1)
    control.cancel_run(scope=bench.scope, run_id=run.id)
    upkeep.heartbeat()
    thread.join(10)
    assert not thread.is_alive()
    assert selectors.get_run(scope=bench.scope, run_id=run.id).status is RunStatus.CANCELLED
    runs.eventually(lambda: bench.chat.cut_off == 1)
    assert bench.rows("SELECT status, cost_usd FROM usage")[0][0] == "cancelled"


def _advance_and_close(run_id: str) -> None:
    try:
        engine.advance(run_id=run_id)
    finally:
        connections.close_all()


def test_a_run_that_is_over_cannot_be_cancelled(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope)
    runs.advance(bench.scope, run.id)
    with pytest.raises(Conflict):
        control.cancel_run(scope=bench.scope, run_id=run.id)


def test_a_long_run_yields_and_goes_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "YIELD_AFTER_STEPS", 4)
    runs.save(bench.scope)
    run = runs.start(bench.scope, calls=[["box_look", {"n": n}] for n in range(5)])
    assert runs.advance(bench.scope, run.id).status is RunStatus.QUEUED
    assert bench.rows("SELECT count(*) FROM outbox") == [(2,)]
    assert runs.advance(bench.scope, run.id).status is RunStatus.QUEUED
    assert runs.advance(bench.scope, run.id).status is RunStatus.SUCCEEDED


def test_an_activation_that_crashes_three_times_is_quarantined(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope, calls=[["box_look", {"n": 1}]])

    def broken(*_: Any) -> None:
        raise ZeroDivisionError("boom")

    monkeypatch.setattr(engine, "call_model", broken)
    assert runs.advance(bench.scope, run.id).status is RunStatus.QUEUED
    assert runs.advance(bench.scope, run.id).status is RunStatus.QUEUED
    ended = runs.advance(bench.scope, run.id)
    assert ended.status is RunStatus.QUARANTINED
    assert ended.error is not None
    assert "boom" in ended.error["detail"]
    assert runs.types(bench.scope, run.id)[-1] is EventType.RUN_QUARANTINED


def test_progress_between_crashes_keeps_a_run_out_of_quarantine(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope)
    for _ in range(2):
        bench.rows(EXPIRE)
        assert upkeep.reap() == 1
    assert bench.rows("SELECT crashes, status FROM run") == [(2, "ready")]
    assert runs.advance(bench.scope, run.id).status is RunStatus.SUCCEEDED
    assert bench.rows("SELECT crashes FROM run") == [(0,)]


def test_a_lease_lost_three_times_at_the_same_event_is_quarantined(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope)
    for _ in range(3):
        bench.rows(EXPIRE)
        upkeep.reap()
    ended = selectors.get_run(scope=bench.scope, run_id=run.id)
    assert ended.status is RunStatus.QUARANTINED
    assert ended.error is not None
    assert "3 times" in ended.error["detail"]


def test_a_lost_hint_is_sent_again_and_less_and_less_often(bench: Bench) -> None:
    runs.save(bench.scope)
    runs.start(bench.scope)
    bench.rows("DELETE FROM outbox RETURNING id")
    assert upkeep.remind() == 0
    for age, sent in ((11, 1), (11, 0), (21, 1), (21, 0)):
        bench.rows("UPDATE run SET hinted_at = now() - make_interval(secs => %s) RETURNING id", age)
        assert upkeep.remind() == sent
    assert upkeep.remind_all() == 1


def test_a_step_that_overstays_its_time_loses_its_lease(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope)
    claimed = journal.claim(run_id=run.id, owner="test")
    assert claimed is not None
    head: Head = claimed[1]
    with leases.hold(run.id, head.fence) as lease:
        assert upkeep.heartbeat() == 1
        lease.allow(-1)
        assert upkeep.heartbeat() == 0
        lease.allow(10)
        bench.rows("UPDATE run SET fence = fence + 1 RETURNING id")
        assert upkeep.heartbeat() == 0
        assert lease.lost


def test_the_decision_to_start_belongs_to_the_run_and_to_who_asked(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope)
    started = "SELECT principal_id, outcome FROM decision WHERE action = 'run.start'"
    asked = (bench.scope.principal.id, "allow")
    assert bench.rows(f"{started} AND run_id = %s", run.id) == [asked]


def test_starting_refuses_what_cannot_run(bench: Bench) -> None:
    runs.save(bench.scope)
    start = starting.start_run
    with pytest.raises(NotFound):
        start(scope=bench.scope, agent="nobody", input="x")
    with pytest.raises(NotFound):
        start(scope=bench.scope, agent="worker-bee", input="x", version=9)
    with pytest.raises(InvalidInput) as wrong:
        start(scope=bench.scope, agent="worker-bee", input="  ", budget_usd=Decimal(-1))
    assert [error["path"] for error in wrong.value.errors] == ["/input", "/budget_usd"]
    nobody = Principal(kind=PrincipalKind.USER, id=ids.new(), name="nobody")
    with pytest.raises(Forbidden):
        start(scope=bench.scope.acting_as(nobody), agent="worker-bee", input="x")
    assert bench.rows("SELECT count(*) FROM run") == [(0,)]


def test_a_run_is_read_in_its_own_project_by_those_who_may(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope)
    nobody = Principal(kind=PrincipalKind.USER, id=ids.new(), name="nobody")
    with pytest.raises(NotFound):
        selectors.get_run(scope=bench.scope.acting_as(nobody), run_id=run.id)
    assert selectors.list_runs(scope=bench.scope.acting_as(nobody)) == []
    before = bench.rows("SELECT count(*) FROM decision")
    assert (
        selectors.list_runs(scope=bench.scope, wanted=RunFilter(agent="worker-bee"))[0].id == run.id
    )
    for wanted in (
        RunFilter(status=RunStatus.FAILED),
        RunFilter(since=run.created_at + timedelta(days=1)),
    ):
        assert selectors.list_runs(scope=bench.scope, wanted=wanted) == []
    assert bench.rows("SELECT count(*) FROM decision") == before


def test_a_trace_is_the_journal_seen_as_spans(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope, calls=[["box_look", {"n": 1}]], answer="done")
    done = runs.advance(bench.scope, run.id)
    view, spans = selectors.get_trace(scope=bench.scope, trace_id=done.trace_id)
    assert view.id == run.id
    assert [span.kind for span in spans] == ["agent", "model", "tool", "model"]
    root, *steps = spans
    assert {span.parent_id for span in steps} == {root.span_id}
    assert len({span.span_id for span in spans}) == 4
    assert all(root.started_at <= s.started_at <= s.ended_at <= root.ended_at for s in steps)
    tool = steps[1]
    assert tool.attributes["octavo.decisions"][0]["outcome"] == "allow"
    assert selectors.get_trace(scope=bench.scope, trace_id=done.trace_id)[1] == spans
    for wrong in ("zz", ids.new().hex):
        with pytest.raises(NotFound):
            selectors.get_trace(scope=bench.scope, trace_id=wrong)


def test_every_prompt_can_be_read_back_as_it_was_sent(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope, calls=[["box_look", {"n": 1}], ["box_look", {"n": 2}]])
    runs.advance(bench.scope, run.id)
    answered = [e for e in runs.events(bench.scope, run.id) if e.type is EventType.MODEL_ANSWERED]
    for event, request in zip(answered, bench.chat.requests, strict=True):
        prompt = selectors.get_prompt(scope=bench.scope, run_id=run.id, seq=event.seq)
        sent = [(m["role"], m["content"] or "") for m in request["messages"]]
        assert [(m["role"], m["content"]) for m in prompt] == sent
    assert toolbox.read_trail()


def test_nul_and_lone_surrogates_do_not_stop_a_run(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope, calls=[["box_look", {"n\x00": "\ud800"}]], answer="a\x00b")
    done = runs.advance(bench.scope, run.id)
    assert done.status is RunStatus.SUCCEEDED, done.error
