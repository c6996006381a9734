"""What a journaled result means for the node that asked for it."""

from collections.abc import Mapping
from typing import Any

import orjson

from apps.orchestration.records import Record
from apps.orchestration.types.runs import EventType
from apps.orchestration.workflows.frames import Failure, Outcome, failed
from apps.orchestration.workflows.types import Ask, Kind, Node
from apps.tools.services import schemas

_LONGEST_ERROR = 2000
_CODES = {Kind.AGENT: "run_failed", Kind.WORKFLOW: "run_failed", Kind.APPROVAL: "refused"}
_RUNS = {Kind.AGENT, Kind.WORKFLOW}


def result_of(node: Node, record: Record, data: Mapping[str, Any]) -> Outcome:
    match record.type:
        case EventType.MODEL_ANSWERED:
            return _said(node, data["message"]["content"])
        case EventType.MODEL_FAILED:
            return failed(data["code"], data["detail"])
        case _:
            return _answer(node, data)


def _said(node: Node, text: str) -> Outcome:
    schema = node.work.output_schema if isinstance(node.work, Ask) else None
    if schema is None:
        return Outcome(text=text)
    try:
        value = orjson.loads(text)
    except ValueError as error:
        return failed("invalid_output", f"The model's answer is not JSON: {error}")
    wrong = schemas.check_instance(schema=schema, instance=value)
    if wrong:
        lines = "\n".join(("The model's answer does not fit output_schema:", *wrong))
        return failed("invalid_output", lines[:_LONGEST_ERROR])
    return Outcome(text=text, data=value)


def _answer(node: Node, data: Mapping[str, Any]) -> Outcome:
    text = data["message"]["content"]
    if data["is_error"]:
        return _refused_or_failed(node, text, data)
    found = data.get("structured")
    evidence = tuple(data["evidence"])
    if node.kind in _RUNS and found is not None:
        more = {"run": found["run"]}
        return Outcome(text=text, data=found.get("data"), evidence=evidence, more=more)
    return Outcome(text=text, data=found, evidence=evidence)


def _refused_or_failed(node: Node, text: str, data: Mapping[str, Any]) -> Outcome:
    """A call that was never made, or not allowed, has no other answer the next time."""
    decision = data.get("decision") or {}
    is_refusal = decision.get("outcome") in {None, "deny"}
    code = "refused" if is_refusal else _CODES.get(node.kind, "tool_error")
    failure = Failure(code=code, detail=text[:_LONGEST_ERROR])
    return Outcome(failure=failure, is_refusal=is_refusal)
