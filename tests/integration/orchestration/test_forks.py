"""Forks: what a run has done is taken over and not done again, what comes after is its own."""

import json
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.core.management import call_command

from apps.agents.services import definitions
from apps.agents.types import Definition, Strategy
from apps.governance.services import approvals
from apps.governance.types import Verdict
from apps.orchestration import selectors
from apps.orchestration.services import control, forking
from apps.orchestration.types.histories import Edit
from apps.orchestration.types.runs import EventType, RunStatus, RunView
from octavo.kernel import ids
from octavo.kernel.errors import Conflict, InvalidInput, NotFound
from tests import runs, toolbox
from tests.runs import Bench

TWO_CALLS: dict[str, Any] = {
    "calls": [["box_keyed", {"n": 1}], ["box_send", {"n": 2}]],
    "answer": "done",
}


def _ran(bench: Bench, **script: Any) -> RunView:
    run = runs.start(bench.scope, **script)
    done = runs.advance(bench.scope, run.id)
    assert done.status is RunStatus.SUCCEEDED, done.error
    return done


def _fork(bench: Bench, run: RunView, at_step: str, **more: Any) -> RunView:
    return forking.fork_run(scope=bench.scope, run_id=run.id, at_step=at_step, **more)


def _answers(bench: Bench, run_id: UUID) -> list[str]:
    found = runs.events(bench.scope, run_id)
    return [e.data["message"]["content"] for e in found if e.type is EventType.TOOL_ANSWERED]


def test_a_fork_takes_over_what_was_done_and_does_the_rest_under_keys_of_its_own(
    bench: Bench,
) -> None:
    runs.save(bench.scope)
    parent = _ran(bench, **TWO_CALLS)
    before = toolbox.read_trail()

    fork = _fork(bench, parent, "tools.1.0")
    assert (fork.status, fork.steps, fork.input_tokens) == (RunStatus.QUEUED, 0, 0)
    assert fork.forked_from is not None
    assert (fork.forked_from.run, fork.forked_from.step) == (parent.id, "tools.1.0")
    done = runs.advance(bench.scope, fork.id)

    assert done.status is RunStatus.SUCCEEDED, done.error
    assert done.output == parent.output
    own = toolbox.read_trail()[len(before) :]
    assert [(kind, step) for kind, _, step, _ in own] == [("send", "tools.2.0")]
    assert own[0][3] not in {key for *_, key in before}
    events = runs.events(bench.scope, fork.id)
    assert [e.seq for e in events] == list(range(1, len(events) + 1))
    assert [e.step for e in events if e.inherited] == ["model.1", "tools.1.0"]
    assert events[0].data["forked_from"]["step"] == "tools.1.0"
    assert done.steps == parent.steps - 2
    assert done.input_tokens == 40
    (audited,) = bench.rows(
        "SELECT payload FROM audit_entry WHERE action = 'run.start' AND payload ? 'forked_from'"
    )
    assert audited[0]["forked_from"]["run"] == ids.encode(ids.Kind.RUN, parent.id)


def test_an_edited_tool_answer_is_what_the_model_reads(bench: Bench) -> None:
    runs.save(bench.scope)
    parent = _ran(bench, **TWO_CALLS)
    edit = Edit(step="tools.1.0", output={"content": "sent 99", "structured": {"n": 99}})
    fork = _fork(bench, parent, "tools.1.0", edits=[edit])
    runs.advance(bench.scope, fork.id)

    assert _answers(bench, fork.id)[0] == "sent 99"
    assert _answers(bench, parent.id)[0] == "sent 1"
    read = [m["content"] for m in bench.chat.requests[-1]["messages"] if m["role"] == "tool"]
    assert read[0] == "sent 99"


def test_an_edited_model_answer_makes_other_calls_or_is_the_answer(bench: Bench) -> None:
    runs.save(bench.scope)
    parent = _ran(bench, **TWO_CALLS)
    call = {"tool_calls": [{"name": "box_look", "arguments": {"n": 5}}]}
    other = _fork(bench, parent, "model.1", edits=[Edit(step="model.1", output=call)])
    runs.advance(bench.scope, other.id)
    assert _answers(bench, other.id)[0] == "saw 5"

    said = _fork(bench, parent, "model.1", edits=[Edit(step="model.1", output="It is done.")])
    asked = len(bench.chat.requests)
    done = runs.advance(bench.scope, said.id)
    assert done.output is not None
    assert done.output["text"] == "It is done."
    assert len(bench.chat.requests) == asked


def test_a_fork_goes_on_with_another_input_version_and_route(bench: Bench) -> None:
    runs.save(bench.scope)
    parent = _ran(bench, **TWO_CALLS)
    definition = Definition(instructions="Be brief.", tools=("box_look",), strategy=Strategy.TOOLS)
    definitions.save_agent(
        scope=bench.scope, name="worker-bee", definition=definition, create=False
    )
    with runs.scripted_chat() as other:
        runs.model_registry.create_provider(
            scope=bench.scope,
            name="other",
            kind=runs.ProviderKind.OPENAI_COMPATIBLE,
            base_url=other.base_url,
        )
        runs.model_registry.add_model(
            scope=bench.scope,
            provider="other",
            name="scripted",
            kind=runs.ModelKind.CHAT,
            tier=runs.Tier.STANDARD,
            context_window=32_000,
            native_tools=True,
        )
        runs.model_registry.set_route(
            scope=bench.scope,
            name="second",
            kind=runs.ModelKind.CHAT,
            targets=[("other", "scripted")],
        )
        given = json.dumps({"answer": "another way"})
        fork = _fork(bench, parent, "tools.1.0", input=given, version=2, route="second")
        done = runs.advance(bench.scope, fork.id)
        assert (done.version, done.given_route) == (2, "second")
        assert done.output is not None
        assert done.output["text"].strip() == "another way"
        (request,) = other.requests
    assert request["messages"][0]["content"] == "Be brief."
    assert [m["role"] for m in request["messages"]] == ["system", "user", "assistant", "tool"]
    again = _fork(bench, done, "model.2")
    assert (again.version, again.given_route) == (2, "second")
    assert again.forked_from is not None
    assert again.forked_from.run == fork.id


def test_a_waiting_run_is_forked_without_what_it_waits_for(bench: Bench) -> None:
    runs.save(bench.scope)
    script = {"calls": [["box_look", {"n": 1}], ["box_launch", {"n": 2}]], "answer": "done"}
    run = runs.start(bench.scope, **script)
    waiting = runs.advance(bench.scope, run.id)
    assert waiting.waiting_on is not None

    fork = _fork(bench, waiting, "model.2")
    assert EventType.APPROVAL_REQUESTED not in runs.types(bench.scope, fork.id)
    asked = runs.advance(bench.scope, fork.id)
    assert asked.waiting_on is not None
    assert asked.waiting_on.id != waiting.waiting_on.id
    approvals.decide(
        scope=bench.scope,
        approval_id=ids.decode(ids.Kind.APPROVAL, asked.waiting_on.id),
        verdict=Verdict.APPROVE,
    )
    control.redeliver_approvals()
    assert runs.advance(bench.scope, fork.id).status is RunStatus.SUCCEEDED
    assert [run_id for kind, run_id, *_ in toolbox.read_trail() if kind == "send"] == [str(fork.id)]
    assert selectors.get_run(scope=bench.scope, run_id=run.id).status is RunStatus.WAITING


def test_a_dry_run_is_told_what_the_parent_was_told_and_does_nothing(bench: Bench) -> None:
    runs.save(bench.scope)
    parent = _ran(bench, **TWO_CALLS)
    before = toolbox.read_trail()
    script = {"calls": [*TWO_CALLS["calls"], ["box_send", {"n": 3}]], "answer": "done"}
    fork = _fork(bench, parent, "model.1", input=json.dumps(script), dry_run=True)
    done = runs.advance(bench.scope, fork.id)

    assert done.status is RunStatus.SUCCEEDED, done.error
    assert done.is_dry_run
    assert toolbox.read_trail() == before
    told = _answers(bench, fork.id)
    assert told[:2] == ["sent 1", "sent 2"]
    assert "dry run" in told[2]
    assert "box_send" in told[2]
    assert bench.rows("SELECT count(*) FROM effect WHERE run_id = %s", fork.id) == [(0,)]


def test_what_cannot_be_forked_is_refused_with_the_reason(bench: Bench) -> None:
    runs.save(bench.scope)
    parent = _ran(bench, **TWO_CALLS)
    with pytest.raises(NotFound, match=r"model\.1, tools\.1\.0, model\.2"):
        _fork(bench, parent, "model.9")
    with pytest.raises(InvalidInput, match="fork at model"):
        _fork(bench, parent, "tools.1.0", edits=[Edit(step="model.1", output="no")])
    with pytest.raises(InvalidInput, match="no finished step"):
        _fork(bench, parent, "model.1", edits=[Edit(step="tools.1.0", output="no")])
    with pytest.raises(InvalidInput, match="no such member"):
        _fork(bench, parent, "tools.1.0", edits=[Edit(step="tools.1.0", output={"text": "x"})])
    with pytest.raises(NotFound):
        _fork(bench, parent, "model.1", route="nowhere")
    from apps.orchestration.services import direct

    call = direct.call_tool(scope=bench.scope, tool="box_look", arguments={"n": 1})
    with pytest.raises(Conflict, match="one call of box_look"):
        _fork(bench, call.run, "call.0")


def test_stored_runs_are_replayed_from_the_terminal(bench: Bench) -> None:
    runs.save(bench.scope)
    run = _ran(bench, **TWO_CALLS)
    runs.start(bench.scope, **TWO_CALLS)
    said = StringIO()
    call_command("runs", "replay", "--agent", "worker-bee", stdout=said)
    assert said.getvalue().startswith("2 runs, ")
    assert "0 differ" in said.getvalue()

    bench.rows(
        'UPDATE event SET data = data || \'{"tool": "box_look"}\' '
        "WHERE run_id = %s AND step = 'tools.1.0' RETURNING seq",
        run.id,
    )
    with pytest.raises(SystemExit):
        call_command("runs", "replay", "--limit", "5", stdout=said)
    assert "differs at event 3 (tools.1.0)" in said.getvalue()
