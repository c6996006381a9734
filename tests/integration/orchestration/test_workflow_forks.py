"""Runs of workflows are forked at a node, with other results, input or definition."""

import json
from typing import Any
from uuid import UUID

import pytest

from apps.orchestration import selectors
from apps.orchestration.services import forking, replay, workflow_runs, workflows
from apps.orchestration.types.histories import Edit
from apps.orchestration.types.runs import EventType, RunStatus, RunView
from octavo.kernel.errors import InvalidInput, NotFound
from tests import runs, toolbox
from tests.integration.orchestration.test_workflows import settle
from tests.runs import Bench

CHOOSES = """
nodes:
  - {id: look, kind: tool, tool: box_look, arguments: {n: "{{ input.n }}"}}
  - {id: which, kind: branch}
  - {id: sold, kind: tool, tool: box_look, arguments: {n: 100}}
  - {id: free, kind: tool, tool: box_look, arguments: {n: 200}}
  - {id: say, kind: model, prompt: '{"answer": "said {{ nodes.look.text }}"}'}
edges:
  - {from: look, to: which}
  - {from: which, to: sold, when: "nodes.look.text == 'sold out'"}
  - {from: which, to: free, otherwise: true}
  - {from: sold, to: say}
  - {from: free, to: say}
"""
EACH = """
nodes:
  - id: each
    kind: map
    over: input.items
    concurrency: 1
    body:
      nodes: [{id: put, kind: tool, tool: box_keyed, arguments: {n: "{{ item }}"}}]
output: "{{ nodes.each.data }}"
"""
RESCUED = """
nodes:
  - {id: think, kind: model, prompt: '{"answer": "thought"}'}
  - {id: rescue, kind: tool, tool: box_look, arguments: {n: 9}}
edges: [{from: think, to: rescue, on: error}]
"""


def save(bench: Bench, source: str, *, name: str = "flow", create: bool = True) -> None:
    workflows.save_workflow(scope=bench.scope, name=name, source=source, create=create)


def finished(bench: Bench, source: str, input: Any) -> RunView:
    save(bench, source)
    run = workflow_runs.start_workflow(scope=bench.scope, workflow="flow", input=input)
    return settle(bench, run.id)


def steps(bench: Bench, run_id: UUID, *, inherited: bool) -> list[str]:
    return [
        event.step
        for event in runs.events(bench.scope, run_id)
        if event.type in {EventType.TOOL_ANSWERED, EventType.MODEL_ANSWERED}
        and event.inherited is inherited
    ]


def test_an_edited_result_takes_the_other_way(bench: Bench) -> None:
    parent = finished(bench, CHOOSES, {"n": 1})
    assert parent.status is RunStatus.SUCCEEDED, parent.error
    fork = forking.fork_run(
        scope=bench.scope,
        run_id=parent.id,
        at_step="look",
        edits=[Edit(step="look", output="sold out")],
    )
    assert fork.workflow == "flow"
    ended = settle(bench, fork.id)
    assert ended.status is RunStatus.SUCCEEDED, ended.error
    assert ended.output is not None
    assert ended.output["text"].strip() == "said sold out"
    assert steps(bench, fork.id, inherited=True) == ["look"]
    assert steps(bench, fork.id, inherited=False) == ["sold", "say"]
    assert ended.forked_from is not None
    assert ended.forked_from.run == parent.id
    diff = selectors.compare_runs(scope=bench.scope, a=parent.id, b=fork.id)
    assert diff.first_difference == "look"
    assert replay.replay_run(scope=bench.scope, run_id=fork.id).equal
    assert replay.replay_run(scope=bench.scope, run_id=parent.id).equal


def test_what_a_map_has_done_is_not_done_again(bench: Bench) -> None:
    parent = finished(bench, EACH, {"items": [1, 2, 3, 4]})
    assert parent.status is RunStatus.SUCCEEDED, parent.error
    before = len(toolbox.read_trail())
    fork = forking.fork_run(scope=bench.scope, run_id=parent.id, at_step="each[1].put")
    ended = settle(bench, fork.id)
    assert ended.status is RunStatus.SUCCEEDED, ended.error
    assert steps(bench, fork.id, inherited=True) == ["each[0].put", "each[1].put"]
    assert steps(bench, fork.id, inherited=False) == ["each[2].put", "each[3].put"]
    assert len(toolbox.read_trail()) == before + 2
    assert ended.output == parent.output


def test_a_model_that_was_given_up_stays_given_up(bench: Bench) -> None:
    bench.chat.failures = [400]
    parent = finished(bench, RESCUED, {"n": 1})
    assert parent.status is RunStatus.SUCCEEDED, parent.error
    fork = forking.fork_run(scope=bench.scope, run_id=parent.id, at_step="rescue")
    ended = settle(bench, fork.id)
    assert ended.status is RunStatus.SUCCEEDED, ended.error
    assert steps(bench, fork.id, inherited=False) == []
    assert replay.replay_run(scope=bench.scope, run_id=fork.id).equal


def test_a_fork_goes_on_with_another_version(bench: Bench) -> None:
    parent = finished(bench, CHOOSES, {"n": 1})
    save(bench, CHOOSES.replace("{n: 200}", "{n: 201}"), create=False)
    fork = forking.fork_run(scope=bench.scope, run_id=parent.id, at_step="look", version=2)
    ended = settle(bench, fork.id)
    assert ended.version == 2
    seen = [e.data["arguments"] for e in runs.events(bench.scope, fork.id) if e.step == "free"]
    assert {"n": 201} in seen


@pytest.mark.parametrize(
    ("asked", "path", "said"),
    [
        ({"version": 2}, "/at_step", "version 2 of 'flow' does not come to 'free'"),
        ({"edits": [Edit(step="look", output="sold out")]}, "/at_step", "does not come to 'free'"),
        ({"route": "default"}, "/route", "name their own routes"),
        ({"at_step": "which"}, "", "no finished step 'which'"),
        ({"at_step": "say", "edits": [Edit(step="none", output="x")]}, "/edits/0/step", "'none'"),
        ({"version": 9}, "", "no version 9"),
    ],
)
def test_what_cannot_be_forked_is_refused_with_its_cause(
    bench: Bench, asked: dict[str, Any], path: str, said: str
) -> None:
    parent = finished(bench, CHOOSES, {"n": 1})
    renamed = CHOOSES.replace("id: free", "id: open").replace("free", "open")
    save(bench, renamed, create=False)
    wanted = {"at_step": "free", **asked}
    with pytest.raises((InvalidInput, NotFound), match=said) as refused:
        forking.fork_run(scope=bench.scope, run_id=parent.id, **wanted)
    if path:
        assert isinstance(refused.value, InvalidInput)
        assert [error["path"] for error in refused.value.errors] == [path]
    assert len(bench.rows("SELECT id FROM run")) == 1


def test_a_dry_run_takes_its_answers_from_the_journal(bench: Bench) -> None:
    parent = finished(bench, EACH, {"items": [1, 2, 3]})
    before = len(toolbox.read_trail())
    fork = forking.fork_run(
        scope=bench.scope, run_id=parent.id, at_step="each[0].put", dry_run=True
    )
    ended = settle(bench, fork.id)
    assert ended.status is RunStatus.SUCCEEDED, ended.error
    assert ended.output == parent.output
    assert len(toolbox.read_trail()) == before


def test_a_timeout_of_a_dry_run_still_waits(bench: Bench) -> None:
    slow = json.dumps({"answer": "thought", "delay": 0.2})
    source = f"""
nodes:
  - {{id: look, kind: tool, tool: box_look, arguments: {{n: 1}}}}
  - {{id: think, kind: model, timeout_seconds: 30, prompt: '{slow}'}}
edges: [{{from: look, to: think}}]
"""
    parent = finished(bench, source, {"n": 1})
    assert parent.status is RunStatus.SUCCEEDED, parent.error
    fork = forking.fork_run(scope=bench.scope, run_id=parent.id, at_step="look", dry_run=True)
    ended = settle(bench, fork.id)
    assert ended.status is RunStatus.SUCCEEDED, ended.error
