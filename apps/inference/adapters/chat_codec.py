"""Chat completions, OpenAI's protocol: our request to its JSON, its JSON or stream to our result.

https://platform.openai.com/docs/api-reference/chat
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from apps.inference.types import (
    ChatRequest,
    ChatResult,
    FinishReason,
    Message,
    TokenUsage,
    ToolCall,
)
from apps.model_registry.types import ProviderKind, Target

_FINISHES = get_args(FinishReason)
_BYTES_PER_TOKEN = 3
_MOST_TOKENS = 10_000_000  # beyond any context window


class MalformedError(ValueError):
    """The answer is not what the protocol says."""


def encode(request: ChatRequest, *, target: Target) -> dict[str, Any]:
    """The body of `POST /chat/completions`, but for the model and the wish to stream."""
    limit = "max_tokens"
    if target.provider_kind is ProviderKind.OPENAI:
        limit = "max_completion_tokens"  # its reasoning models refuse the older name
    body: dict[str, Any] = {
        "messages": [_message(message) for message in request.messages],
        limit: request.max_tokens,
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.seed is not None:
        body["seed"] = request.seed
    if request.stop:
        body["stop"] = list(request.stop)
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": dict(tool.input_schema),
                },
            }
            for tool in request.tools
        ]
    if request.json_schema is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": dict(request.json_schema)},
        }
    return body


def _message(message: Message) -> dict[str, Any]:
    encoded: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        encoded["content"] = message.content or None
        encoded["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        encoded["tool_call_id"] = message.tool_call_id
    return encoded


def output_limit(body: Mapping[str, Any]) -> int | None:
    """Tokens that all answers together may have; None where the body does not say."""
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    return None if limit is None else int(limit) * int(body.get("n") or 1)


def check_answer(answer: Mapping[str, Any]) -> None:
    """Raises `MalformedError` for an answer that holds no message."""
    messages = [choice.get("message") for choice in _choices(answer)]
    if not messages or not all(isinstance(message, Mapping) for message in messages):
        raise MalformedError("it has no choices[0].message")


def decode(body: Mapping[str, Any], *, target: Target, usage: TokenUsage) -> ChatResult:
    """A whole answer."""
    try:
        choice = body["choices"][0]
        message = choice["message"]
        text = _text(message.get("content"))
        calls = tuple(
            ToolCall(
                id=_text(call.get("id")) or f"call_{index}",
                name=_name(call["function"]["name"]),
                arguments=_text(call["function"].get("arguments")) or "{}",
            )
            for index, call in enumerate(message.get("tool_calls") or ())
        )
        finish = choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise MalformedError("it has no choices[0].message") from error
    return _result(target, text, calls, finish, usage)


class StreamMeter:
    """Counts one streamed answer as its chunks pass, whoever reads them."""

    def __init__(self, *, sent: int, most: int | None) -> None:
        self._sent = sent
        self._most = most
        self._usage: Any = None
        self._received = 0
        self.is_complete = False  # the model said that it was done; usage may still follow

    @property
    def usage(self) -> TokenUsage:
        """What the answer has used so far."""
        return decode_usage(self._usage, sent=self._sent, received=self._received, most=self._most)

    def feed(self, chunk: Mapping[str, Any]) -> None:
        """Raises `MalformedError` for a chunk of another shape."""
        self._usage = chunk.get("usage") or self._usage
        for choice in _choices(chunk):
            self.is_complete |= bool(choice.get("finish_reason"))
            self._received += _size(choice.get("delta") or {})


def _choices(body: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    choices = body.get("choices") or ()
    if not isinstance(choices, list | tuple) or not all(isinstance(c, Mapping) for c in choices):
        raise MalformedError("its choices are not a list of objects")
    return choices


def _size(delta: Any) -> int:
    """Bytes of everything that the model wrote into this piece."""
    try:
        said = [text for name, text in delta.items() if isinstance(text, str) and name != "role"]
        calls = delta.get("tool_calls") or ()
        said += [_text((call.get("function") or {}).get("arguments")) for call in calls]
    except (TypeError, AttributeError) as error:
        raise MalformedError("a chunk of it has no choices[0].delta") from error
    return sum(len(text.encode()) for text in said)


class StreamDecoder:
    """Folds the chunks of one streamed answer; `feed` returns the text that a chunk adds."""

    def __init__(self, *, target: Target) -> None:
        self._target = target
        self._text: list[str] = []
        self._calls: dict[int, dict[str, str]] = {}
        self._finish: str | None = None

    def feed(self, chunk: Mapping[str, Any]) -> str:
        try:
            choices = chunk.get("choices") or ()
            if not choices:
                return ""
            delta = choices[0].get("delta") or {}
            self._finish = _text(choices[0].get("finish_reason")) or self._finish
            for position, part in enumerate(delta.get("tool_calls") or ()):
                self._add_call(position, part)
            text = _text(delta.get("content"))
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise MalformedError("a chunk of it has no choices[0].delta") from error
        if text:
            self._text.append(text)
        return text

    def _add_call(self, position: int, part: Mapping[str, Any]) -> None:
        """Name and id come once, the arguments in pieces; `index` says which call a piece is of."""
        index = part.get("index")
        index = position if index is None else _whole(index)
        call = self._calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
        function = part.get("function") or {}
        call["id"] = _text(part.get("id")) or call["id"]
        call["name"] = _text(function.get("name")) or call["name"]
        call["arguments"] += _text(function.get("arguments"))

    def result(self, *, usage: TokenUsage) -> ChatResult:
        """Raises `MalformedError` where a call has no name."""
        calls = tuple(
            ToolCall(
                id=call["id"] or f"call_{index}",
                name=_name(call["name"]),
                arguments=call["arguments"] or "{}",
            )
            for index, call in sorted(self._calls.items())
        )
        return _result(self._target, "".join(self._text), calls, self._finish, usage)


def _text(value: Any) -> str:
    """What may be missing, but is text where it is there."""
    if value is None or isinstance(value, str):
        return value or ""
    raise MalformedError(f"it holds {type(value).__name__} where text belongs")


def _name(value: Any) -> str:
    if name := _text(value):
        return name
    raise MalformedError("a tool call of it has no name")


def _whole(value: Any) -> int:
    if type(value) is int:
        return value
    raise MalformedError(f"it holds {type(value).__name__} where a whole number belongs")


def _result(
    target: Target, text: str, calls: tuple[ToolCall, ...], finish: Any, usage: TokenUsage
) -> ChatResult:
    reason = finish if finish in _FINISHES else "stop"
    return ChatResult(
        text=text,
        tool_calls=calls,
        finish_reason="tool_calls" if calls and reason == "stop" else reason,  # type: ignore[arg-type]
        usage=usage,
        model=target.model.name,
        provider=target.model.provider,
    )


def answer_usage(answer: Mapping[str, Any], *, sent: int, most: int | None) -> TokenUsage:
    """What a whole answer used; `sent` is the request's size, for providers that count nothing."""
    messages = [choice["message"] for choice in _choices(answer)]
    received = sum(_size(message) for message in messages)
    return decode_usage(answer.get("usage"), sent=sent, received=received, most=most)


def decode_usage(usage: Any, *, sent: int, received: int, most: int | None = None) -> TokenUsage:
    """As the provider counted; estimated where it does not say, or nothing that can be true.

    No estimate is larger than the `most` that the answer may have.
    """
    counted = usage if isinstance(usage, Mapping) else {}
    return TokenUsage(
        input_tokens=_count(counted.get("prompt_tokens"), sent, None),
        output_tokens=_count(counted.get("completion_tokens"), received, most),
    )


def _count(value: Any, size: int, most: int | None) -> int:
    if type(value) is int and 0 <= value <= _MOST_TOKENS:
        return value
    estimated = estimate_tokens(size)
    return estimated if most is None else min(estimated, most)


def estimate_tokens(size: int) -> int:
    """Tokens in `size` bytes of UTF-8 at three bytes a token, as in most prose.

    Digits and rare scripts need up to one token a byte: never reserve by it.
    """
    return math.ceil(size / _BYTES_PER_TOKEN)
