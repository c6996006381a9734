"""Two runs of a kind, step by step: what each was asked, what it said, and where they part first.

Steps are paired by their keys, so forks line up with their parents and reruns with each other.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from apps.orchestration import drafts
from apps.orchestration.models import STEP_RESULTS
from apps.orchestration.records import Record
from apps.orchestration.types.histories import Part, RunDiff, Side, StepPair
from apps.orchestration.types.runs import EventType, RunView

Journal = tuple[RunView, Sequence[Record], Mapping[str, Any]]
"""A run, its events, and the content that they name."""


def compare(one: Journal, other: Journal, *, inherited: tuple[int, int]) -> RunDiff:
    """`inherited`: up to which event each run's are copies of its parent's."""
    a, b = (_sides(journal, upto) for journal, upto in zip((one, other), inherited, strict=True))
    pairs = [_pair(step, a.get(step), b.get(step)) for step in _order(list(a), list(b))]
    parted = next((index for index, pair in enumerate(pairs) if pair.differs), len(pairs))
    return RunDiff(
        a=one[0],
        b=other[0],
        shared_steps=parted,
        first_difference=pairs[parted].step if parted < len(pairs) else None,
        steps=tuple(pairs),
    )


def _order(a: Sequence[str], b: Sequence[str]) -> list[str]:
    """All steps: those of `b` alone stand behind the step that they followed."""
    order = list(a)
    place = 0
    for step in b:
        if step in order:
            place = order.index(step) + 1
        else:
            order.insert(place, step)
            place += 1
    return order


def _pair(step: str, a: Side | None, b: Side | None) -> StepPair:
    if a is None or b is None:
        return StepPair(step=step, differs=(Part.PRESENCE,), a=a, b=b)
    differs = []
    if a.input != b.input:
        differs.append(Part.INPUT)
    if a.output != b.output:
        differs.append(Part.OUTPUT)
    return StepPair(step=step, differs=tuple(differs), a=a, b=b)


def _sides(journal: Journal, inherited: int) -> dict[str, Side]:
    _, records, contents = journal
    return {
        record.step: _side(record, contents, inherited)
        for record in records
        if record.type in STEP_RESULTS
    }


def _side(record: Record, contents: Mapping[str, Any], inherited: int) -> Side:
    asked, output = _told(record, contents)
    return Side(
        seq=record.seq,
        type=record.type,
        input=asked,
        output=output,
        input_tokens=record.input_tokens,
        output_tokens=record.output_tokens,
        cost_usd=record.cost_usd,
        duration_ms=round((record.at - record.started_at).total_seconds() * 1000),
        inherited=1 < record.seq <= inherited,
    )


def _told(record: Record, contents: Mapping[str, Any]) -> tuple[Any, Any]:
    """What was asked and what came out. Of a prompt, the messages that are new in it: where an
    earlier one differed, that step says so.
    """
    data = drafts.fill(record.type, record.data, contents)
    match record.type:
        case EventType.MODEL_ANSWERED:
            message = data["message"]
            calls = [
                {"name": call["name"], "arguments": call["arguments"]}
                for call in message.get("tool_calls", ())
            ]
            new = [contents[name] for name in record.data["prompt"]["add"]]
            asked = {"route": data["route"], "model": data["model"], "messages": new}
            return asked, {"content": message["content"], "tool_calls": calls}
        case EventType.TOOL_ANSWERED:
            output = {"content": data["message"]["content"], "is_error": data["is_error"]}
            return {"tool": data["tool"], "arguments": data["arguments"]}, output
        case EventType.CONTEXT_RETRIEVED:
            asked = {"query": data["query"], "spaces": data["spaces"]}
            return asked, [source["text"] for source in data["sources"]]
        case _:
            return None, dict(data)


def prompt_names(records: Sequence[Record]) -> set[str]:
    """The content that `compare` shows beside what `fill` needs."""
    return {
        name
        for record in records
        if record.type is EventType.MODEL_ANSWERED
        for name in record.data["prompt"]["add"]
    }
