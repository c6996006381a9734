"""Drives a workflow's interpreter by hand: what it asks for is answered in any order."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any

from apps.agents.types import CallModel, Fail, Finish
from apps.orchestration.programs import CallTool, Task
from apps.orchestration.records import Record
from apps.orchestration.types.runs import EventType
from apps.orchestration.workflows.documents import read_document
from apps.orchestration.workflows.interpreting import Interpreter
from apps.orchestration.workflows.reading import read_definition

Answer = Callable[[str, Mapping[str, Any]], Any]
Event = tuple[Record, Mapping[str, Any]]
_NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Broken(Exception):
    """What an `Answer` raises for a call that fails."""


def interpreter(text: str, input: Any = "hello") -> Interpreter:
    definition, problems = read_definition(read_document(text))
    assert definition is not None, problems
    return Interpreter(definition, input)


def steps(program: Interpreter) -> list[str]:
    decided = program.decide()
    assert not isinstance(decided, Finish | Fail), decided
    return [task.step for task in decided]


def event(task: Task, answer: Answer) -> Event:
    if isinstance(task, CallModel):
        text = answer(task.step, {"prompt": task.messages[-1].content})
        return _record(task.step, EventType.MODEL_ANSWERED), {"message": {"content": text}}
    assert isinstance(task, CallTool)
    data: dict[str, Any] = {
        "is_error": False,
        "trust": "trusted",
        "evidence": [],
        "decision": {"outcome": "allow"},
    }
    try:
        value = answer(task.step, json.loads(task.call.arguments))
    except Broken as error:
        value, data["is_error"] = str(error), True
    if not isinstance(value, str):
        data["structured"] = value
        value = json.dumps(value)
    return _record(task.step, EventType.TOOL_ANSWERED), {**data, "message": {"content": value}}


def _record(step: str, kind: EventType) -> Record:
    return Record(
        seq=1,
        type=kind,
        step=step,
        attempt=1,
        started_at=_NOW,
        at=_NOW,
        data={},
        input_tokens=0,
        output_tokens=0,
        cost_usd=Decimal(0),
    )


def take(program: Interpreter, step: str, answer: Answer) -> Event:
    """Answer one of the steps that the program asks for."""
    decided = program.decide()
    assert not isinstance(decided, Finish | Fail), decided
    task = next(task for task in decided if task.step == step)
    record, data = event(task, answer)
    program.apply(record, data)
    return record, data


def run(
    program: Interpreter, answer: Answer, *, seed: int = 0
) -> tuple[Finish | Fail, list[Event]]:
    """Answer what is asked for in a random order until the end; with all that was answered."""
    order, journal = Random(seed), []
    while not isinstance(decided := program.decide(), Finish | Fail):
        assert decided, "The program names nothing to do and no end."
        task = order.choice(decided)
        journal.append(event(task, answer))
        program.apply(*journal[-1])
    return decided, journal
