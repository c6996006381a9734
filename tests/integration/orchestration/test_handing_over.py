"""An agent hands its run to another, which goes on in its place: its answer is the run's."""

import json
from typing import Any
from uuid import UUID

import pytest

from apps.agents.services import definitions
from apps.agents.types import Definition
from apps.orchestration import selectors
from apps.orchestration.services import control
from apps.orchestration.types.runs import EventType, RunStatus, RunView
from octavo.kernel import ids
from octavo.kernel.errors import NotFound
from tests import runs
from tests.runs import Bench

HAND_OVER = ["handoff__desk", {"reason": "It is about money.", "note": "Be quick."}]


@pytest.fixture
def desks(bench: Bench) -> None:
    runs.save(bench.scope, "desk", tools=("box_look", "box_outside"))
    runs.save(bench.scope, "front", tools=("handoff__desk", "box_look", "box_outside"))


def hand_over(bench: Bench, *calls: Any) -> RunView:
    """A run of `front` that makes the calls and has then handed over."""
    run = runs.start(bench.scope, "front", calls=list(calls), answer="never said")
    waiting = runs.advance(bench.scope, run.id)
    assert waiting.status is RunStatus.WAITING, waiting.error
    return waiting


def taker(bench: Bench, run: RunView) -> RunView:
    assert run.waiting_on is not None
    run_id = ids.decode(ids.Kind.RUN, run.waiting_on.id)
    return selectors.get_run(scope=bench.scope, run_id=run_id)


def taker_output(bench: Bench, run_id: UUID) -> Any:
    return selectors.get_run(scope=bench.scope, run_id=run_id).output


def go_on(bench: Bench, run_id: UUID, **script: Any) -> RunView:
    bench.chat.script = script
    return runs.advance(bench.scope, run_id)


def test_the_other_agent_s_answer_is_the_run_s(bench: Bench, desks: None) -> None:
    run = hand_over(bench, ["box_look", {"n": 7}], HAND_OVER)
    other = taker(bench, run)
    assert (other.agent, other.parent, other.started_by) == ("desk", run.id, "front")
    for part in (run.input, "front", "It is about money.", "Be quick.", "[call] box_look", "saw 7"):
        assert part in other.input
    assert "handoff__" not in other.input.removeprefix(run.input)
    assert go_on(bench, other.id, answer="paid").status is RunStatus.SUCCEEDED

    done = runs.advance(bench.scope, run.id)
    assert done.status is RunStatus.SUCCEEDED, done.error
    assert done.output is not None
    assert done.output == taker_output(bench, other.id)
    assert done.output["text"].strip() == "paid"
    seen = runs.types(bench.scope, run.id)
    assert seen.count(EventType.MODEL_ANSWERED) == 2


def test_other_calls_of_the_same_answer_are_made_first(bench: Bench, desks: None) -> None:
    run = hand_over(bench, [HAND_OVER, ["box_look", {"n": 3}]])
    assert "saw 3" in taker(bench, run).input


def test_a_run_whose_taker_fails_fails_with_it(bench: Bench, desks: None) -> None:
    run = hand_over(bench, HAND_OVER)
    other = taker(bench, run)
    control.cancel_run(scope=bench.scope, run_id=other.id)
    runs.advance(bench.scope, other.id)
    failed = runs.advance(bench.scope, run.id)
    assert failed.status is RunStatus.FAILED
    assert failed.error is not None
    assert failed.error["code"] == "handed_over"
    assert "'desk'" in failed.error["detail"]
    assert ids.encode(ids.Kind.RUN, other.id) in failed.error["detail"]


def test_who_is_cancelled_takes_the_taker_along(bench: Bench, desks: None) -> None:
    run = hand_over(bench, HAND_OVER)
    other = taker(bench, run)
    control.cancel_run(scope=bench.scope, run_id=run.id)
    assert runs.advance(bench.scope, run.id).status is RunStatus.CANCELLED
    control.on_run_ended(run_id=str(run.id))
    assert runs.advance(bench.scope, other.id).status is RunStatus.CANCELLED


def test_what_was_read_from_outside_is_handed_over_as_such(bench: Bench, desks: None) -> None:
    run = hand_over(bench, ["box_outside", {"n": 1}], HAND_OVER)
    began = runs.events(bench.scope, taker(bench, run).id)[0]
    assert began.data["tainted"] is True
    clean = hand_over(bench, HAND_OVER)
    assert "tainted" not in runs.events(bench.scope, taker(bench, clean).id)[0].data


@pytest.mark.parametrize("granted", [(), ("*",), ("agent__desk",)])
def test_only_a_definition_that_names_it_grants_it(
    bench: Bench, desks: None, granted: tuple[str, ...]
) -> None:
    runs.save(bench.scope, "hasty", tools=(*granted, "box_look"))
    run = runs.start(bench.scope, "hasty", calls=[HAND_OVER], answer="by myself")
    done = runs.advance(bench.scope, run.id)
    assert done.status is RunStatus.SUCCEEDED
    assert done.output is not None
    assert done.output["text"].strip() == "by myself"


def test_handing_back_and_forth_ends(bench: Bench) -> None:
    runs.save(bench.scope, "left")
    runs.save(bench.scope, "right", tools=("handoff__left",))
    definition = Definition(instructions="Pass it on.", tools=("handoff__right",))
    definitions.save_agent(scope=bench.scope, name="left", definition=definition, create=False)
    run = runs.start(bench.scope, "left")
    bench.chat.script = {
        "calls": [[["handoff__left", {"reason": "x"}], ["handoff__right", {"reason": "x"}]]],
        "answer": "enough",
    }
    chain = [run.id]
    while (seen := runs.advance(bench.scope, chain[-1])).status is RunStatus.WAITING:
        chain.append(taker(bench, seen).id)
    assert len(chain) == 9
    assert "8 deep" in json.dumps([dict(e.data) for e in runs.events(bench.scope, chain[-1])])
    for run_id in reversed(chain[:-1]):
        done = runs.advance(bench.scope, run_id)
        assert done.status is RunStatus.SUCCEEDED, done.error
        assert done.output is not None
        assert done.output["text"].strip() == "enough"


def test_nobody_hands_over_outside_of_a_run(bench: Bench, desks: None) -> None:
    from apps.orchestration.services import direct

    with pytest.raises(NotFound):
        direct.call_tool(scope=bench.scope, tool="handoff__desk", arguments={"reason": "x"})
