"""A journal folded again: what the code would ask at each point is what the journal says it asked.

Pure: no clock, database or network, so recorded histories can be checked wherever the code is.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from apps.agents.types import HANDOFF_PREFIX, CallModel, Definition, Fail, Finish, Retrieve
from apps.orchestration import activation, drafts, fold, journal
from apps.orchestration.fold import Folded
from apps.orchestration.programs import CallTool, End, Program, Task, output_of
from apps.orchestration.records import Blobs, Record, RunFacts
from apps.orchestration.single_call import SingleCall
from apps.orchestration.types.histories import Difference, Replayed
from apps.orchestration.types.runs import EventType
from apps.orchestration.workflows.interpreting import Interpreter
from apps.orchestration.workflows.types import Definition as WorkflowDefinition

type Pinned = Definition | WorkflowDefinition | None
"""What a run is pinned to; None for one tool call."""

_NOT_DECIDED = {"deadline"}
"""Codes of failures that the clock brings, not the loop."""


def check(
    run: RunFacts,
    definition: Pinned,
    records: Sequence[Record],
    contents: Mapping[str, Any],
    *,
    inherited: int = 0,
) -> Replayed:
    """Fold the records over the definition (None for one tool call) and compare as it goes.

    The first `inherited` events are a fork's copies: taken as they are, because they answer what
    its parent asked.
    """
    state = Folded(program=program_of(run, definition))
    for record in records:
        data = drafts.fill(record.type, record.data, contents)
        if record.seq > inherited:
            found = _compare(state, record, data)
            if found is not None:
                expected, recorded = found
                difference = Difference(
                    seq=record.seq, step=record.step, expected=expected, recorded=recorded
                )
                return Replayed(equal=False, first_difference=difference, events=len(records))
        fold.apply(state, record, data)
    return Replayed(equal=True, first_difference=None, events=len(records))


def program_of(run: RunFacts, definition: Pinned) -> Program:
    match definition:
        case None:
            return SingleCall(run.tool, run.input)
        case Definition():
            return activation.agent_program(run, definition)
        case _:
            return Interpreter(definition, run.input)


def folded(
    run: RunFacts,
    definition: Pinned,
    records: Iterable[Record],
    contents: Mapping[str, Any],
) -> Folded:
    """The state after these records."""
    state = Folded(program=program_of(run, definition))
    for record in records:
        fold.apply(state, record, drafts.fill(record.type, record.data, contents))
    return state


_Found = tuple[Mapping[str, Any], Mapping[str, Any]]
"""What the code asks, and what the journal says, where the two are not the same."""


def _compare(state: Folded, record: Record, data: Mapping[str, Any]) -> _Found | None:
    recorded = _recorded(state, record, data)
    if recorded is None:
        return None
    decided = state.program.decide()
    tasks = decided if isinstance(decided, tuple) else (decided,)
    choices = [choice for task in tasks for choice in _asked(task, state)]
    if any(_fits(choice, recorded) for choice in choices):
        return None
    same_step = [choice for choice in choices if choice.get("step") == record.step]
    return (same_step or choices or [{}])[0], recorded


def _fits(expected: Mapping[str, Any], recorded: Mapping[str, Any]) -> bool:
    """A record may say less than the decision, a failed attempt for instance has no prompt."""
    return all(name in expected and expected[name] == said for name, said in recorded.items())


def _asked(decided: Task | End, state: Folded) -> list[Mapping[str, Any]]:
    match decided:
        case Retrieve():
            query = decided.query.replace("\x00", " ")[: drafts.LONGEST_QUERY]
            asked = {"query": query, "quote": decided.quote}
            return [{"step": decided.step, "kind": "retrieve", **asked}]
        case CallModel():
            blobs = Blobs()
            prompt = [blobs.put(drafts.message_json(message)) for message in decided.messages]
            return [{"step": decided.step, "kind": "model", "prompt": prompt}]
        case CallTool():
            return _call(decided, state)
        case Finish():
            return [{"kind": "finish", "output": _plain(output_of(decided))}]
        case Fail():
            return [{"kind": "fail", "code": decided.code}]


def _call(task: CallTool, state: Folded) -> list[Mapping[str, Any]]:
    """A person who approved a call may have changed its arguments: then theirs fit as well."""
    verdict = state.progress(task.step).verdict or {}
    possible = [_plain(_parsed(task.call.arguments))]
    if "arguments" in verdict:
        possible.append(verdict["arguments"])
    made = {"step": task.step, "kind": "tool", "tool": task.call.name, "call_id": task.call.id}
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
        case EventType.HANDED_OFF:
            tool = f"{HANDOFF_PREFIX}{data['agent']}"
            return {"step": record.step, "kind": "tool", "tool": tool}
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
    return orjson.loads(journal.as_json(value) or "null")
