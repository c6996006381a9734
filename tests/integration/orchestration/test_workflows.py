"""Workflows on the real engine: every kind of node, joins, failures, and edits under way."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from apps.governance import selectors as governance
from apps.governance.services import approvals
from apps.governance.types import ApprovalStatus, Verdict
from apps.orchestration import selectors
from apps.orchestration.fold import STEP_RESULTS
from apps.orchestration.services import control, retrying, upkeep, workflow_runs, workflows
from apps.orchestration.types.runs import EventType, RunStatus, RunView
from apps.orchestration.types.serving import RunFilter
from octavo.kernel.errors import Forbidden, InvalidInput
from octavo.kernel.scope import Scope
from tests import runs
from tests.runs import Bench

EVERYTHING = """
description: Every kind of node.
input_schema: {type: object, required: [topic, items]}
nodes:
  - {id: scout, kind: agent, agent: worker-bee, input: '{"answer": "about {{ input.topic }}"}'}
  - id: each
    kind: map
    over: input.items
    concurrency: 4
    body:
      nodes: [{id: look, kind: tool, tool: box_look, arguments: {n: "{{ item }}"}}]
  - id: refine
    kind: loop
    until: round == 2
    max_rounds: 3
    body:
      nodes: [{id: think, kind: model, prompt: '{"answer": "thought {{ round }}"}'}]
  - {id: risky, kind: tool, tool: box_far_read, arguments: {n: 1, mood: away}}
  - {id: rescue, kind: tool, tool: box_look, arguments: {n: 99}}
  - {id: pause, kind: wait, seconds: 1}
  - {id: below, kind: workflow, workflow: small, input: {n: "{{ size(input.items) }}"}}
  - {id: which, kind: branch}
  - {id: sure, kind: approval, message: "Tell everybody about {{ input.topic }}?"}
  - {id: never, kind: tool, tool: box_look, arguments: {n: 0}}
edges:
  - {from: risky, to: rescue, on: error}
  - {from: scout, to: which}
  - {from: each, to: which}
  - {from: refine, to: which}
  - {from: rescue, to: which}
  - {from: pause, to: which}
  - {from: below, to: which}
  - {from: which, to: sure, when: "nodes.each.data.size() == 20"}
  - {from: which, to: never, otherwise: true}
output:
  scout: "{{ nodes.scout.text }}"
  looked: "{{ nodes.each.data }}"
  thought: "{{ nodes.refine.text }}"
  rescued: "{{ nodes.rescue.text }} after {{ nodes.risky.error.code }}"
  below: "{{ nodes.below.text }}"
  approved: "{{ nodes.sure.data.approved }}"
"""
SMALL = """
nodes: [{id: one, kind: tool, tool: box_look, arguments: {n: "{{ input.n }}"}}]
"""


def save(bench: Bench, name: str, source: str, *, create: bool = True) -> None:
    workflows.save_workflow(scope=bench.scope, name=name, source=source, create=create)


def start(bench: Bench, name: str, input: Any, *, scope: Scope | None = None) -> RunView:
    return workflow_runs.start_workflow(scope=scope or bench.scope, workflow=name, input=input)


def settle(bench: Bench, run_id: UUID) -> RunView:
    """Advance whatever is ready, children too, and fire timers, until a person is asked or the
    run is over.
    """

    def is_settled() -> bool:
        upkeep.fire_timers()
        for (ready,) in bench.rows("SELECT id FROM run WHERE status = 'ready' ORDER BY id"):
            runs.advance(bench.scope, ready)
        view = selectors.get_run(scope=bench.scope, run_id=run_id)
        asks = view.waiting_on is not None and view.waiting_on.kind in {"approval", "input"}
        return view.status.is_final or asks

    runs.eventually(is_settled, within=60)
    return selectors.get_run(scope=bench.scope, run_id=run_id)


def decide(bench: Bench, run: RunView, verdict: Verdict) -> None:
    (asked,) = governance.list_approvals(scope=bench.scope, status=ApprovalStatus.PENDING)
    assert asked.tool == "ask_approval"
    approvals.decide(scope=bench.scope, approval_id=asked.id, verdict=verdict)
    control.on_approval_decided(approval_id=str(asked.id), run_id=str(run.id))


def test_every_kind_of_node_does_its_work(bench: Bench) -> None:
    runs.save(bench.scope)
    save(bench, "small", SMALL)
    save(bench, "everything", EVERYTHING)
    given = {"topic": "owls", "items": list(range(20))}
    run = start(bench, "everything", given, scope=runs.robot_of(bench.scope))
    asked = settle(bench, run.id)
    assert asked.waiting_on is not None, asked.error
    assert (asked.waiting_on.kind, asked.workflow, asked.version) == ("approval", "everything", 1)
    assert asked.agent is None

    decide(bench, run, Verdict.APPROVE)
    done = settle(bench, run.id)
    assert done.status is RunStatus.SUCCEEDED, done.error
    assert done.output is not None
    said = done.output["data"]
    assert said["scout"].strip() == "about owls"
    assert said["looked"] == [f"saw {n}" for n in range(20)]
    assert said["thought"].strip() == "thought 2"
    assert said["rescued"] == "saw 99 after tool_error"
    assert (said["below"], said["approved"]) == ("saw 20", True)
    steps = Counter(
        event.step for event in runs.events(bench.scope, run.id) if event.type in STEP_RESULTS
    )
    assert set(steps.values()) == {1}
    assert {"each[19].look", "refine[2].think", "risky", "rescue", "sure"} <= set(steps)
    assert not {"never", "each[20].look", "refine[3].think"} & set(steps)


def test_a_refused_approval_fails_the_run_that_has_no_other_way(bench: Bench) -> None:
    save(bench, "ask", "nodes: [{id: sure, kind: approval, message: Go on}]")
    run = start(bench, "ask", "now", scope=runs.robot_of(bench.scope))
    assert settle(bench, run.id).waiting_on is not None
    decide(bench, run, Verdict.REFUSE)
    done = settle(bench, run.id)
    assert done.error is not None
    assert done.error["code"] == "refused"
    assert done.error["detail"].startswith("sure: ")
    again = retrying.retry_run(scope=bench.scope, run_id=run.id)
    assert (again.workflow, again.version, again.retry_of) == ("ask", 1, run.id)


def test_the_losers_of_a_join_are_cancelled_with_their_children(bench: Bench) -> None:
    runs.save(bench.scope)
    runs.save(bench.scope, "slow", tools=("wait",))
    script = json.dumps({"calls": [["wait", {"seconds": 3600}]], "answer": "late"})
    save(
        bench,
        "race",
        f"""
nodes:
  - {{id: quick, kind: agent, agent: worker-bee, input: '{{"answer": "first"}}'}}
  - {{id: second, kind: agent, agent: worker-bee, input: '{{"answer": "second"}}'}}
  - {{id: slow, kind: agent, agent: slow, input: {json.dumps(script)}}}
  - {{id: pick, kind: tool, tool: box_look, join: 2, arguments: {{n: 7}}}}
edges:
  - {{from: quick, to: pick}}
  - {{from: second, to: pick}}
  - {{from: slow, to: pick}}
output: "{{{{ nodes.pick.text }}}}, slow was {{{{ nodes.slow.status }}}}"
""",
    )
    run = start(bench, "race", "go")
    done = settle(bench, run.id)
    assert done.output is not None, done.error
    assert done.output["text"] == "saw 7, slow was cancelled"
    children = selectors.list_runs(scope=bench.scope, wanted=RunFilter(agent="slow"))
    runs.eventually(lambda: settle(bench, children[0].id).status is RunStatus.CANCELLED)


def test_runs_under_way_stay_on_their_version(bench: Bench) -> None:
    text = """
nodes:
  - {id: which, kind: branch}
  - {id: wait, kind: wait, seconds: 1}
  - {id: say, kind: tool, tool: box_look, arguments: {n: 1}}
edges:
  - {from: which, to: wait, when: input.n < 10}
  - {from: which, to: say, otherwise: true}
  - {from: wait, to: say}
"""
    save(bench, "edited", text)
    first = [start(bench, "edited", {"n": n}) for n in range(100)]
    for run in first[:10]:
        assert runs.advance(bench.scope, run.id).status is RunStatus.WAITING
    save(bench, "edited", text.replace("n: 1", "n: 2"), create=False)
    last = start(bench, "edited", {"n": 100})
    assert [settle(bench, run.id).output for run in first] == [
        {"text": "saw 1", "citations": []} for _ in first
    ]
    assert {run.version for run in first} == {1}
    done = settle(bench, last.id)
    assert (done.version, (done.output or {})["text"]) == (2, "saw 2")


def test_an_agent_calls_a_workflow_as_a_tool_with_its_own_rights_only(bench: Bench) -> None:
    save(bench, "small", SMALL)
    for name, tools in (
        ("may", ("workflow__small", "box_look")),
        ("may-not", ("workflow__small",)),
    ):
        runs.save(bench.scope, name, tools=tools)
        call = ["workflow__small", {"input": {"n": 5}}]
        run = settle(bench, runs.start(bench.scope, name, calls=[call], answer="done").id)
        assert run.status is RunStatus.SUCCEEDED, run.error
        (told,) = (
            event.data
            for event in runs.events(bench.scope, run.id)
            if event.type is EventType.TOOL_ANSWERED
        )
        assert told["is_error"] is (name == "may-not"), told
        assert ("saw 5" in told["message"]["content"]) is (name == "may")


def test_a_workflow_acts_within_the_scopes_of_the_key_that_started_it(bench: Bench) -> None:
    save(bench, "small", SMALL)
    narrow = replace(bench.scope, key_scopes=("run.start", "run.read"))
    done = settle(bench, start(bench, "small", {"n": 1}, scope=narrow).id)
    assert done.error is not None
    assert done.error["code"] == "refused"


def test_input_that_does_not_fit_starts_nothing(bench: Bench) -> None:
    save(bench, "strict", SMALL + "input_schema: {type: object, required: [n]}\n")
    with pytest.raises(InvalidInput, match="input_schema"):
        start(bench, "strict", {"m": 1})
    assert selectors.list_runs(scope=bench.scope) == []


def test_what_is_wrong_is_said_before_it_is_saved_each_where_it_stands(bench: Bench) -> None:
    text = """\
nodes:
  - id: look
    kind: tool
    tool: box_lok
  - id: more
    kind: tool
    tool: box_look
    arguments: {n: "seven", "o": 1}
  - id: ask
    kind: agent
    agent: nobody
    input: "{{ nodes.more.text }} and {{ nodes.mroe.text }}"
edges:
  - {from: more, to: ask}
"""
    found = workflows.list_problems(scope=bench.scope, source=text)
    assert [(problem.line, problem.column, problem.path) for problem in found] == [
        (4, 11, "/nodes/0/tool"),
        (8, 16, "/nodes/1/arguments"),
        (8, 20, "/nodes/1/arguments/n"),
        (11, 12, "/nodes/2/agent"),
        (12, 42, "/nodes/2/input"),
    ]
    assert "`nodes.mroe.text` is not known here" in found[-1].detail
    with pytest.raises(InvalidInput, match="line 4, column 11"):
        save(bench, "wrong", text)


def test_only_who_may_manage_workflows_saves_them(bench: Bench) -> None:
    with pytest.raises(Forbidden):
        workflows.save_workflow(
            scope=replace(bench.scope, key_scopes=("agent.manage",)),
            name="small",
            source=SMALL,
            create=True,
        )
