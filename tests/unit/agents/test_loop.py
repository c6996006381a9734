"""The loop is pure: the same state decides the same, and every way to an end is reachable."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
import pytest

from apps.agents.services import loop
from apps.agents.services.loop import Failure
from apps.agents.types import (
    CallModel,
    CallTools,
    Definition,
    Fail,
    Finish,
    Limits,
    LoopState,
    Retrieve,
    Source,
    SpaceGrant,
    Strategy,
    WhenStuck,
)
from apps.inference.types import ToolCall
from apps.model_registry.types import Tier

CITATION = {
    "space": "handbook",
    "key": "README.md",
    "revision": 1,
    "chunk": 0,
    "start": 3,
    "end": 9,
}
SOURCE = Source(text="Run `make up`.", score=0.9, citation=CITATION, trust="trusted")
SPACES = (SpaceGrant(space="handbook"),)


def quoting(**fields: Any) -> LoopState:
    definition = Definition(instructions="Quote.", spaces=SPACES, **fields)
    return loop.start(definition, strategy=Strategy.QUOTE, input="How do I start?")


def tooling(**fields: Any) -> LoopState:
    definition = Definition(instructions="Help.", tools=("look",), **fields)
    return loop.start(definition, strategy=Strategy.TOOLS, input="Look around.")


def asked(state: LoopState, *names: str, arguments: str = "{}") -> LoopState:
    calls = [ToolCall(id=f"c{n}", name=name, arguments=arguments) for n, name in enumerate(names)]
    step = f"model.{sum(m.role == 'assistant' for m in state.messages) + 1}"
    return loop.apply_model_answer(state, step=step, text="", tool_calls=calls)


def told(state: LoopState, text: str = "seen", trust: str = "trusted", **more: Any) -> LoopState:
    """The answer of the call at `at` among those without one."""
    place, call = state.pending[more.pop("at", 0)]
    return loop.apply_tool_answer(
        state,
        step=f"tools.1.{place}",
        tool=call.name,
        arguments=orjson.loads(call.arguments),
        call_id=call.id,
        text=text,
        digest=f"{call.name}:{text}",
        trust=trust,
        **more,
    )


def said(state: LoopState, text: str) -> LoopState:
    """The model's words in answer to what it is asked next."""
    asked = loop.decide(state)
    step = asked.step if isinstance(asked, CallModel) else "model.1"
    return loop.apply_model_answer(state, step=step, text=text, tool_calls=())


def failed(state: LoopState, *, is_final: bool = True, is_too_long: bool = False) -> LoopState:
    return loop.apply_failure(
        state, code="model_failed", detail="d", is_final=is_final, is_too_long=is_too_long
    )


@pytest.mark.parametrize(
    ("strategy", "tier", "spaces", "expected"),
    [
        (Strategy.AUTO, Tier.STARTER, SPACES, Strategy.QUOTE),
        (Strategy.AUTO, Tier.STANDARD, SPACES, Strategy.TOOLS),
        (Strategy.AUTO, Tier.STARTER, (), Strategy.TOOLS),
        (Strategy.QUOTE, Tier.STANDARD, SPACES, Strategy.QUOTE),
        (Strategy.TOOLS, Tier.STARTER, SPACES, Strategy.TOOLS),
    ],
)
def test_auto_depends_on_the_model_and_on_having_sources(
    strategy: Strategy, tier: Tier, spaces: tuple[SpaceGrant, ...], expected: Strategy
) -> None:
    definition = Definition(instructions="x", strategy=strategy, spaces=spaces)
    assert loop.resolve_strategy(definition, tier=tier) is expected


def test_quote_retrieves_and_answers_in_the_sources_own_words() -> None:
    state = quoting()
    first = loop.decide(state)
    assert first == Retrieve(step="retrieve", query="How do I start?", limit=3, quote=True)
    other = replace(SOURCE, text="Then open it.")
    state = loop.apply_retrieval(state, sources=[SOURCE, other])
    assert loop.decide(state) == Finish(
        text="Run `make up`.\n\nThen open it.", citations=(CITATION, CITATION)
    )


def test_quote_says_so_when_the_sources_do_not_answer() -> None:
    answer = loop.decide(loop.apply_retrieval(quoting(), sources=[]))
    assert isinstance(answer, Finish)
    assert answer.text.startswith("The sources do not answer this. Searched: handbook.")
    assert "context add handbook" in answer.text
    assert answer.citations == ()


def test_quote_without_spaces_fails_with_the_next_step() -> None:
    state = loop.start(Definition(instructions="x"), strategy=Strategy.QUOTE, input="y")
    failed = loop.decide(state)
    assert isinstance(failed, Fail)
    assert failed.code == "no_sources"


def test_tools_recalls_first_and_cites_what_the_answer_names() -> None:
    state = tooling(spaces=SPACES)
    recall = loop.decide(state)
    assert isinstance(recall, Retrieve)
    assert not recall.quote
    unused = replace(SOURCE, citation={**CITATION, "key": "other.md"})
    state = loop.apply_retrieval(state, sources=[unused, SOURCE])
    call = loop.decide(state)
    assert isinstance(call, CallModel)
    assert "[2] handbook/README.md\nRun `make up`." in call.messages[1].content
    assert call.messages[1].content.endswith("Look around.")
    assert loop.decide(said(state, "Start it [2].")) == Finish(
        text="Start it [2].", citations=(CITATION,)
    )


def test_evidence_of_tools_is_cited_by_name() -> None:
    state = told(asked(tooling(), "look"), evidence=[CITATION])
    finish = loop.decide(said(state, "See handbook/README.md."))
    assert isinstance(finish, Finish)
    assert finish.citations == (CITATION,)


def test_calls_are_answered_in_any_order_and_their_step_keys_never_move() -> None:
    state = asked(tooling(), "look", "look")
    first = loop.decide(state)
    assert isinstance(first, CallTools)
    assert (first.step, [place for place, _ in first.calls]) == ("tools.1", [0, 1])
    second = loop.decide(told(state, at=1))
    assert isinstance(second, CallTools)
    assert (second.step, [place for place, _ in second.calls]) == ("tools.1", [0])
    model = loop.decide(told(told(state)))
    assert isinstance(model, CallModel)
    assert model.step == "model.2"
    assert [message.role for message in model.messages] == [
        "system",
        "user",
        "assistant",
        "tool",
        "tool",
    ]


def test_untrusted_results_taint_the_run_for_good() -> None:
    state = told(asked(tooling(), "look"), trust="untrusted")
    assert state.tainted
    assert told(asked(state, "look")).tainted
    assert loop.apply_retrieval(quoting(), sources=[replace(SOURCE, trust="untrusted")]).tainted


def test_repeated_calls_get_feedback_and_then_an_end() -> None:
    state = tooling()
    for _ in range(3):
        state = told(asked(state, "look"))
    warned = loop.decide(state)
    assert isinstance(warned, CallModel)
    assert "same tool call" in warned.messages[-1].content
    for _ in range(2):
        state = told(asked(state, "look"))
    ended = loop.decide(state)
    assert isinstance(ended, Fail)
    assert ended.code == "loop"


def test_different_results_are_no_loop() -> None:
    state = tooling()
    for n in range(6):
        state = told(asked(state, "look"), text=f"{n}")
    decision = loop.decide(state)
    assert isinstance(decision, CallModel)
    assert decision.messages[-1].role == "tool"


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(max_steps=1), "max_steps"),
        (Limits(max_tokens=5), "max_tokens"),
        (Limits(max_cost_usd=Decimal("0.01")), "max_cost_usd"),
    ],
)
def test_limits_stop_the_next_step_but_not_an_answer(limits: Limits, code: str) -> None:
    state = loop.apply_model_answer(
        tooling(limits=limits),
        step="model.1",
        text="",
        tool_calls=[ToolCall(id="c", name="look", arguments="{}")],
        input_tokens=4,
        output_tokens=4,
        cost_usd=Decimal("0.02"),
    )
    ended = loop.decide(state)
    assert isinstance(ended, Fail)
    assert ended.code == code
    assert isinstance(loop.decide(replace(state, pending=(), answer="here")), Finish)


def test_an_answer_must_fit_the_output_schema_and_gets_three_tries() -> None:
    schema = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}
    state = tooling(output_schema=schema)
    first = loop.decide(state)
    assert isinstance(first, CallModel)
    assert first.json_schema == schema
    good = loop.decide(said(state, '{"city": "Lyon"}'))
    assert isinstance(good, Finish)
    assert good.data == {"city": "Lyon"}
    state = said(state, "Lyon")
    repair = loop.decide(state)
    assert isinstance(repair, CallModel)
    assert "not JSON" in repair.messages[-1].content
    state = said(state, '{"town": "Lyon"}')
    repair = loop.decide(state)
    assert isinstance(repair, CallModel)
    assert '"city" is a required property' in repair.messages[-1].content
    ended = loop.decide(said(state, "{}"))
    assert isinstance(ended, Fail)
    assert ended.code == "invalid_output"


def test_a_final_failure_ends_the_run() -> None:
    assert loop.decide(failed(tooling())) == Fail(code="model_failed", detail="d")


def test_a_stuck_run_may_ask_a_person_who_lets_it_go_on_advises_or_stops() -> None:
    stuck = failed(tooling(when_stuck=WhenStuck.ASK))
    asking = loop.decide(stuck)
    assert isinstance(asking, CallTools)
    ((place, call),) = asking.calls
    assert (asking.step, place, call.name) == ("person.1", 0, "ask_person")
    assert "ask_person" in loop.granted_tools(stuck.definition)
    assert "ask_person" not in loop.offered_tools(stuck.definition)

    def answered(text: str) -> LoopState:
        answer = {"tool": "ask_person", "arguments": {}, "call_id": "person", "digest": ""}
        return loop.apply_tool_answer(
            stuck, step="person.1.0", text=text, trust="trusted", **answer
        )

    assert isinstance(loop.decide(answered("Go on")), CallModel)
    assert loop.decide(answered("stop")) == Fail(code="model_failed", detail="d")
    advised = loop.decide(answered("Use the other door."))
    assert isinstance(advised, CallModel)
    assert "Use the other door." in advised.messages[-1].content
    again = loop.decide(failed(answered("Go on")))
    assert isinstance(again, CallTools)
    assert again.step == "person.2"


def test_what_the_model_cannot_take_is_sent_shorter_oldest_results_first() -> None:
    state = tooling()
    for n in range(6):
        state = told(asked(state, "look"), text=f"{n}" * 5000)
    shorter = loop.decide(failed(state, is_final=False, is_too_long=True))
    assert isinstance(shorter, CallModel)
    lengths = [len(m.content) for m in shorter.messages if m.role == "tool"]
    assert [length < 1200 for length in lengths] == [True, True, False, False, False, False]
    assert "4000 characters left out" in shorter.messages[3].content


def test_react_thinks_before_each_move_and_keeps_its_thoughts() -> None:
    definition = Definition(instructions="Help.", tools=("look",), strategy=Strategy.REACT)
    state = loop.start(definition, strategy=Strategy.REACT, input="Look around.")
    thinking = loop.decide(state)
    assert isinstance(thinking, CallModel)
    assert (thinking.step, thinking.offer_tools) == ("thought.1", False)
    acting = loop.decide(said(state, "I know nothing yet, so I look."))
    assert isinstance(acting, CallModel)
    assert (acting.step, acting.offer_tools) == ("model.2", True)
    assert acting.messages[-2].content == "I know nothing yet, so I look."
    state = told(asked(said(state, "I look."), "look"))
    assert isinstance(loop.decide(state), CallModel)
    state = said(state, "I saw it.")
    finish = loop.decide(said(state, "It is there."))
    assert isinstance(finish, Finish)
    assert finish.text == "It is there."


def planning(**fields: Any) -> LoopState:
    definition = Definition(instructions="Help.", strategy=Strategy.PLAN, **fields)
    return loop.start(definition, strategy=Strategy.PLAN, input="Find it.")


def test_a_plan_is_made_first_and_done_step_by_step() -> None:
    schema = {"type": "object"}
    state = planning(tools=("look",), output_schema=schema)
    making = loop.decide(state)
    assert isinstance(making, CallModel)
    assert (making.step, making.offer_tools) == ("plan.1", False)
    state = said(state, '{"steps": ["look left", "look right"]}')
    first = loop.decide(state)
    assert isinstance(first, CallModel)
    assert (first.step, first.json_schema) == ("model.2", None)
    assert "Step 1 of 2: look left" in first.messages[-1].content
    state = said(told(asked(state, "look")), "Nothing on the left.")
    second = loop.decide(state)
    assert isinstance(second, CallModel)
    assert "Step 2 of 2: look right" in second.messages[-1].content
    state = said(state, "A door on the right.")
    last = loop.decide(state)
    assert isinstance(last, CallModel)
    assert last.json_schema == schema
    assert isinstance(loop.decide(said(state, "{}")), Finish)


def test_only_revise_plan_changes_a_plan_and_only_so_often() -> None:
    state = said(planning(), '{"steps": ["a", "b"]}')
    assert "revise_plan" in loop.offered_tools(state.definition)
    for n in range(3):
        call = f'{{"why": "x", "steps": ["c{n}"]}}'
        state = told(asked(state, "revise_plan", arguments=call))
        assert state.plan is not None
        assert state.plan.steps == (f"c{n}",)
    done = said(state, "c is done")
    assert done.plan is not None
    assert done.plan.done == 1
    over = told(asked(state, "revise_plan", arguments='{"why": "x", "steps": ["d"]}'))
    assert isinstance(loop.decide(over), Fail)


def test_a_plan_that_cannot_be_read_is_asked_for_three_times() -> None:
    state = planning()
    for n in range(3):
        asking = loop.decide(state)
        assert isinstance(asking, CallModel)
        assert asking.step == f"plan.{n + 1}"
        state = said(state, "First I look, then I think.")
    assert isinstance(loop.decide(state), Fail)


def test_the_retry_ladder_is_bounded() -> None:
    for failure in Failure:
        delays = [loop.retry_after(failure, failures=n) for n in range(1, 40)]
        assert delays[-1] is None
        waits = [delay.total_seconds() for delay in delays if delay]
        assert waits == sorted(waits)
    assert loop.retry_after(Failure.REFUSED, failures=1) is None


def test_an_unreachable_model_is_waited_for_ten_minutes() -> None:
    delays = [loop.retry_after(Failure.UNREACHABLE, failures=n) for n in range(1, 26)]
    assert delays[-1] is None
    assert sum(delay.total_seconds() for delay in delays if delay) == 600
