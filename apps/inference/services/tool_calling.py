"""Tool calls for models without their own: offered in the prompt, constrained by a schema.

A pure codec on bodies of the chat completions protocol. The answer of a constrained call is either
`{"tool": name, "arguments": {…}}` or `{"answer": …}`, so it always parses unless the model ran out
of tokens.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

import orjson

from apps.inference.types import ProtocolBody

_DESCRIPTION_LENGTH = 400
_OF_TOOLS = ("tools", "tool_choice", "parallel_tool_calls", "functions", "function_call")
_OF_THE_TEXT = ("logprobs", "top_logprobs")  # it is JSON that nobody will see

Json = dict[str, Any]


def constrain(body: ProtocolBody) -> Json:
    """The same body for a model that knows neither tools nor tool messages."""
    plain = {name: value for name, value in body.items() if name not in _OF_TOOLS}
    plain["messages"] = _plain(body["messages"])
    tools = _offered(body)
    if not tools:
        return plain
    plain = {name: value for name, value in plain.items() if name not in _OF_THE_TEXT}
    may_answer = not _must_call(body)
    plain["messages"] = _with_offer(plain["messages"], _offer(tools, may_answer=may_answer))
    schema = _union(tools, _answer_schema(body) if may_answer else None)
    plain["response_format"] = {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema},
    }
    return plain


def interpret(answer: Mapping[str, Any], body: ProtocolBody) -> Json:
    """The answer to `constrain(body)` as if the model had native tools.

    A text that is not of the agreed form (cut off, or from a server that ignores schemas) stays
    what it is: text.
    """
    names = [tool["name"] for tool in _offered(body)]
    return {**answer, "choices": [_interpreted(choice, names) for choice in answer["choices"]]}


def chunks(answer: Mapping[str, Any]) -> Iterator[Json]:
    """A whole answer as the stream that a model would have written it in."""
    shared = {name: answer[name] for name in ("id", "created", "model") if name in answer}
    shared["object"] = "chat.completion.chunk"
    for choice in answer["choices"]:
        index = choice.get("index", 0)
        for delta in _deltas(choice["message"]):
            piece = {"index": index, "delta": delta, "finish_reason": None}
            yield {**shared, "choices": [piece]}
        end = {"index": index, "delta": {}, "finish_reason": choice.get("finish_reason") or "stop"}
        yield {**shared, "choices": [end]}
    if answer.get("usage"):
        yield {**shared, "choices": [], "usage": answer["usage"]}


def _deltas(message: Mapping[str, Any]) -> Iterator[Json]:
    """Role, text, then each call: its id and name first, its arguments after them."""
    calls = message.get("tool_calls") or ()
    yield {"role": "assistant", "content": None if calls else ""}
    if message.get("content"):
        yield {"content": message["content"]}
    for index, call in enumerate(calls):
        function = call["function"]
        opened = {**call, "index": index, "function": {"name": function["name"], "arguments": ""}}
        yield {"tool_calls": [opened]}
        written = {"index": index, "function": {"arguments": function["arguments"]}}
        yield {"tool_calls": [written]}


def _interpreted(choice: Mapping[str, Any], names: Sequence[str]) -> Json:
    read = dict(choice)
    try:
        said: Any = orjson.loads(choice["message"].get("content") or "")
    except (orjson.JSONDecodeError, TypeError):
        return read
    if not (names and isinstance(said, dict)):
        return read
    if said.get("tool") in names:
        arguments = orjson.dumps(said.get("arguments", {})).decode()
        function = {"name": said["tool"], "arguments": arguments}
        call = {"id": f"call_{uuid4().hex[:16]}", "type": "function", "function": function}
        read["message"] = {**choice["message"], "content": None, "tool_calls": [call]}
        read["finish_reason"] = "tool_calls"
    elif "answer" in said:
        answer = said["answer"]
        text = answer if isinstance(answer, str) else orjson.dumps(answer).decode()
        read["message"] = {**choice["message"], "content": text}
    return read


def _offered(body: ProtocolBody) -> list[Json]:
    """The functions that the model may call, as `tool_choice` has it."""
    functions = [tool["function"] for tool in body.get("tools") or ()]
    choice = body.get("tool_choice") or "auto"
    if choice == "none":
        return []
    if isinstance(choice, Mapping):
        allowed = choice.get("allowed_tools", {}).get("tools", [choice])
        names = {tool.get("function", {}).get("name") for tool in allowed}
        return [function for function in functions if function["name"] in names]
    return functions


def _must_call(body: ProtocolBody) -> bool:
    choice = body.get("tool_choice")
    if isinstance(choice, Mapping) and "allowed_tools" in choice:
        return bool(choice["allowed_tools"].get("mode") == "required")
    return choice == "required" or isinstance(choice, Mapping)


def _answer_schema(body: ProtocolBody) -> Mapping[str, Any]:
    """Words, or the shape that was asked for."""
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        return wanted["json_schema"].get("schema") or {"type": "object"}
    return {"type": "object"} if wanted.get("type") == "json_object" else {"type": "string"}


def _union(tools: Sequence[Json], answer: Mapping[str, Any] | None) -> Json:
    """One alternative a tool, and one for an answer where the model may give one.

    Schemas with `$ref` are moved below `$defs` as a whole, and their references with them.
    """
    definitions: Json = {}
    ways = [
        _object(
            tool={"const": tool["name"]},
            arguments=_embedded(tool.get("parameters") or {}, f"arguments_{index}", definitions),
        )
        for index, tool in enumerate(tools)
    ]
    if answer is not None:
        ways.append(_object(answer=_embedded(answer, "answer", definitions)))
    return {"anyOf": ways} | ({"$defs": definitions} if definitions else {})


def _object(**properties: Any) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _embedded(schema: Mapping[str, Any], name: str, definitions: Json) -> Json:
    own = {key: value for key, value in schema.items() if key not in {"$schema", "$id"}}
    own = own or {"type": "object"}
    moved: Json = _moved(own, f"#/$defs/{name}")
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


def _with_offer(messages: Sequence[Json], offer: str) -> list[Json]:
    """The offer goes into the first system message, so that a prompt's start stays the same."""
    if messages and messages[0]["role"] == "system":
        first = {**messages[0], "content": f"{_words(messages[0]['content'])}\n\n{offer}"}
        return [first, *messages[1:]]
    return [{"role": "system", "content": offer}, *messages]


def _offer(tools: Sequence[Json], *, may_answer: bool) -> str:
    lines = [
        f"- {tool['name']}: {_short(tool.get('description') or '')}\n"
        f"  arguments: {orjson.dumps(tool.get('parameters') or {}).decode()}"
        for tool in tools
    ]
    return (
        "You can use these tools:\n" + "\n".join(lines) + "\n"
        'Answer with JSON only. To use a tool: {"tool": "name", "arguments": {…}}.'
        + (' To answer: {"answer": …}.' if may_answer else "")
    )


def _short(description: str) -> str:
    return " ".join(description.split())[:_DESCRIPTION_LENGTH]


def _plain(messages: Sequence[Mapping[str, Any]]) -> list[Json]:
    """Calls and results as the words that such a model would have written and been told."""
    names = {
        call.get("id"): call["function"]["name"]
        for message in messages
        for call in message.get("tool_calls") or ()
    }
    return [_plain_message(message, names) for message in messages]


def _plain_message(message: Mapping[str, Any], names: Mapping[str, str]) -> Json:
    said = message.get("content")
    if message["role"] == "tool":
        name = names.get(message.get("tool_call_id") or "", "the tool")
        return {"role": "user", "content": f"Result of {name}:\n{_words(said)}"}
    if message["role"] == "developer":
        return {**message, "role": "system"}
    if not message.get("tool_calls"):
        return dict(message)
    written = [_written(call["function"]) for call in message["tool_calls"]]
    return {"role": "assistant", "content": "\n".join(filter(None, [_words(said), *written]))}


def _words(content: Any) -> str:
    """The text of a message, whether it is one text or came in parts."""
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if part.get("type") == "text")
    return content or ""


def _written(function: Mapping[str, Any]) -> str:
    try:
        arguments: Any = orjson.loads(function.get("arguments") or "{}")
    except orjson.JSONDecodeError:
        arguments = function["arguments"]
    return orjson.dumps({"tool": function["name"], "arguments": arguments}).decode()
