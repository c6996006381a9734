"""An agent hands the whole conversation over: another goes on, and its answer is the run's."""

import json
from typing import Any
from uuid import UUID

import pytest

from apps.governance.services import approvals
from apps.governance.types import Verdict
from apps.orchestration import selectors
from apps.orchestration.services import control, direct, forking, replay, retrying
from apps.orchestration.types.histories import Edit
from apps.orchestration.types.runs import RunStatus, RunView
from apps.tools import selectors as tools
from octavo.kernel import ids
from octavo.kernel.errors import Conflict, NotFound
from tests import runs
from tests.runs import Bench

OVER = ["handoff__scout", {"why": "It knows the shop.", "note": "Be brief."}]


@pytest.fixture
def pair(bench: Bench) -> None:
    runs.save(bench.scope, "scout", tools=("box_*",))
    runs.save(bench.scope, "boss", tools=("handoff__scout", "box_look", "box_outside"))


def hand_over(bench: Bench, *calls: Any, then: dict[str, Any]) -> tuple[UUID, UUID]:
    """A run of boss that hands over to scout, which is about to do `then`; both ids."""
    bench.chat.script = {"calls": [*calls, OVER]}
    run = runs.starting.start_run(scope=bench.scope, agent="boss", input="What is for sale?")
    parked = runs.advance(bench.scope, run.id)
    assert parked.waiting_on is not None, parked
    bench.chat.script = then
    return run.id, ids.decode(ids.Kind.RUN, parked.waiting_on.id)


def first(bench: Bench, run_id: UUID) -> dict[str, Any]:
    return dict(runs.events(bench.scope, run_id)[0].data)


def end(bench: Bench, parent: UUID, child: UUID) -> RunView:
    assert runs.advance(bench.scope, child).status.is_final
    return runs.advance(bench.scope, parent)


def test_the_other_agent_goes_on_and_answers(bench: Bench, pair: None) -> None:
    look = ["box_look", {"n": 7}]
    parent, child = hand_over(bench, look, then={"answer": "Bread."})
    done = end(bench, parent, child)
    name = ids.encode(ids.Kind.RUN, child)
    assert done.status is RunStatus.SUCCEEDED, done.error
    assert done.output is not None
    assert done.output["text"].strip() == "Bread."
    assert done.output["answered_by"] == {"run": name, "agent": "scout"}
    events = runs.events(bench.scope, parent)
    assert [event.type for event in events][-3:] == [
        "handed_off",
        "child_finished",
        "run_succeeded",
    ]
    handed = events[-3].data
    assert (handed["run"], handed["agent"], handed["why"]) == (name, "scout", OVER[1]["why"])
    assert [message["role"] for message in handed["conversation"]] == ["assistant", "tool", "user"]
    heard = [message["content"] for message in bench.chat.requests[-1]["messages"]]
    assert heard[1] == "What is for sale?"
    assert "box_look answered: saw 7" in heard[2]
    assert "Be brief." in heard[2]
    view = selectors.get_run(scope=bench.scope, run_id=child)
    assert (view.parent, view.input) == (parent, "What is for sale?")
    why = selectors.list_reasons(scope=bench.scope, run_id=parent)
    assert why[-1].chosen == {"tool": "handoff__scout", "arguments": {"why": OVER[1]["why"]}}
    for run_id in (parent, child):
        assert replay.replay_run(scope=bench.scope, run_id=run_id).equal


def test_a_dry_run_ends_as_the_recorded_hand_off_did(bench: Bench, pair: None) -> None:
    parent, child = hand_over(bench, then={"answer": "Bread."})
    ended = end(bench, parent, child)
    dry = forking.fork_run(scope=bench.scope, run_id=parent, at_step="model.1", dry_run=True)
    done = runs.advance(bench.scope, dry.id)
    assert done.status is RunStatus.SUCCEEDED, done.error
    assert done.output == ended.output
    assert replay.replay_run(scope=bench.scope, run_id=dry.id).equal
    assert bench.rows("SELECT count(*) FROM run WHERE parent_id = %s", dry.id) == [(0,)]


def test_a_dry_run_hands_over_for_no_other_reason(bench: Bench, pair: None) -> None:
    parent, child = hand_over(bench, then={"answer": "Bread."})
    end(bench, parent, child)
    call = {"name": "handoff__scout", "arguments": {"why": "Another reason."}}
    edit = Edit(step="model.1", output={"tool_calls": [call]})
    bench.chat.script = {"answer": "alone"}
    dry = forking.fork_run(
        scope=bench.scope, run_id=parent, at_step="model.1", edits=[edit], dry_run=True
    )
    done = runs.advance(bench.scope, dry.id)
    assert done.output is not None
    assert done.output["text"].strip() == "alone"
    assert "dry run" in bench.chat.requests[-1]["messages"][-1]["content"]
    assert bench.rows("SELECT count(*) FROM run WHERE parent_id = %s", dry.id) == [(0,)]


def test_taint_goes_over_with_the_conversation(bench: Bench, pair: None) -> None:
    _, child = hand_over(bench, ["box_outside", {"n": 1}], then={"answer": "ok"})
    assert first(bench, child)["tainted"] is True
    _, clean = hand_over(bench, ["box_look", {"n": 1}], then={"answer": "ok"})
    assert "tainted" not in first(bench, clean)


def test_a_failure_of_the_other_fails_the_run_and_names_it(bench: Bench, pair: None) -> None:
    parent, child = hand_over(bench, then={"answer": "never"})
    control.cancel_run(scope=bench.scope, run_id=child)
    failed = end(bench, parent, child)
    assert failed.status is RunStatus.FAILED
    assert failed.error is not None
    assert failed.error["code"] == "handoff"
    assert "'scout', which took over, was cancelled in run_" in failed.error["detail"]
    with pytest.raises(Conflict, match=ids.encode(ids.Kind.RUN, parent)):
        retrying.retry_run(scope=bench.scope, run_id=child)


def test_who_takes_over_may_wait_for_a_person(bench: Bench, pair: None) -> None:
    launch = ["box_launch", {"n": 1}]
    parent, child = hand_over(bench, then={"calls": [launch], "answer": "up"})
    waiting = runs.advance(bench.scope, child)
    assert waiting.waiting_on is not None
    assert "box_launch" in selectors.explain_run(scope=bench.scope, run_id=parent).summary
    approval = ids.decode(ids.Kind.APPROVAL, waiting.waiting_on.id)
    approvals.decide(scope=bench.scope, approval_id=approval, verdict=Verdict.REFUSE)
    control.redeliver_approvals()
    assert end(bench, parent, child).status is RunStatus.SUCCEEDED


def test_handing_back_and_forth_ends_at_the_depth_limit(bench: Bench) -> None:
    runs.save(bench.scope, "ping", tools=("handoff__*",))
    runs.save(bench.scope, "pong", tools=("handoff__ping",))
    over = ["handoff__pong", {"why": "yours"}], ["handoff__ping", {"why": "yours"}]
    bench.chat.script = {"calls": [over[0]] * 3}
    run = runs.starting.start_run(scope=bench.scope, agent="ping", input="Who?")
    chain = [run.id]
    while True:
        bench.chat.script = {"calls": [over[(len(chain) - 1) % 2]] * 3}
        stood = runs.advance(bench.scope, chain[-1])
        if stood.waiting_on is None:
            break
        chain.append(ids.decode(ids.Kind.RUN, stood.waiting_on.id))
    assert len(chain) == 9
    ended = [stood, *(runs.advance(bench.scope, run_id) for run_id in reversed(chain[:-1]))]
    assert {one.status for one in ended} == {RunStatus.FAILED}
    for one in (ended[0], ended[-1]):
        assert one.error is not None
        assert "8 deep" in one.error["detail"]


def test_only_its_name_grants_it_and_only_in_runs(bench: Bench, pair: None) -> None:
    runs.save(bench.scope, "loner", tools=("*", "agent__scout"))
    run = runs.start(bench.scope, "loner", calls=[OVER], answer="alone")
    assert runs.advance(bench.scope, run.id).status is RunStatus.SUCCEEDED
    answered = runs.events(bench.scope, run.id)[2].data
    assert "There is no tool handoff__scout" in answered["message"]["content"]
    listed = tools.list_granted(scope=bench.scope, patterns=("*",))
    assert not any(tool.name.startswith(("agent__", "handoff__")) for tool in listed)
    with pytest.raises(NotFound):
        direct.call_tool(scope=bench.scope, tool="handoff__scout", arguments=OVER[1])


def test_a_fork_of_who_took_over_begins_with_the_conversation(bench: Bench, pair: None) -> None:
    script = {"calls": [["box_look", {"n": 2}]], "answer": "Bread."}
    parent, child = hand_over(bench, ["box_outside", {"n": 1}], then=script)
    end(bench, parent, child)
    fork = forking.fork_run(scope=bench.scope, run_id=child, at_step="model.1")
    begun = first(bench, fork.id)
    known = first(bench, child)
    taken = ("conversation", "handed_off_by", "tainted")
    assert [begun[name] for name in taken] == [known[name] for name in taken]
    assert runs.advance(bench.scope, fork.id).status is RunStatus.SUCCEEDED
    assert replay.replay_run(scope=bench.scope, run_id=fork.id).equal


def test_a_cancelled_run_ends_who_took_over(bench: Bench, pair: None) -> None:
    parent, _ = hand_over(bench, then={"answer": "late"})
    control.cancel_run(scope=bench.scope, run_id=parent)
    assert runs.advance(bench.scope, parent).status is RunStatus.CANCELLED
    promised = "SELECT args FROM outbox WHERE name = 'orchestration.cancel_children'"
    assert str(parent) in json.dumps(bench.rows(promised))
