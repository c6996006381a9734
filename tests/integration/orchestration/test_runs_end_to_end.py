"""A run in this process, from its start to its end, over a real model protocol and database."""

from apps.orchestration.types.runs import EventType, RunStatus
from tests import runs
from tests.runs import Bench


def test_a_run_calls_tools_and_answers(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope, calls=[["box_look", {"n": 1}]], answer="all seen")
    assert run.status is RunStatus.QUEUED

    done = runs.advance(bench.scope, run.id)

    assert done.status is RunStatus.SUCCEEDED, done.error
    assert done.output is not None
    assert done.output["text"].strip() == "all seen"
    assert runs.types(bench.scope, run.id) == [
        EventType.RUN_STARTED,
        EventType.MODEL_ANSWERED,
        EventType.TOOL_ANSWERED,
        EventType.MODEL_ANSWERED,
        EventType.RUN_SUCCEEDED,
    ]
    assert (done.steps, done.input_tokens, done.output_tokens) == (3, 40, 10)
