"""A workflow's run is a fold: any order of results ends alike, and a crash changes nothing."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from apps.agents.types import Fail, Finish
from tests.unit.orchestration.workflow_runs import Broken, event, interpreter, run, steps, take

EVERYTHING = """
nodes:
  - {id: research, kind: agent, agent: scout, input: "About {{ input.topic }}"}
  - id: each
    kind: map
    over: input.items
    concurrency: 2
    on_item_error: collect
    body:
      nodes:
        - {id: fetch, kind: tool, tool: fetch, arguments: {n: "{{ item }}", at: "{{ index }}"}}
        - {id: double, kind: tool, tool: double, arguments: {n: "{{ nodes.fetch.data.n }}"}}
      edges: [{from: fetch, to: double}]
      output: "{{ nodes.double.data.n }}"
  - id: refine
    kind: loop
    until: nodes.check.data.n >= 3
    max_rounds: 5
    body:
      nodes: [{id: check, kind: tool, tool: fetch, arguments: {n: "{{ round }}"}}]
  - {id: which, kind: branch}
  - {id: big, kind: model, prompt: "Big: {{ nodes.each.text }}"}
  - {id: small, kind: model, prompt: small}
  - {id: wrap, kind: tool, tool: join, arguments: {a: "{{ nodes.big.text }}"}}
edges:
  - {from: research, to: which}
  - {from: each, to: which}
  - {from: refine, to: which}
  - {from: which, to: big, when: "size(nodes.each.errors) == 1"}
  - {from: which, to: small, otherwise: true}
  - {from: big, to: wrap}
  - {from: small, to: wrap}
output:
  said: "{{ nodes.big.text }}"
  each: "{{ nodes.each.data }}"
  failed: "{{ nodes.each.errors[0].index }}"
  rounds: "{{ nodes.refine.rounds }}"
  small: "{{ nodes.small.status }}"
"""
INPUT = {"topic": "owls", "items": [1, 2, 3, 4]}


def answer(step: str, arguments: Mapping[str, Any]) -> Any:
    if step == "each[2].fetch":
        raise Broken("no page 2")
    if "fetch" in step or "check" in step:
        return {"n": arguments["n"]}
    if "double" in step:
        return {"n": arguments["n"] * 2}
    return f"<{json.dumps(arguments, sort_keys=True)}>"


def test_any_order_of_results_has_the_same_outcome() -> None:
    ends = [run(interpreter(EVERYTHING, INPUT), answer, seed=seed)[0] for seed in range(12)]
    assert all(end == ends[0] for end in ends)
    assert isinstance(ends[0], Finish)
    assert ends[0].data == {
        "said": '<{"prompt": "Big: [2,4,null,8]"}>',
        "each": [2, 4, None, 8],
        "failed": 2,
        "rounds": 3,
        "small": "skipped",
    }


def test_a_fold_of_any_beginning_decides_what_the_live_run_decided() -> None:
    for seed in range(2):
        live = interpreter(EVERYTHING, INPUT)
        _, journal = run(interpreter(EVERYTHING, INPUT), answer, seed=seed)
        for count, one in enumerate(journal):
            again = interpreter(EVERYTHING, INPUT)
            for before in journal[:count]:
                again.apply(*before)
            assert again.decide() == live.decide()
            assert again.tally == live.tally
            live.apply(*one)


def test_a_result_that_arrives_twice_or_late_changes_nothing() -> None:
    program = interpreter(EVERYTHING, INPUT)
    taken = take(program, "research", answer)
    before = program.decide()
    program.apply(*taken)
    assert program.decide() == before


def test_a_map_keeps_to_its_limit_and_to_the_order_of_the_items() -> None:
    program = interpreter(EVERYTHING, INPUT)
    assert [step for step in steps(program) if "each" in step] == ["each[0].fetch", "each[1].fetch"]
    take(program, "each[1].fetch", answer)
    take(program, "each[1].double", answer)
    assert [s for s in steps(program) if "each" in s] == ["each[0].fetch", "each[2].fetch"]


JOIN = """
nodes:
  - {id: a, kind: agent, agent: one, input: x}
  - {id: b, kind: agent, agent: two, input: x}
  - {id: c, kind: agent, agent: three, input: x}
  - {id: pick, kind: tool, tool: join, join: %s, arguments: {a: "{{ nodes.a.text }}"}}
edges: [{from: a, to: pick}, {from: b, to: pick}, {from: c, to: pick}]
"""


@pytest.mark.parametrize(("join", "left"), [("any", 2), ("2", 1), ("all", 0)])
def test_a_join_starts_when_it_has_enough_and_cancels_the_losers(join: str, left: int) -> None:
    program = interpreter(JOIN % join)
    order = ["b", "c", "a"]
    for name in order[: 3 - left]:
        assert "pick" not in steps(program)
        take(program, name, answer)
    assert steps(program) == ["pick"]
    cancelled = [name for name in "abc" if program.tally[name]["cancelled"]]
    assert cancelled == sorted(order[3 - left :])


def test_a_join_that_cannot_be_met_fails_and_says_why() -> None:
    text = JOIN % "3"
    text += "  - {from: a, to: note, on: error}\n"
    text = text.replace("edges: [", "edges:\n  - ").replace("}, {from", "}\n  - {from")
    text = text.replace("pick}]", "pick}").replace(
        "edges:", "  - {id: note, kind: tool, tool: note}\nedges:"
    )

    def fails(step: str, arguments: Mapping[str, Any]) -> Any:
        if step == "a":
            raise Broken("gone")
        return "x"

    end, _ = run(interpreter(text), fails)
    assert isinstance(end, Fail)
    assert end.code == "join_unmet"
    assert "2 of the 3" in end.detail


RESCUED = """
nodes:
  - {id: risky, kind: tool, tool: risky, retry: {attempts: 2, backoff_seconds: 3}}
  - {id: rescue, kind: tool, tool: note, arguments: {why: "{{ nodes.risky.error.detail }}"}}
  - {id: after, kind: tool, tool: note}
edges:
  - {from: risky, to: rescue, on: error}
  - {from: risky, to: after}
"""


def broken(step: str, arguments: Mapping[str, Any]) -> Any:
    if "risky" in step and "again" not in step:
        raise Broken("boom")
    return arguments


def test_a_failed_node_is_tried_again_and_then_takes_its_error_edge() -> None:
    program = interpreter(RESCUED)
    take(program, "risky", broken)
    assert steps(program) == ["risky#again"]
    assert take(program, "risky#again", broken)[1]["structured"] == {"seconds": 3}
    take(program, "risky#2", broken)
    assert steps(program) == ["rescue"]
    end, _ = run(program, broken)
    assert isinstance(end, Finish)
    assert end.data == {"why": "boom"}
    assert program.tally["after"]["skipped"] == 1


def test_a_failure_that_nothing_takes_up_names_where_it_happened() -> None:
    text = EVERYTHING.replace("on_item_error: collect", "on_item_error: fail")
    end, _ = run(interpreter(text, INPUT), answer, seed=3)
    assert end == Fail(code="tool_error", detail="each[2].fetch: no page 2")


def test_a_loop_ends_at_its_bound() -> None:
    text = EVERYTHING.replace("n >= 3", "n >= 99")
    end, _ = run(interpreter(text, INPUT), answer)
    assert isinstance(end, Fail)
    assert end.code == "max_rounds"
    end, _ = run(interpreter(text.replace("5\n", "5\n    at_bound: continue\n"), INPUT), answer)
    assert isinstance(end, Finish)
    assert end.data["rounds"] == 5


def test_a_node_that_takes_too_long_fails() -> None:
    text = "nodes: [{id: slow, kind: agent, agent: a, input: x, timeout_seconds: 9}]"
    program = interpreter(text)
    assert steps(program) == ["slow", "slow#timeout"]
    take(program, "slow#timeout", answer)
    end = program.decide()
    assert isinstance(end, Fail)
    assert end.code == "timeout"


def test_an_expression_without_a_value_fails_its_node_only() -> None:
    text = RESCUED.replace("tool: risky,", 'tool: risky, arguments: {x: "{{ input.missing }}"},')
    program = interpreter(text, {"other": 1})
    assert steps(program) == ["rescue"]


def test_a_thousand_items_that_all_fail_at_once_do_not_exhaust_the_stack() -> None:
    text = """
nodes:
  - id: each
    kind: map
    over: input
    on_item_error: collect
    body: {nodes: [{id: one, kind: tool, tool: t, arguments: {x: "{{ item.nope }}"}}]}
output: "{{ size(nodes.each.errors) }}"
"""
    end = interpreter(text, list(range(1000))).decide()
    assert isinstance(end, Finish)
    assert end.data == 1000


def test_the_calls_of_a_run_are_bounded() -> None:
    program = interpreter(EVERYTHING + "limits: {max_nodes: 6}\n", INPUT)
    end, _ = run(program, answer)
    assert isinstance(end, Fail)
    assert end.code == "max_nodes"


def test_output_that_does_not_fit_its_schema_fails_the_run() -> None:
    text = "nodes: [{id: a, kind: tool, tool: t}]\noutput_schema: {type: object}\n"
    end, _ = run(interpreter(text), lambda step, arguments: "words")
    assert isinstance(end, Fail)
    assert end.code == "invalid_output"


def test_what_was_read_untrusted_taints_the_run() -> None:
    program = interpreter(EVERYTHING, INPUT)
    decided = program.decide()
    assert isinstance(decided, tuple)
    record, data = event(decided[0], answer)
    program.apply(record, {**data, "trust": "untrusted"})
    assert program.tainted
