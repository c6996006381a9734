"""A journal folded again: what the code would ask at each point is what the journal says it asked.

Pure: no clock, database or network, so recorded histories can be checked wherever the code is.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from apps.agents.services import loop
from apps.agents.types import (
    CallModel,
    CallTools,
    Definition,
    Fail,
    Finish,
    LoopDecision,
    LoopState,
    Retrieve,
)
from apps.inference.types import ToolCall
from apps.orchestration import activation, drafts, fold, single_call
from apps.orchestration.fold import Folded
from apps.orchestration.records import Blobs, Record, RunFacts
from apps.orchestration.types import Difference, EventType, Replayed

_NOT_DECIDED = {"deadline"}
"""Codes of failures that the clock brings, not the loop."""


def check(
    run: RunFacts,
    definition: Definition | None,
    records: Sequence[Record],
    contents: Mapping[str, Any],
    *,
    inherited: int = 0,
) -> Replayed:
    """Fold the records over the definition (None for one tool call) and compare as it goes.

    The first `inherited` events are a fork's copies: taken as they are, because they answer what
    its parent asked.
    """
    state = Folded(loop=start(run, definition))
    for record in records:
        data = drafts.fill(record.type, record.data, contents)
        if record.seq > inherited:
            found = _compare(run, state, record, data)
            if found is not None:
                expected, recorded = found
                difference = Difference(
                    seq=record.seq, step=record.step, expected=expected, recorded=recorded
                )
                return Replayed(equal=False, first_difference=difference, events=len(records))
        fold.apply(state, record, data)
    return Replayed(equal=True, first_difference=None, events=len(records))


def start(run: RunFacts, definition: Definition | None) -> LoopState:
    if definition is None:
        return single_call.start(run.tool, run.input)
    return activation.start_agent(run, definition)


def folded(
    run: RunFacts,
    definition: Definition | None,
    records: Iterable[Record],
    contents: Mapping[str, Any],
) -> Folded:
    """The state after these records."""
    state = Folded(loop=start(run, definition))
    for record in records:
        fold.apply(state, record, drafts.fill(record.type, record.data, contents))
    return state


_Found = tuple[Mapping[str, Any], Mapping[str, Any]]
"""What the code asks, and what the journal says, where the two are not the same."""


def _compare(
    run: RunFacts, state: Folded, record: Record, data: Mapping[str, Any]
) -> _Found | None:
    recorded = _recorded(state, record, data)
    if recorded is None:
        return None
    asked = [_asked(one, state) for one in decisions(run, state)]
    choices = [choice for group in asked for choice in group]
    if any(_fits(choice, recorded) for choice in choices):
        return None
    same_step = [choice for choice in choices if choice.get("step") == record.step]
    return (same_step or choices or [{}])[0], recorded


def decisions(run: RunFacts, state: Folded) -> tuple[LoopDecision, ...]:
    """What the code asks for in this state."""
    if run.tool:
        return (single_call.decide(state.loop, state.answered),)
    return (loop.decide(state.loop),)


def _fits(expected: Mapping[str, Any], recorded: Mapping[str, Any]) -> bool:
    """A record may say less than the decision, a failed attempt for instance has no prompt."""
    return all(name in expected and expected[name] == said for name, said in recorded.items())


def _asked(decision: LoopDecision, state: Folded) -> list[Mapping[str, Any]]:
    match decision:
        case Retrieve():
            query = decision.query.replace("\x00", " ")
            return [
                {
                    "step": decision.step,
                    "kind": "retrieve",
                    "query": query[: drafts.LONGEST_QUERY],
                    "quote": decision.quote,
                }
            ]
        case CallModel():
            blobs = Blobs()
            prompt = [blobs.put(drafts.message_json(message)) for message in decision.messages]
            return [{"step": decision.step, "kind": "model", "prompt": prompt}]
        case CallTools():
            return [
                choice
                for index, call in enumerate(decision.calls)
                for choice in _call(f"{decision.step}.{decision.first + index}", call, state)
            ]
        case Finish():
            output: dict[str, Any] = {"text": decision.text, "citations": list(decision.citations)}
            if decision.data is not None:
                output["data"] = decision.data
            return [{"kind": "finish", "output": _plain(output)}]
        case Fail():
            return [{"kind": "fail", "code": decision.code}]


def _call(step: str, call: ToolCall, state: Folded) -> list[Mapping[str, Any]]:
    """A person who approved a call may have changed its arguments: then theirs fit as well."""
    verdict = state.progress(step).verdict or {}
    possible = [
        _parsed(call.arguments),
        *([verdict["arguments"]] if "arguments" in verdict else []),
    ]
    made = {"step": step, "kind": "tool", "tool": call.name, "call_id": call.id}
    return [{**made, "arguments": arguments} for arguments in possible]


def _recorded(state: Folded, record: Record, data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What the record says was asked; None for what comes from people, clocks and crashes."""
    match record.type:
        case EventType.CONTEXT_RETRIEVED:
            asked = {"query": data["query"], "quote": data["quote"]}
            return {"step": record.step, "kind": "retrieve", **asked}
        case EventType.MODEL_ANSWERED:
            prompt = [*state.prompt[: data["prompt"]["keep"]], *data["prompt"]["add"]]
            return {"step": record.step, "kind": "model", "prompt": prompt}
        case EventType.MODEL_FAILED:
            return {"step": record.step}
        case EventType.TOOL_ANSWERED:
            return _answered(record, data)
        case EventType.TOOL_INTENDED | EventType.TOOL_FAILED | EventType.EFFECT_UNKNOWN:
            return {"step": record.step, "kind": "tool", "tool": data["tool"]}
        case EventType.RUN_SUCCEEDED:
            return {"kind": "finish", "output": data["output"]}
        case EventType.RUN_FAILED if data["code"] not in _NOT_DECIDED:
            return {"kind": "fail", "code": data["code"]}
        case _:
            return None


def _answered(record: Record, data: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "step": record.step,
        "kind": "tool",
        "tool": data["tool"],
        "call_id": data["call_id"],
        "arguments": _parsed(data["arguments"]),
    }


def _parsed(arguments: Any) -> Any:
    """Arguments that are no JSON stay the text that the model wrote."""
    if not isinstance(arguments, str):
        return arguments
    try:
        return orjson.loads(arguments)
    except ValueError:
        return arguments


def _plain(value: Any) -> Any:
    """As it is after a journey through the database."""
    return orjson.loads(orjson.dumps(value, default=str))
