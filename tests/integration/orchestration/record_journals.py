"""Records the corpus of journals, when it is run by name: `python -m pytest <this file>`.

Not a test, so it is not collected by itself. Each history is made by real runs and written to
tests/unit/orchestration/journals; record one anew only where its change is meant.
"""

import json
from typing import Any

import pytest

from apps.agents.types import Limits, Strategy, WhenStuck
from apps.governance.services import approvals
from apps.governance.types import Verdict
from apps.orchestration import selectors
from apps.orchestration.services import control, direct, forking, upkeep
from apps.orchestration.types.histories import Edit
from apps.orchestration.types.runs import RunView
from octavo.kernel import ids
from tests import histories, runs, toolbox
from tests.integration.context.word_vectors import WordVectors
from tests.integration.orchestration.test_sources_in_runs import SPACES, embedder
from tests.runs import Bench

__all__ = ["embedder"]


def _finish(bench: Bench, run: RunView) -> RunView:
    """Advance the run past waits for the clock, until it ends or waits for a person."""
    run = runs.advance(bench.scope, run.id)
    while run.waiting_on is not None and run.waiting_on.kind == "timer":
        runs.eventually(upkeep.fire_timers)
        run = runs.advance(bench.scope, run.id)
    return run


def test_approved_with_other_arguments(bench: Bench) -> None:
    runs.save(bench.scope)
    calls = [["box_look", {"n": 1}], ["box_launch", {"n": 2}], ["nothing", {}], ["box_look", {}]]
    run = runs.advance(bench.scope, runs.start(bench.scope, calls=calls, answer="done").id)
    assert run.waiting_on is not None
    approvals.decide(
        scope=bench.scope,
        approval_id=ids.decode(ids.Kind.APPROVAL, run.waiting_on.id),
        verdict=Verdict.APPROVE,
        arguments={"n": 3},
    )
    control.redeliver_approvals()
    _finish(bench, run)
    histories.write("approved_with_other_arguments", run.id)


def test_quoted(bench: Bench, embedder: WordVectors) -> None:
    runs.save(bench.scope, strategy=Strategy.QUOTE, spaces=SPACES)
    question = "When is the oven lit in the morning?"
    run = runs.starting.start_run(scope=bench.scope, agent="worker-bee", input=question)
    _finish(bench, run)
    histories.write("quoted", run.id)


def test_recalled(bench: Bench, embedder: WordVectors) -> None:
    runs.save(bench.scope, spaces=SPACES)
    bench.chat.script = {"calls": [["box_look", {"n": 1}]], "answer": "At four, says [1]."}
    question = "When is the oven lit in the morning?"
    run = runs.starting.start_run(scope=bench.scope, agent="worker-bee", input=question)
    _finish(bench, run)
    histories.write("recalled", run.id)


@pytest.mark.parametrize(("name", "failures"), [("retried", 2), ("given_up", 3)])
def test_retried(bench: Bench, name: str, failures: int) -> None:
    runs.save(bench.scope)
    bench.chat.failures.extend([500] * failures)
    run = runs.start(bench.scope, calls=[["box_far_read", {"n": 1, "mood": "away"}]], answer="ok")
    _finish(bench, run)
    histories.write(name, run.id)


def test_handed_on(bench: Bench) -> None:
    runs.save(bench.scope, "scout", tools=("box_look", "box_outside"))
    runs.save(bench.scope, "boss", tools=("agent__scout", "box_mail"))
    script = json.dumps({"calls": [["box_outside", {"n": 1}]], "answer": "found it"})
    run = runs.start(bench.scope, "boss", calls=[["agent__scout", {"input": script}]], answer="ok")
    waiting = runs.advance(bench.scope, run.id)
    assert waiting.waiting_on is not None
    child = ids.decode(ids.Kind.RUN, waiting.waiting_on.id)
    runs.advance(bench.scope, child)
    _finish(bench, run)
    histories.write("handed_on", run.id)
    histories.write("handed_on_child", child)


def test_handed_over(bench: Bench) -> None:
    runs.save(bench.scope, "scout", tools=("box_look",))
    runs.save(bench.scope, "desk", tools=("handoff__scout", "box_*"))
    over = ["handoff__scout", {"why": "It knows the shop.", "note": "Be brief."}]
    bench.chat.script = {"calls": [["box_outside", {"n": 1}], [over, LOOK]]}
    run = runs.starting.start_run(scope=bench.scope, agent="desk", input="What is for sale?")
    waiting = runs.advance(bench.scope, run.id)
    assert waiting.waiting_on is not None
    child = ids.decode(ids.Kind.RUN, waiting.waiting_on.id)
    bench.chat.script = {"calls": [LOOK], "answer": "Bread."}
    runs.advance(bench.scope, child)
    _finish(bench, run)
    histories.write("handed_over", run.id)
    histories.write("handed_over_child", child)


def test_asked_and_waited(bench: Bench) -> None:
    runs.save(bench.scope, tools=("ask_person", "wait"))
    calls: list[Any] = [["ask_person", {"question": "Red or blue?"}], ["wait", {"seconds": 1}]]
    run = runs.advance(bench.scope, runs.start(bench.scope, calls=calls, answer="done").id)
    control.pause_run(scope=bench.scope, run_id=run.id)
    runs.advance(bench.scope, run.id)
    control.resume_run(scope=bench.scope, run_id=run.id)
    runs.advance(bench.scope, run.id)
    control.give_input(scope=bench.scope, run_id=run.id, content="blue")
    _finish(bench, run)
    histories.write("asked_and_waited", run.id)


def test_signalled(bench: Bench) -> None:
    runs.save(bench.scope, tools=("await_signal",))
    calls = [["await_signal", {"name": "paid"}], ["await_signal", {"name": "sent"}]]
    run = runs.start(bench.scope, calls=calls, answer="done")
    for name, payload in (("sent", {"parcels": 2}), ("paid", 17)):
        control.signal_run(scope=bench.scope, run_id=run.id, name=name, payload=payload)
    _finish(bench, run)
    histories.write("signalled", run.id)


def test_doubted(bench: Bench) -> None:
    runs.save(bench.scope)
    calls = [["box_far_send", {"n": 1, "mood": "breaks off"}], ["box_send", {"n": 2}]]
    run = runs.advance(bench.scope, runs.start(bench.scope, calls=calls, answer="done").id)
    assert run.waiting_on is not None
    control.resolve_effect(
        scope=bench.scope, run_id=run.id, step="tools.1.0", outcome="happened", result="sent"
    )
    _finish(bench, run)
    histories.write("doubted", run.id)


def test_structured(bench: Bench) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
    }
    runs.save(bench.scope, output_schema=schema, tools=())
    run = runs.start(bench.scope, answers=["no JSON", '{"n": "one"}', '{"n": 1}'])
    _finish(bench, run)
    histories.write("structured", run.id)


def test_went_round_in_circles(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope, calls=[["box_look", {"n": 1}]] * 9)
    _finish(bench, run)
    histories.write("went_round_in_circles", run.id)


def test_cut_short(bench: Bench) -> None:
    runs.save(bench.scope, limits=Limits(max_steps=3))
    run = runs.start(bench.scope, calls=[["box_look", {"n": 1}], ["box_look", {"n": 2}]])
    _finish(bench, run)
    histories.write("cut_short", run.id)


def test_forked(bench: Bench) -> None:
    runs.save(bench.scope)
    calls = [["box_look", {"n": 1}], ["box_keyed", {"n": 2}]]
    run = _finish(bench, runs.start(bench.scope, calls=calls, answer="done"))
    edits = [Edit(step="tools.1.0", output="saw 99")]
    fork = forking.fork_run(scope=bench.scope, run_id=run.id, at_step="tools.1.0", edits=edits)
    _finish(bench, fork)
    histories.write("forked", fork.id)


def test_called(bench: Bench) -> None:
    call = direct.call_tool(scope=bench.scope, tool="box_look", arguments={"n": 1})
    histories.write("called", call.run.id)
    assert selectors.get_run(scope=bench.scope, run_id=call.run.id).output is not None
    assert toolbox.read_trail()


LOOK = ["box_look", {"n": 1}]


def test_reasoned(bench: Bench) -> None:
    runs.save(bench.scope, strategy=Strategy.REACT)
    script = ["I should look.", LOOK, "I have seen it.", "It is blue."]
    run = _finish(bench, runs.start(bench.scope, calls=script))
    histories.write("reasoned", run.id)


def test_planned(bench: Bench) -> None:
    runs.save(bench.scope, strategy=Strategy.PLAN)
    revision = ["revise_plan", {"why": "The door is open.", "steps": ["go in"]}]
    script = ['{"steps": ["look", "knock", "wait"]}', LOOK, "Seen.", revision, "In.", "I am in."]
    run = _finish(bench, runs.start(bench.scope, calls=script))
    histories.write("planned", run.id)


def test_stuck(bench: Bench) -> None:
    runs.save(bench.scope, when_stuck=WhenStuck.ASK)
    run = _finish(bench, runs.start(bench.scope, calls=[LOOK] * 5, answer="done"))
    control.give_input(scope=bench.scope, run_id=run.id, content="Go on")
    _finish(bench, run)
    histories.write("stuck", run.id)


def test_sent_shorter(bench: Bench) -> None:
    runs.save(bench.scope)
    bench.chat.too_long = 23_000
    calls = [["box_say", {"n": n, "mood": f"{n}" * 2_000}] for n in range(6)]
    run = _finish(bench, runs.start(bench.scope, calls=calls))
    histories.write("sent_shorter", run.id)
