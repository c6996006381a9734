"""Tool calls for models without their own: offered in the prompt, constrained by a schema.

A pure codec. The answer of a constrained call is either `{"tool": name, "arguments": {…}}` or
`{"answer": …}`, so it always parses unless the model ran out of tokens.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

import orjson

from apps.inference.types import ChatRequest, ChatResult, Message, ToolCall, ToolOffer

_DESCRIPTION_LENGTH = 400


def constrain(request: ChatRequest) -> ChatRequest:
    """The same request for a model that knows neither tools nor tool messages."""
    if not request.tools:
        return replace(request, messages=_plain(request.messages))
    return replace(
        request,
        messages=_with_offer(_plain(request.messages), request),
        tools=(),
        json_schema=_union(request),
    )


def interpret(result: ChatResult, request: ChatRequest) -> ChatResult:
    """The answer to `constrain(request)` as if the model had native tools.

    A text that is not of the agreed form (cut off, or from a server that ignores schemas) stays
    what it is: text.
    """
    if not request.tools:
        return result
    try:
        said: Any = orjson.loads(result.text)
    except orjson.JSONDecodeError:
        return result
    if not isinstance(said, dict):
        return result
    if said.get("tool") in [tool.name for tool in request.tools]:
        arguments = said.get("arguments", {})
        call = ToolCall(
            id=f"call_{uuid4().hex[:16]}",
            name=said["tool"],
            arguments=orjson.dumps(arguments).decode(),
        )
        return replace(result, text="", tool_calls=(call,), finish_reason="tool_calls")
    if "answer" in said:
        answer = said["answer"]
        text = answer if isinstance(answer, str) else orjson.dumps(answer).decode()
        return replace(result, text=text)
    return result


def _union(request: ChatRequest) -> dict[str, Any]:
    """One alternative a tool, and one for an answer in words or in the shape asked for.

    Schemas with `$ref` are moved below `$defs` as a whole, and their references with them.
    """
    definitions: dict[str, Any] = {}
    calls = [
        _object(
            tool={"const": tool.name},
            arguments=_embedded(tool.input_schema, f"arguments_{index}", definitions),
        )
        for index, tool in enumerate(request.tools)
    ]
    answer: dict[str, Any] = {"type": "string"}
    if request.json_schema is not None:
        answer = _embedded(request.json_schema, "answer", definitions)
    union: dict[str, Any] = {"anyOf": [*calls, _object(answer=answer)]}
    return union | ({"$defs": definitions} if definitions else {})


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _embedded(schema: Mapping[str, Any], name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    own = {key: value for key, value in schema.items() if key not in {"$schema", "$id"}}
    own = own or {"type": "object"}
    moved = _moved(own, f"#/$defs/{name}")
    if moved == own:
        return own
    definitions[name] = moved
    return {"$ref": f"#/$defs/{name}"}


def _moved(node: Any, root: str) -> Any:
    """The schema with each local reference pointing below its new root."""
    if isinstance(node, Mapping):
        return {
            key: root + value[1:]
            if key == "$ref" and isinstance(value, str) and value.startswith("#")
            else _moved(value, root)
            for key, value in node.items()
        }
    if isinstance(node, list | tuple):
        return [_moved(item, root) for item in node]
    return node


def _with_offer(messages: tuple[Message, ...], request: ChatRequest) -> tuple[Message, ...]:
    """The offer goes into the first system message, so that a prompt's start stays the same."""
    offer = _offer(request.tools)
    if messages and messages[0].role == "system":
        first = replace(messages[0], content=f"{messages[0].content}\n\n{offer}")
        return (first, *messages[1:])
    return (Message(role="system", content=offer), *messages)


def _offer(tools: tuple[ToolOffer, ...]) -> str:
    lines = [
        f"- {tool.name}: {' '.join(tool.description.split())[:_DESCRIPTION_LENGTH]}\n"
        f"  arguments: {orjson.dumps(dict(tool.input_schema)).decode()}"
        for tool in tools
    ]
    return (
        "You can use these tools:\n" + "\n".join(lines) + "\n"
        'Answer with JSON only. To use a tool: {"tool": "name", "arguments": {…}}. '
        'To answer: {"answer": …}.'
    )


def _plain(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Calls and results as the words that such a model would have written and been told."""
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    return tuple(_plain_message(message, names) for message in messages)


def _plain_message(message: Message, names: Mapping[str, str]) -> Message:
    if message.role == "tool":
        name = names.get(message.tool_call_id or "", "the tool")
        return Message(role="user", content=f"Result of {name}:\n{message.content}")
    if not message.tool_calls:
        return message
    written = [_written(call) for call in message.tool_calls]
    return Message(role="assistant", content="\n".join(filter(None, [message.content, *written])))


def _written(call: ToolCall) -> str:
    try:
        arguments: Any = orjson.loads(call.arguments)
    except orjson.JSONDecodeError:
        arguments = call.arguments
    return orjson.dumps({"tool": call.name, "arguments": arguments}).decode()
