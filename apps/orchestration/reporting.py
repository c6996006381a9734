"""What a loop outside tells of a step, brought into the shape of the journal's own events.

What it does not say is empty, never invented; its words are never trusted.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from apps.orchestration.records import Blobs, Draft, dump
from apps.orchestration.steps.answering import digest_of
from apps.orchestration.types.runs import EventType
from apps.tools.types import Trust
from octavo.kernel.errors import InvalidInput

TYPES = (
    EventType.MODEL_ANSWERED,
    EventType.TOOL_ANSWERED,
    EventType.NOTE,
    EventType.RUN_SUCCEEDED,
    EventType.RUN_FAILED,
    EventType.RUN_CANCELLED,
)
"""What may be reported, in the order of the documentation."""

_MOST_TOKENS = 2**31 - 1
_MOST_USD = Decimal(10_000_000)
_MEMBERS = {
    EventType.MODEL_ANSWERED: {
        *("model", "provider", "content", "tool_calls", "messages", "offered", "finish_reason"),
        *("usage", "took_seconds"),
    },
    EventType.TOOL_ANSWERED: {
        *("tool", "call_id", "arguments", "content", "structured", "is_error", "took_seconds"),
    },
    EventType.NOTE: {"text", "data"},
    EventType.RUN_SUCCEEDED: {"output"},
    EventType.RUN_FAILED: {"code", "detail"},
    EventType.RUN_CANCELLED: set(),
}


def draft_of(kind: EventType, step: str, data: Mapping[str, Any], *, path: str) -> Draft:
    """Raises `InvalidInput` with paths below `path`."""
    told = _Told(data, path, _MEMBERS[kind])
    match kind:
        case EventType.MODEL_ANSWERED:
            return _model(step, told)
        case EventType.TOOL_ANSWERED:
            return _tool(step, told)
        case _:
            text = told.text("text", required=True)
            return Draft(type=kind, step=step, data={"text": text, **told.given("data")})


def ending_of(
    kind: EventType, data: Mapping[str, Any], *, path: str
) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
    """The run's output and error."""
    told = _Told(data, path, _MEMBERS[kind])
    match kind:
        case EventType.RUN_SUCCEEDED:
            return _output(told), None
        case EventType.RUN_FAILED:
            code = told.text("code") or "failed_outside"
            return None, {"code": code, "detail": told.text("detail", required=True)}
        case _:
            return None, None


def _model(step: str, told: "_Told") -> Draft:
    blobs = Blobs()
    message: dict[str, Any] = {"role": "assistant", "content": told.text("content")}
    calls = [_call(told, index, one) for index, one in enumerate(told.items("tool_calls"))]
    if calls:
        message["tool_calls"] = calls
    usage = told.usage()
    data = {
        "route": "",
        "model": told.text("model", required=True),
        "provider": told.text("provider"),
        "finish_reason": told.text("finish_reason") or ("tool_calls" if calls else "stop"),
        "message": blobs.put(message),
        "offered": [str(name) for name in told.items("offered")],
        "prompt": {"keep": 0, "add": [blobs.put(one) for one in _messages(told)]},
        "usage": {**usage, "cost_usd": f"{usage['cost_usd'].normalize():f}"},
        "usage_id": None,
        "decision_id": None,
    }
    return Draft(
        type=EventType.MODEL_ANSWERED,
        step=step,
        data=data,
        blobs=blobs,
        took=told.seconds(),
        is_step=True,
        **usage,
    )


def _call(told: "_Told", index: int, one: Any) -> dict[str, str]:
    if not (isinstance(one, Mapping) and isinstance(one.get("name"), str)):
        raise told.wrong(f"tool_calls/{index}", 'expected {"id"?, "name", "arguments"}.')
    arguments = one.get("arguments", {})
    text = arguments if isinstance(arguments, str) else dump(arguments).decode()
    return {"id": str(one.get("id") or index), "name": one["name"], "arguments": text}


def _messages(told: "_Told") -> list[dict[str, Any]]:
    found = []
    for index, one in enumerate(told.items("messages")):
        if not (isinstance(one, Mapping) and isinstance(one.get("role"), str)):
            raise told.wrong(f"messages/{index}", 'expected {"role", "content"}.')
        content = one.get("content") or ""
        text = content if isinstance(content, str) else dump(content).decode()
        found.append({"role": one["role"], "content": text})
    return found


def _tool(step: str, told: "_Told") -> Draft:
    blobs, tool = Blobs(), told.text("tool", required=True)
    text, given = told.text("content"), told.given("arguments").get("arguments", {})
    call_id = told.text("call_id") or step
    message = {"role": "tool", "content": text, "tool_call_id": call_id}
    data: dict[str, Any] = {
        "tool": tool,
        "call_id": call_id,
        "arguments": given if isinstance(given, Mapping | str) else {"value": given},
        "message": blobs.put(message),
        "is_error": told.flag("is_error"),
        "trust": Trust.UNTRUSTED,
        "evidence": [],
    }
    data["digest"] = digest_of(tool, data["arguments"], text)
    structured = told.given("structured").get("structured")
    if structured is not None:
        if not isinstance(structured, Mapping):
            raise told.wrong("structured", "expected an object.")
        data["structured"] = blobs.put(dict(structured))
    return Draft(
        type=EventType.TOOL_ANSWERED,
        step=step,
        data=data,
        blobs=blobs,
        took=told.seconds(),
        is_step=True,
    )


def _output(told: "_Told") -> Mapping[str, Any]:
    output = told.given("output").get("output", "")
    if isinstance(output, str):
        return {"text": output, "citations": []}
    if not isinstance(output, Mapping) or not isinstance(output.get("text", ""), str):
        raise told.wrong("output", 'expected a text, or {"text", "data"?}.')
    shaped: dict[str, Any] = {"text": output.get("text", ""), "citations": []}
    if output.get("data") is not None:
        shaped["data"] = output["data"]
    return shaped


class _Told:
    """The members of one report, each checked as it is read."""

    def __init__(self, data: Mapping[str, Any], path: str, known: set[str]) -> None:
        self._data, self._path = data, path
        unknown = sorted(data.keys() - known)
        if unknown:
            names = ", ".join(sorted(known)) or "none"
            raise self.wrong(unknown[0], f"there is no such member; known here: {names}.")

    def wrong(self, member: str, detail: str) -> InvalidInput:
        path = f"{self._path}/{member}"
        return InvalidInput(f"{path}: {detail}", errors=[{"path": path, "detail": detail}])

    def given(self, member: str) -> dict[str, Any]:
        return {member: self._data[member]} if member in self._data else {}

    def text(self, member: str, *, required: bool = False) -> str:
        found = self._data.get(member) or ""
        if not isinstance(found, str):
            raise self.wrong(member, "expected a string.")
        if required and not found.strip():
            raise self.wrong(member, "this must be said.")
        return found

    def items(self, member: str) -> Sequence[Any]:
        found = self._data.get(member) or []
        if not isinstance(found, list):
            raise self.wrong(member, "expected a list.")
        return found

    def flag(self, member: str) -> bool:
        found = self._data.get(member, False)
        if not isinstance(found, bool):
            raise self.wrong(member, "expected true or false.")
        return found

    def seconds(self) -> float:
        found = self._data.get("took_seconds", 0)
        is_number = isinstance(found, int | float) and not isinstance(found, bool)
        if not (is_number and 0 <= found <= 86_400 * 30):
            raise self.wrong("took_seconds", "expected seconds, from 0 to 30 days.")
        return float(found)

    def usage(self) -> dict[str, Any]:
        given = self._data.get("usage") or {}
        if not isinstance(given, Mapping):
            raise self.wrong("usage", "expected {input_tokens, output_tokens, cost_usd?}.")
        counted: dict[str, Any] = {
            name: self._count(given, name) for name in ("input_tokens", "output_tokens")
        }
        try:
            cost = Decimal(str(given.get("cost_usd") or 0))
        except InvalidOperation:
            cost = Decimal(-1)
        if not (cost.is_finite() and 0 <= cost <= _MOST_USD):
            raise self.wrong("usage/cost_usd", "expected an amount in USD, as a string.")
        return {**counted, "cost_usd": cost}

    def _count(self, given: Mapping[str, Any], name: str) -> int:
        found = given.get(name) or 0
        if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= _MOST_TOKENS:
            raise self.wrong(f"usage/{name}", "expected a count.")
        return found
