"""Bodies as clients send them: what Octavo itself reads is checked, everything else goes on.

A pure codec. https://platform.openai.com/docs/api-reference/chat/create
https://platform.openai.com/docs/api-reference/embeddings/create
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from apps.api.openai.errors import BadRequest

_MOST_TOKENS = 10_000_000
_MOST_CHOICES = 128
_MOST_TEXTS = 2048
_CHOICES_OF_TOOLS = ("none", "auto", "required")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCall:
    """`body` is the client's own, without the model's name."""

    model: str
    body: Json
    is_streamed: bool
    wants_usage: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingCall:
    model: str
    texts: tuple[str, ...]
    is_base64: bool
    dimensions: int | None


def parse_chat(raw: bytes) -> ChatCall:
    """Raises `BadRequest` naming the field."""
    body = _load(raw)
    model = _model(body)
    for name, check in _FIELDS.items():
        if body.get(name) is not None:
            check(body[name], name)
    if "messages" not in body:
        raise BadRequest("'messages' is missing: send what was said so far.", param="messages")
    _check_messages(body["messages"], "messages")
    _check_choice(body)
    is_streamed = bool(body.get("stream"))
    options = body.get("stream_options") or {}
    if options and not is_streamed:
        raise BadRequest(
            "'stream_options' is for streams only: set 'stream' to true, or leave it out.",
            param="stream_options",
        )
    return ChatCall(
        model=model,
        body={name: value for name, value in body.items() if name != "model"},
        is_streamed=is_streamed,
        wants_usage=bool(options.get("include_usage")),
    )


def parse_embedding(raw: bytes) -> EmbeddingCall:
    """Raises `BadRequest` naming the field."""
    body = _load(raw)
    encoding = body.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise _wrong("encoding_format", "'float' or 'base64'", encoding)
    dimensions = body.get("dimensions")
    if dimensions is not None:
        _whole(1, 100_000)(dimensions, "dimensions")
    return EmbeddingCall(
        model=_model(body),
        texts=_texts(body.get("input")),
        is_base64=encoding == "base64",
        dimensions=dimensions,
    )


def _load(raw: bytes) -> Json:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadRequest(
            f"The body is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.")
    try:
        orjson.dumps(body)
    except TypeError:
        raise BadRequest("The body is nested too deeply. Flatten it, or send text.") from None
    return body


def _model(body: Mapping[str, Any]) -> str:
    model = body.get("model")
    if not isinstance(model, str) or not model or "\0" in model:
        raise BadRequest(
            "'model' must name a route, such as 'default'. GET /v1/models lists those you may "
            "call.",
            param="model",
        )
    return model


def _texts(given: Any) -> tuple[str, ...]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(texts):
        raise BadRequest(
            "'input' must be a text or a list of texts, none of them empty.", param="input"
        )
    if not all(isinstance(text, str) for text in texts):
        raise BadRequest(
            "'input' holds tokens. Token ids mean nothing without their tokenizer: send texts "
            "(LangChain: check_embedding_ctx_length=False).",
            param="input",
        )
    if len(texts) > _MOST_TEXTS:
        raise BadRequest(
            f"'input' has {len(texts)} texts; send at most {_MOST_TEXTS} at once.", param="input"
        )
    return tuple(texts)


def _check_messages(messages: Any, name: str) -> None:
    if not isinstance(messages, list) or not messages:
        raise _wrong(name, "a list of at least one message", messages)
    for index, message in enumerate(messages):
        here = f"{name}[{index}]"
        if not isinstance(message, dict):
            raise _wrong(here, "an object", message)
        if not isinstance(message.get("role"), str):
            raise _wrong(f"{here}.role", "a text", message.get("role"))
        _check_content(message.get("content"), f"{here}.content")
        _check_calls(message.get("tool_calls"), f"{here}.tool_calls")


def _check_content(content: Any, name: str) -> None:
    if content is None or isinstance(content, str):
        return
    if not isinstance(content, list):
        raise _wrong(name, "a text or a list of parts", content)
    for index, part in enumerate(content):
        here = f"{name}[{index}]"
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise _wrong(here, "a part with a 'type'", part)
        if part["type"] == "text" and not isinstance(part.get("text"), str):
            raise _wrong(f"{here}.text", "a text", part.get("text"))


def _check_calls(calls: Any, name: str) -> None:
    if calls is None:
        return
    _check_functions(calls, name)
    for index, call in enumerate(calls):
        arguments = call.get("function", {}).get("arguments", "")
        if not isinstance(arguments, str):
            raise _wrong(f"{name}[{index}].function.arguments", "JSON as a text", arguments)


def _check_functions(items: Any, name: str) -> None:
    """Tools or calls: objects, those of type `function` with a function that has a name."""
    if not isinstance(items, list):
        raise _wrong(name, "a list", items)
    for index, item in enumerate(items):
        here = f"{name}[{index}]"
        if not isinstance(item, dict):
            raise _wrong(here, "an object", item)
        function = item.get("function")
        if function is None and item.get("type") not in (None, "function"):
            continue
        if not isinstance(function, dict):
            raise _wrong(f"{here}.function", "an object", function)
        if not isinstance(function.get("name"), str) or not function["name"]:
            raise _wrong(f"{here}.function.name", "a text", function.get("name"))
        for field, kind in (("parameters", dict), ("description", str)):
            if not isinstance(function.get(field), kind | None):
                raise _wrong(f"{here}.function.{field}", _KINDS[kind], function[field])


def _check_format(wanted: Any, name: str) -> None:
    if not isinstance(wanted, dict) or not isinstance(wanted.get("type"), str):
        raise _wrong(name, "an object with a 'type'", wanted)
    if wanted["type"] == "json_schema":
        schema = wanted.get("json_schema")
        if not isinstance(schema, dict) or not isinstance(schema.get("schema"), dict | None):
            raise _wrong(f"{name}.json_schema", "an object with a 'schema'", schema)


def _check_choice(body: Mapping[str, Any]) -> None:
    """A choice must be one that can be kept: it names offered tools only."""
    choice = body.get("tool_choice")
    if choice is None or (isinstance(choice, str) and choice in _CHOICES_OF_TOOLS):
        return
    wanted = f"one of {', '.join(_CHOICES_OF_TOOLS)}, or an object that names a tool"
    if not isinstance(choice, dict):
        raise _wrong("tool_choice", wanted, choice)
    allowed = choice.get("allowed_tools")
    named: Any = allowed.get("tools") if isinstance(allowed, dict) else [choice]
    _check_functions(named, "tool_choice")
    offered = {tool["function"]["name"] for tool in body.get("tools") or () if "function" in tool}
    for tool in named:
        name = tool.get("function", {}).get("name")
        if name is not None and name not in offered:
            raise BadRequest(
                f"'tool_choice' names {name!r}, which is not among 'tools'.", param="tool_choice"
            )


def _check_stop(value: Any, name: str) -> None:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise _wrong(name, "a text or a list of texts", value)


_KINDS: Mapping[type, str] = {bool: "true or false", str: "a text", dict: "an object"}


def _a(kind: type) -> Callable[[Any, str], None]:
    def check(value: Any, name: str) -> None:
        if not isinstance(value, kind):
            raise _wrong(name, _KINDS[kind], value)

    return check


def _number(value: Any, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(name, "a number", value)


def _whole(least: int, most: int) -> Callable[[Any, str], None]:
    def check(value: Any, name: str) -> None:
        if type(value) is not int or not least <= value <= most:
            raise _wrong(name, f"a whole number from {least} to {most:,}", value)

    return check


def _wrong(name: str, wanted: str, got: Any) -> BadRequest:
    shown = orjson.dumps(got).decode()
    shown = shown if len(shown) <= 60 else f"{shown[:60]}…"
    return BadRequest(f"'{name}' must be {wanted}; it is {shown}.", param=name)


_FIELDS: Mapping[str, Callable[[Any, str], None]] = {
    "tools": _check_functions,
    "response_format": _check_format,
    "max_tokens": _whole(1, _MOST_TOKENS),
    "max_completion_tokens": _whole(1, _MOST_TOKENS),
    "n": _whole(1, _MOST_CHOICES),
    "stream": _a(bool),
    "stream_options": _a(dict),
    "temperature": _number,
    "top_p": _number,
    "presence_penalty": _number,
    "frequency_penalty": _number,
    "logprobs": _a(bool),
    "top_logprobs": _whole(0, 20),
    "parallel_tool_calls": _a(bool),
    "stop": _check_stop,
    "seed": _whole(-(2**63), 2**63 - 1),
    "user": _a(str),
    "metadata": _a(dict),
}
