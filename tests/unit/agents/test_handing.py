"""A hand-off is decided purely: what goes first, what the next agent reads, and how it ends."""

from typing import Any

import pytest

from apps.agents.services import loop
from apps.agents.types import (
    CallModel,
    CallTools,
    Definition,
    Fail,
    Finish,
    LoopState,
    Strategy,
    WhenStuck,
)
from apps.inference.types import ToolCall

OVER = "handoff__scout"


def start(**fields: Any) -> LoopState:
    definition = Definition(instructions="Help.", tools=("look", OVER), **fields)
    return loop.start(definition, strategy=Strategy.TOOLS, input="Look around.")


def asked(state: LoopState, *names: str, text: str = "") -> LoopState:
    turn = sum(message.role == "assistant" for message in state.messages) + 1
    calls = [ToolCall(id=f"c{turn}.{n}", name=name, arguments="{}") for n, name in enumerate(names)]
    return loop.apply_model_answer(state, step=f"model.{turn}", text=text, tool_calls=calls)


def told(state: LoopState, text: str, *, is_error: bool = False) -> LoopState:
    due = loop.decide(state)
    assert isinstance(due, CallTools)
    place, call = due.calls[0]
    return loop.apply_tool_answer(
        state,
        step=f"{due.step}.{place}",
        tool=call.name,
        arguments={},
        call_id=call.id,
        text=text,
        digest=f"{len(state.messages)}",
        trust="trusted",
        is_error=is_error,
    )


def ended(state: LoopState, **fields: Any) -> LoopState:
    data = {"run": "run_2", "status": "succeeded", "error": None, "tainted": False, **fields}
    return loop.apply_hand_off(state, step=f"tools.1.{state.pending[0][0]}", ended=data)


def prompt(state: LoopState) -> tuple[str, ...]:
    decision = loop.decide(state)
    assert isinstance(decision, CallModel)
    return tuple(message.content for message in decision.messages)


def due(state: LoopState) -> list[str]:
    decision = loop.decide(state)
    assert isinstance(decision, CallTools)
    return [call.name for _, call in decision.calls]


def test_a_hand_off_waits_for_the_calls_beside_it_and_only_one_is_made() -> None:
    state = asked(start(), OVER, "look", "handoff__cook")
    assert due(state) == ["look"]
    state = told(state, "seen")
    assert due(state) == [OVER]
    assert due(told(state, "no", is_error=True)) == ["handoff__cook"]


def test_the_next_agent_reads_all_that_was_said_in_one_message() -> None:
    state = told(asked(start(), "look", text="Let me see."), "a door")
    state = asked(state, OVER, text="This is for scout.")
    said = loop.hand_over(state, by="boss", to="scout", why="doors are its task", note="it is red")
    assert not any(call.name == OVER for message in said for call in message.tool_calls)
    system, question, before, *rest = prompt(loop.take_over(start(), said))
    assert (system, question, rest) == ("Help.", "Look around.", [])
    order = ["Let me see.", "Called look", "look answered: a door", "This is for scout."]
    order += ["boss handed over to scout. Why: doors are its task", "it is red"]
    places = [before.index(text) for text in order]
    assert places == sorted(places)


def test_a_conversation_that_was_handed_on_twice_is_whole() -> None:
    first = loop.hand_over(asked(start(), OVER, text="one"), by="a", to="b", why="x", note="")
    second = asked(loop.take_over(start(), first), "handoff__cook", text="two")
    said = loop.hand_over(second, by="b", to="c", why="y", note="")
    assert [message.content.split(".")[0] for message in said] == [
        "one",
        "a handed over to b",
        "two",
        "b handed over to c",
    ]


def test_a_long_conversation_is_handed_over_as_short_as_it_had_to_be() -> None:
    state = told(asked(start(), "look"), "x" * 5_000)
    for _ in range(5):
        state = told(asked(state, "look"), "short")
    state = loop.apply_failure(state, code="long", detail="", is_final=False, is_too_long=True)
    said = loop.hand_over(asked(state, OVER), by="a", to="b", why="x", note="")
    longest = max(len(message.content) for message in said)
    assert longest < 1_200
    taken = loop.take_over(start(), loop.hand_over(state, by="a", to="b", why="x", note=""))
    assert len(prompt(taken)[2]) < 3_000


def test_the_other_agent_s_answer_is_the_run_s() -> None:
    output = {"text": "A door.", "citations": [{"space": "s"}], "data": {"n": 1}}
    done = loop.decide(ended(asked(start(), OVER), output=output))
    assert done == Finish(
        text="A door.",
        citations=({"space": "s"},),
        data={"n": 1},
        answered_by={"run": "run_2", "agent": "scout"},
    )


def test_the_answer_names_the_last_of_a_chain_and_taint_comes_back() -> None:
    last = {"run": "run_3", "agent": "cook"}
    output = {"text": "Soup.", "citations": [], "answered_by": last}
    state = ended(asked(start(), OVER), output=output, tainted=True)
    done = loop.decide(state)
    assert isinstance(done, Finish)
    assert done.answered_by == last
    assert state.tainted


@pytest.mark.parametrize(
    ("status", "said"), [("failed", "failed in"), ("cancelled", "was cancelled in")]
)
def test_the_other_agent_s_failure_is_the_run_s_and_names_it(status: str, said: str) -> None:
    error = {"code": "max_steps", "detail": "Ask for less."}
    end = loop.decide(ended(asked(start(), OVER), status=status, output=None, error=error))
    assert isinstance(end, Fail)
    assert end.code == "handoff"
    for part in ("'scout'", f"{said} run_2", "Ask for less."):
        assert part in end.detail


def test_who_insists_on_a_refused_hand_off_is_stuck() -> None:
    state, asking = start(), start(when_stuck=WhenStuck.ASK)
    for _ in range(3):
        assert isinstance(loop.decide(state), CallModel)
        state = told(asked(state, OVER), "8 deep", is_error=True)
        asking = told(asked(asking, OVER), "8 deep", is_error=True)
    end = loop.decide(state)
    assert isinstance(end, Fail)
    assert "3 times" in end.detail
    assert "8 deep" in end.detail
    assert due(asking) == ["ask_person"]
