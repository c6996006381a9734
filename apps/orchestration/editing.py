"""What a person puts in place of a step's result: shaped like the real one, and marked as edited.

An edit never makes content more trusted than what it replaces.
"""

from collections.abc import Mapping
from typing import Any

from apps.orchestration.records import Blobs, Record, dump
from apps.orchestration.steps.answering import digest_of
from apps.orchestration.types.runs import EventType
from octavo.kernel.errors import InvalidInput

_OF_MODEL = {"content", "tool_calls"}
_OF_TOOL = {"content", "structured", "is_error"}


def edited(
    record: Record, output: str | Mapping[str, Any], *, blobs: Blobs, is_last: bool, path: str
) -> Mapping[str, Any]:
    """The event's data with `output` as its result; new content goes into `blobs`.

    Raises `InvalidInput` at `path`.
    """
    given = {"content": output} if isinstance(output, str) else dict(output)
    match record.type:
        case EventType.MODEL_ANSWERED:
            if not is_last:
                raise _wrong(
                    path,
                    f"the steps after {record.step} follow from what the model said there: to "
                    f"change that, fork at {record.step}.",
                )
            return _model(record, given, blobs, path)
        case EventType.TOOL_ANSWERED:
            return _tool(record, given, blobs, path)
        case _:
            raise _wrong(path, f"{record.step} is neither a model's nor a tool's answer.")


def _model(record: Record, given: Mapping[str, Any], blobs: Blobs, path: str) -> Mapping[str, Any]:
    _check_members(given, _OF_MODEL, path)
    message: dict[str, Any] = {"role": "assistant", "content": _text(given, path)}
    calls = given.get("tool_calls") or []
    if not isinstance(calls, list):
        raise _wrong(f"{path}/tool_calls", "expected a list.")
    if calls:
        message["tool_calls"] = [
            _call(call, f"{record.step}.edited.{index}", f"{path}/tool_calls/{index}")
            for index, call in enumerate(calls)
        ]
    elif not message["content"].strip():
        raise _wrong(path, "say what the model answered, or which tools it called.")
    reason = "tool_calls" if calls else "stop"
    return {
        **record.data,
        "message": blobs.put(message),
        "finish_reason": reason,
        "edited": True,
    }


def _call(call: Any, call_id: str, path: str) -> dict[str, str]:
    if not (isinstance(call, Mapping) and isinstance(call.get("name"), str)):
        raise _wrong(path, 'expected {"name": …, "arguments": {…}}.')
    arguments = call.get("arguments", {})
    if not isinstance(arguments, Mapping | str):
        raise _wrong(f"{path}/arguments", "expected an object.")
    text = arguments if isinstance(arguments, str) else dump(arguments).decode()
    return {"id": call_id, "name": call["name"], "arguments": text}


def _tool(record: Record, given: Mapping[str, Any], blobs: Blobs, path: str) -> Mapping[str, Any]:
    _check_members(given, _OF_TOOL, path)
    text, data = _text(given, path), dict(record.data)
    data.pop("structured", None)
    message = {"role": "tool", "content": text, "tool_call_id": data["call_id"]}
    data["message"] = blobs.put(message)
    data["evidence"] = []
    data["is_error"] = bool(given.get("is_error", False))
    data["digest"] = digest_of(data["tool"], data["arguments"], text)
    structured = given.get("structured")
    if structured is not None:
        if not isinstance(structured, Mapping):
            raise _wrong(f"{path}/structured", "expected an object.")
        data["structured"] = blobs.put(dict(structured))
    return {**data, "edited": True}


def _text(given: Mapping[str, Any], path: str) -> str:
    text = given.get("content", "")
    if not isinstance(text, str):
        raise _wrong(f"{path}/content", "expected a string.")
    return text


def _check_members(given: Mapping[str, Any], known: set[str], path: str) -> None:
    unknown = sorted(given.keys() - known)
    if unknown:
        names = ", ".join(sorted(known))
        raise _wrong(f"{path}/{unknown[0]}", f"there is no such member; use {names}.")


def _wrong(path: str, detail: str) -> InvalidInput:
    return InvalidInput(
        f"The edit does not fit: {detail}", errors=[{"path": path, "detail": detail}]
    )
