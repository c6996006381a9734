"""Each way of working, through the engine: what is asked of the model, journaled and resumed."""

import pytest

from apps.agents.types import Strategy, WhenStuck
from apps.orchestration.services import control
from apps.orchestration.types.runs import EventType, RunStatus
from tests import runs
from tests.runs import Bench

LOOK = ["box_look", {"n": 1}]


def _steps(bench: Bench, run_id: object) -> list[str]:
    found = runs.events(bench.scope, run_id)  # type: ignore[arg-type]
    results = {EventType.MODEL_ANSWERED, EventType.TOOL_ANSWERED}
    return [event.step for event in found if event.type in results]


def test_react_reasons_in_steps_of_its_own_that_offer_no_tool(bench: Bench) -> None:
    runs.save(bench.scope, strategy=Strategy.REACT)
    script = ["I should look.", LOOK, "I have seen it.", "It is blue."]
    run = runs.advance(bench.scope, runs.start(bench.scope, calls=script).id)
    assert run.status is RunStatus.SUCCEEDED, run.error
    assert run.output is not None
    assert run.output["text"].strip() == "It is blue."
    assert _steps(bench, run.id) == ["thought.1", "model.2", "tools.2.0", "thought.3", "model.4"]
    offered = ["tools" in request for request in bench.chat.requests]
    assert offered == [False, True, False, True]


def test_a_plan_is_made_followed_and_revised(bench: Bench) -> None:
    runs.save(bench.scope, strategy=Strategy.PLAN)
    revision = ["revise_plan", {"why": "The door is open.", "steps": ["go in"]}]
    script = ['{"steps": ["look", "knock", "wait"]}', LOOK, "Seen.", revision, "In.", "I am in."]
    run = runs.advance(bench.scope, runs.start(bench.scope, calls=script).id)
    assert run.status is RunStatus.SUCCEEDED, run.error
    assert run.output is not None
    assert run.output["text"].strip() == "I am in."
    asked = [request["messages"][-1]["content"] for request in bench.chat.requests]
    assert asked[1].startswith("Step 1 of 3: look")
    assert asked[3].startswith("Step 2 of 3: knock")
    assert asked[5].startswith("Every step is done.")


@pytest.mark.parametrize(
    ("word", "status"), [("Go on", RunStatus.SUCCEEDED), ("Stop", RunStatus.FAILED)]
)
def test_a_stuck_run_waits_for_a_person_s_word(bench: Bench, word: str, status: RunStatus) -> None:
    runs.save(bench.scope, when_stuck=WhenStuck.ASK)
    run = runs.start(bench.scope, calls=[LOOK] * 5, answer="done")
    waiting = runs.advance(bench.scope, run.id).waiting_on
    assert waiting is not None
    assert (waiting.kind, waiting.id) == ("input", "person.1.0")
    control.give_input(scope=bench.scope, run_id=run.id, content=word)
    assert runs.advance(bench.scope, run.id).status is status


def test_a_conversation_too_long_for_the_model_is_sent_shorter(bench: Bench) -> None:
    runs.save(bench.scope)
    bench.chat.too_long = 23_000  # the script itself is half of it
    calls = [["box_say", {"n": n, "mood": f"{n}" * 2_000}] for n in range(6)]
    run = runs.advance(bench.scope, runs.start(bench.scope, calls=calls).id)
    assert run.status is RunStatus.SUCCEEDED, run.error
    failed = [e for e in runs.events(bench.scope, run.id) if e.type is EventType.MODEL_FAILED]
    assert [event.data["is_too_long"] for event in failed] == [True]
    kept = runs.events(bench.scope, run.id)
    told = [e.data["message"]["content"] for e in kept if e.type is EventType.TOOL_ANSWERED]
    assert all(len(text) == 2_000 for text in told)
    lengths = [
        len(m["content"]) for m in bench.chat.requests[-1]["messages"] if m["role"] == "tool"
    ]
    assert [length < 2_000 for length in lengths] == [True, True, False, False, False, False]
