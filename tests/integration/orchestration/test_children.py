"""An agent hands work to another: a child run, waited for without a worker, lost by nobody."""

import json
from typing import Any
from uuid import UUID

import pytest

from apps.governance.services import budgets
from apps.governance.types import BudgetScope, Period
from apps.orchestration import selectors
from apps.orchestration.services import control, upkeep
from apps.orchestration.types.runs import EventType, RunStatus, RunView
from octavo.kernel import ids
from tests import runs
from tests.runs import Bench


@pytest.fixture
def pair(bench: Bench) -> None:
    runs.save(bench.scope, "scout", tools=("box_look", "box_outside"))
    runs.save(bench.scope, "boss", tools=("agent__scout",))


def ask(bench: Bench, **script: Any) -> RunView:
    """A run of `boss` that hands `script` to `scout` and then answers."""
    call = ["agent__scout", {"input": json.dumps(script)}]
    return runs.start(bench.scope, "boss", calls=[call], answer="reported")


def child_of(bench: Bench, run_id: UUID) -> RunView:
    parent = selectors.get_run(scope=bench.scope, run_id=run_id)
    assert parent.waiting_on is not None, parent
    assert parent.waiting_on.kind == "run"
    child_id = ids.decode(ids.Kind.RUN, parent.waiting_on.id)
    return selectors.get_run(scope=bench.scope, run_id=child_id)


def told(bench: Bench, run_id: UUID) -> dict[str, Any]:
    events = runs.events(bench.scope, run_id)
    return next(dict(e.data) for e in events if e.type is EventType.TOOL_ANSWERED)


def test_a_child_s_answer_is_the_parent_s_tool_result(bench: Bench, pair: None) -> None:
    parent = ask(bench, calls=[["box_look", {"n": 1}]], answer="found it")
    assert runs.advance(bench.scope, parent.id).status is RunStatus.WAITING
    child = child_of(bench, parent.id)
    assert (child.agent, child.parent, child.started_by) == ("scout", parent.id, "boss")
    assert runs.advance(bench.scope, child.id).status is RunStatus.SUCCEEDED

    done = runs.advance(bench.scope, parent.id)
    assert done.status is RunStatus.SUCCEEDED, done.error
    assert told(bench, parent.id)["message"]["content"].strip() == "found it"
    seen = runs.types(bench.scope, parent.id)
    assert seen.count(EventType.CHILD_STARTED) == seen.count(EventType.CHILD_FINISHED) == 1


def test_what_a_child_read_taints_its_parent(bench: Bench, pair: None) -> None:
    parent = ask(bench, calls=[["box_outside", {"n": 1}]], answer="careful")
    runs.advance(bench.scope, parent.id)
    runs.advance(bench.scope, child_of(bench, parent.id).id)
    runs.advance(bench.scope, parent.id)
    assert told(bench, parent.id)["trust"] == "untrusted"


def test_a_child_that_fails_is_an_error_that_the_parent_reads(bench: Bench, pair: None) -> None:
    parent = ask(bench, answer="never")
    runs.advance(bench.scope, parent.id)
    child = child_of(bench, parent.id)
    control.cancel_run(scope=bench.scope, run_id=child.id)
    assert runs.advance(bench.scope, child.id).status is RunStatus.CANCELLED
    assert runs.advance(bench.scope, parent.id).status is RunStatus.SUCCEEDED
    result = told(bench, parent.id)
    assert result["is_error"]
    assert "cancelled" in result["message"]["content"]


def test_a_run_s_budget_binds_its_children_too(bench: Bench, pair: None) -> None:
    parent = ask(bench, answer="too dear")
    budgets.set_limit(
        scope=bench.scope,
        on=BudgetScope.RUN,
        target_id=parent.id,
        period=Period.TOTAL,
        limit_calls=1,
    )
    assert runs.advance(bench.scope, parent.id).status is RunStatus.WAITING
    child = child_of(bench, parent.id)
    failed = runs.advance(bench.scope, child.id)
    assert failed.status is RunStatus.FAILED
    assert failed.error is not None
    assert failed.error["code"] == "budget_exceeded"


def test_cancelling_a_parent_ends_its_children_also_when_the_job_was_lost(
    bench: Bench, pair: None
) -> None:
    parent = ask(bench, answer="late")
    runs.advance(bench.scope, parent.id)
    child = child_of(bench, parent.id)
    control.cancel_run(scope=bench.scope, run_id=parent.id)
    assert runs.advance(bench.scope, parent.id).status is RunStatus.CANCELLED
    lost = "DELETE FROM outbox WHERE name = 'orchestration.cancel_children' RETURNING id"
    assert len(bench.rows(lost)) == 1
    assert upkeep.cancel_orphans() == 1
    assert upkeep.cancel_orphans() == 0
    assert runs.advance(bench.scope, child.id).status is RunStatus.CANCELLED


def test_agents_that_call_each_other_end_at_a_depth(bench: Bench) -> None:
    runs.save(bench.scope, "boss", tools=("agent__*",))
    again: dict[str, Any] = {"answer": "deep"}
    for _ in range(10):
        again = {"calls": [["agent__boss", {"input": json.dumps(again)}]], "answer": "deep"}
    run = runs.start(bench.scope, "boss", **again)
    chain = [run.id]
    while runs.advance(bench.scope, chain[-1]).status is RunStatus.WAITING:
        chain.append(child_of(bench, chain[-1]).id)
    assert len(chain) == 9
    assert "8 deep" in told(bench, chain[-1])["message"]["content"]
    for run_id in reversed(chain[:-1]):
        assert runs.advance(bench.scope, run_id).status is RunStatus.SUCCEEDED


def test_an_agent_without_the_grant_cannot_delegate(bench: Bench, pair: None) -> None:
    runs.save(bench.scope, "loner", tools=("box_look",))
    call = ["agent__scout", {"input": "x"}]
    run = runs.start(bench.scope, "loner", calls=[call], answer="alone")
    assert runs.advance(bench.scope, run.id).status is RunStatus.SUCCEEDED
    assert "There is no tool agent__scout" in told(bench, run.id)["message"]["content"]
